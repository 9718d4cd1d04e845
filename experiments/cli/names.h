// Formats by name for the commands: the registry of formats/, filled with the user's definitions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/user_format.h"
#include "formats/registry.h"

namespace fp4lab::cli {

/// The format that a checked user record describes.
ElementFormat to_element_format(const UserFormatSpec& spec);

/// Reads TOML files and adds their formats to the registry. Throws InputError for a broken file and
/// for a name that a built-in format or an earlier file has.
void register_user_formats(const std::vector<std::string>& files);

/// By id, alias or spelled-out record (`e4m5`). Throws InputError with the nearest name.
const FormatInfo& require_format(std::string_view name);

/// Heading of a family in tables.
std::string family_title(Family family);

/// The words of a space-separated list.
std::vector<std::string> words_of(std::string_view text);

}  // namespace fp4lab::cli
