// The UCI optical digits, from the copy that scikit-learn's package brings (BSD licence).
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "data/dataset_internal.h"
#include "data/error.h"
#include "data/sha256.h"

namespace fp4lab::data::detail {
namespace {

constexpr const char* kInPackage = "sklearn/datasets/data/digits.csv.gz";
/// Of the 264,712 characters of the table, the same since scikit-learn 0.18.
constexpr const char* kKnownHash =
    "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8";

/// Folders in which Python keeps packages: Debian's, then pip's for the system, the user and an
/// active virtual environment.
std::vector<std::filesystem::path> package_folders() {
  std::vector<std::filesystem::path> folders;
  if (const char* own = std::getenv("FP4LAB_DATA_DIR")) folders.emplace_back(own);
  folders.emplace_back("/usr/lib/python3/dist-packages");
  std::vector<std::filesystem::path> roots = {"/usr/local/lib", "/usr/lib"};
  if (const char* home = std::getenv("HOME")) {
    roots.emplace_back(std::filesystem::path(home) / ".local/lib");
  }
  if (const char* environment = std::getenv("VIRTUAL_ENV")) {
    roots.insert(roots.begin(), std::filesystem::path(environment) / "lib");
  }
  for (const auto& root : roots) {
    std::error_code ignored;
    std::vector<std::filesystem::path> found;
    for (std::filesystem::directory_iterator it(root, ignored), end; !ignored && it != end;
         it.increment(ignored)) {
      if (it->path().filename().string().rfind("python3", 0) == 0) found.push_back(it->path());
    }
    std::sort(found.begin(), found.end());
    for (const auto& python : found) {
      folders.push_back(python / "site-packages");
      folders.push_back(python / "dist-packages");
    }
  }
  return folders;
}

/// 64 intensities 0 ... 16 and the digit, separated by commas. False when that is not so.
bool parse_rows(const std::string& table, std::vector<float>& inputs,
                std::vector<std::int32_t>& labels) {
  std::size_t column = 0;
  int value = -1;
  for (const char c : table) {
    if (c >= '0' && c <= '9') {
      value = (value < 0 ? 0 : value * 10) + (c - '0');
      if (value > 16) return false;
      continue;
    }
    if (c == '\r') continue;
    if (c != ',' && c != '\n') return false;
    if (value < 0) {
      if (c == '\n' && column == 0) continue;  // an empty line
      return false;
    }
    if (c == ',') {
      if (column >= 64) return false;
      inputs.push_back(static_cast<float>(value) / 16.0f);
      ++column;
    } else {
      if (column != 64 || value > 9) return false;
      labels.push_back(value);
      column = 0;
    }
    value = -1;
  }
  return column == 0 && value < 0 && !labels.empty();
}

}  // namespace

bool load_uci_digits(ImageDataset& set, double eval_fraction, std::string& notice) {
  for (const auto& folder : package_folders()) {
    const auto path = folder / kInPackage;
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) continue;
    const std::string table = read_file_inflated(path.string(), 16u << 20);
    std::vector<float> inputs;
    std::vector<std::int32_t> labels;
    if (!parse_rows(table, inputs, labels)) {
      throw InputError("'" + path.string() +
                       "' is not the table of 64 intensities and a digit that scikit-learn ships; "
                       "install that package again or remove the file");
    }
    set.name = "uci-digits";
    set.sha256 = sha256_hex(table);
    if (set.sha256 != kKnownHash) {
      notice = "'" + path.string() +
               "' is not the table of scikit-learn that this release knows (" +
               set.sha256.substr(0, 12) + "); using it under its own hash";
    }
    set.channels = 1;
    set.height = set.width = 8;
    set.classes = 10;
    split_images(set, inputs, labels, eval_fraction);
    return true;
  }
  return false;
}

}  // namespace fp4lab::data::detail
