#include "experiments/cli/quantized_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/byte_source.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/format_facts.h"
#include "experiments/cli/quantize_outputs.h"
#include "formats/choose_scale.h"
#include "formats/names.h"
#include "formats/registry.h"
#include "formats/spec_text.h"
#include "sim/quantize_plan.h"

namespace fp4lab::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kVersion = 1;
constexpr const char* kVersionName = "fp4lab_quantized";

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

/// FILE.json, FILE.h5 or FILE.h5:/GROUP taken apart.
struct Place {
  bool json = false;
  std::string file, group;
};

std::optional<Place> place_of(const std::string& text) {
  if (ends_with(text, ".json")) return Place{true, text, ""};
  const std::size_t colon = text.rfind(":/");
  std::string file = text.substr(0, colon);
  std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  while (!group.empty() && group.back() == '/') group.pop_back();
  for (const char* end : {".h5", ".hdf5", ".nc"}) {
    if (ends_with(file, end)) return Place{false, file, group};
  }
  return std::nullopt;
}

// --- attributes and JSON, one list of names ----------------------------------------------------

/// What is said about a tensor, by name.
class Facts {
 public:
  Facts(std::string where, Attributes attributes)
      : where_(std::move(where)), attributes_(std::move(attributes)) {}

  std::string text(const std::string& name) const { return get<std::string>(name, "a text"); }
  std::int64_t number(const std::string& name) const {
    return get<std::int64_t>(name, "a whole number");
  }
  std::uint64_t count(const std::string& name, std::uint64_t limit) const {
    const std::int64_t n = number(name);
    if (n < 0 || static_cast<std::uint64_t>(n) > limit) {
      throw InputError(where_ + ": '" + name + "' is " + std::to_string(n) + ", not from 0 to " +
                       std::to_string(limit));
    }
    return static_cast<std::uint64_t>(n);
  }
  Shape shape(const std::string& name) const {
    Shape out;
    for (const std::int64_t n : get<std::vector<std::int64_t>>(name, "a list of whole numbers")) {
      if (n < 0) throw InputError(where_ + ": '" + name + "' has the extent " + std::to_string(n));
      out.push_back(static_cast<std::size_t>(n));
    }
    return out;
  }
  std::uint64_t seed() const {
    const std::string digits = text("seed");
    std::uint64_t seed = 0;
    const char* const end = digits.data() + digits.size();
    const auto r = std::from_chars(digits.data(), end, seed);
    if (digits.empty() || r.ec != std::errc() || r.ptr != end) {
      throw InputError(where_ + ": seed '" + printable(digits, 40) +
                       "' is no whole number below 2^64");
    }
    return seed;
  }

 private:
  template <class T>
  const T& get(const std::string& name, const char* what) const {
    for (const AttributeValue& a : attributes_) {
      if (a.name != name) continue;
      if (const T* value = std::get_if<T>(&a.value)) return *value;
      throw InputError(where_ + ": '" + name + "' is not " + what);
    }
    throw InputError(where_ + ": no '" + name + "'; is it a quantized tensor of fp4lab?");
  }

  std::string where_;
  Attributes attributes_;
};

std::string element_name(const QuantSpec& spec) {
  for (const FormatInfo* info : all_formats()) {
    if (info->format == spec.element) return std::string(info->id);
  }
  return spec.base;
}

std::string block_text(const BlockShape& b) {
  if (b.is_tensor()) return "tensor";
  if (b.rows == 0) return "col";
  if (b.cols == 0) return "row";
  return std::to_string(b.rows) + "x" + std::to_string(b.cols);
}

std::vector<std::int64_t> numbers(const Shape& shape) { return {shape.begin(), shape.end()}; }

Attributes facts_about(const QuantizedTensor& q, std::optional<NibbleOrder> packing) {
  const RandomStream& s = q.hadamard_stream;
  const std::string order = !packing                             ? "none"
                            : *packing == NibbleOrder::low_first ? "low-nibble-first"
                                                                 : "high-nibble-first";
  return {{kVersionName, kVersion},
          {"spec", to_string(q.spec)},
          {"format", element_name(q.spec)},
          {"shape", numbers(q.shape)},
          {"stored_shape", numbers(stored_shape(q))},
          {"packing", order},
          {"scale_format", detail::print_scale(q.spec.scale)},
          {"block", block_text(q.spec.block)},
          {"scale_layout", std::string("row-major")},
          {"saturated", static_cast<std::int64_t>(q.saturated)},
          {"seed", std::to_string(s.seed)},
          {"stream", static_cast<std::int64_t>(s.stream)},
          {"step", static_cast<std::int64_t>(s.step)},
          {"microbatch", static_cast<std::int64_t>(s.microbatch)}};
}

ordered_json to_json(const Attributes& facts) {
  ordered_json json;
  for (const AttributeValue& a : facts) {
    std::visit([&](const auto& value) { json[a.name] = value; }, a.value);
  }
  return json;
}

Attributes from_json(const ordered_json& json) {
  Attributes out;
  for (const auto& [name, value] : json.items()) {
    if (value.is_string()) out.push_back({name, value.get<std::string>()});
    if (value.is_number_integer()) out.push_back({name, value.get<std::int64_t>()});
    if (value.is_array() && std::all_of(value.begin(), value.end(), [](const ordered_json& v) {
          return v.is_number_integer();
        })) {
      out.push_back({name, value.get<std::vector<std::int64_t>>()});
    }
  }
  return out;
}

/// Everything but the arrays.
QuantSpec read_facts(const Facts& facts, QuantizedParts& parts) {
  if (const std::int64_t version = facts.number(kVersionName); version != kVersion) {
    throw InputError(parts.where + ": layout version " + std::to_string(version) +
                     "; this program reads version " + std::to_string(kVersion));
  }
  QuantSpec spec;
  try {
    spec = parse_spec(facts.text("spec"));
  } catch (const SpecError& e) {
    throw InputError(parts.where + ": spec: " + e.what());
  }
  parts.shape = facts.shape("shape");
  const std::string packing = facts.text("packing");
  if (packing == "low-nibble-first") {
    parts.packing = NibbleOrder::low_first;
  } else if (packing == "high-nibble-first") {
    parts.packing = NibbleOrder::high_first;
  } else if (packing != "none") {
    throw InputError(parts.where + ": packing '" + printable(packing, 40) +
                     "' is none of low-nibble-first, high-nibble-first, none");
  }
  if (const std::string layout = facts.text("scale_layout"); layout != "row-major") {
    throw InputError(parts.where + ": scale_layout '" + printable(layout, 40) +
                     "'; only row-major is read");
  }
  parts.saturated = facts.count("saturated", INT64_MAX);
  RandomStream& s = parts.hadamard_stream;
  s.seed = facts.seed();
  s.stream = static_cast<std::uint32_t>(facts.count("stream", UINT32_MAX));
  s.step = static_cast<std::uint32_t>(facts.count("step", UINT32_MAX));
  s.microbatch = static_cast<std::uint16_t>(facts.count("microbatch", UINT16_MAX));
  return spec;
}

/// Names of the arrays that a spec's tensors have besides the codes.
std::vector<std::string> array_names(const QuantSpec& spec) {
  std::vector<std::string> names{"codes"};
  if (scale_bits(spec) != 0) names.emplace_back("scales");
  if (spec.has_global()) names.emplace_back("tensor_scale");
  if (detail::is_asymmetric(spec)) names.emplace_back("zero_points");
  return names;
}

template <class Read>
void read_arrays(const QuantSpec& spec, QuantizedParts& parts, Read&& read) {
  for (const std::string& name : array_names(spec)) {
    Array array = read(name);
    if (name == "codes") parts.codes = std::move(array);
    if (name == "scales") parts.scales = std::move(array);
    if (name == "tensor_scale") parts.tensor_scale = std::move(array);
    if (name == "zero_points") parts.zero_points = std::move(array);
  }
}

QuantizedTensor read_hdf5_group(const Place& place) {
  QuantizedParts parts;
  parts.where = printable(place.file, 200) + (place.group.empty() ? "" : ":" + place.group);
  const Facts facts(parts.where, read_hdf5_attributes(place.file, place.group + "/codes"));
  const QuantSpec spec = read_facts(facts, parts);
  read_arrays(spec, parts, [&](const std::string& name) {
    return read_hdf5(place.file, place.group + "/" + name);
  });
  return assemble(spec, std::move(parts));
}

QuantizedTensor read_json_set(const Place& place) {
  QuantizedParts parts;
  parts.where = printable(place.file, 200);
  const AlignedBytes bytes = ByteSource(place.file).read_rest(std::uint64_t{1} << 20);
  const char* const text = reinterpret_cast<const char*>(bytes.data());
  const ordered_json json = ordered_json::parse(text, text + bytes.size(), nullptr, false);
  if (!json.is_object()) throw InputError(parts.where + ": not a JSON object");
  const QuantSpec spec = read_facts(Facts(parts.where, from_json(json)), parts);
  const std::size_t slash = place.file.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : place.file.substr(0, slash + 1);
  read_arrays(spec, parts, [&](const std::string& name) {
    const auto arrays = json.find("arrays");
    if (arrays == json.end() || !arrays->is_object() || !arrays->contains(name) ||
        !(*arrays)[name].is_string()) {
      throw InputError(parts.where + ": 'arrays' names no file for '" + name + "'");
    }
    const std::string file = (*arrays)[name].get<std::string>();
    if (file.find('/') != std::string::npos || !ends_with(file, ".npy")) {
      throw InputError(parts.where + ": '" + printable(file, 80) +
                       "' is not the name of an .npy file beside it");
    }
    return read_array(parse_array_ref(folder + file));
  });
  return assemble(spec, std::move(parts));
}

// --- from arrays to a tensor -------------------------------------------------------------------

void expect_shape(const QuantizedParts& parts, const char* name, const Array& array,
                  const Shape& want) {
  if (array.shape == want) return;
  throw InputError(parts.where + ": " + name + " has shape " + shape_text(array.shape) +
                   ", but the tensor's is " + shape_text(want));
}

void expect_dtype(const QuantizedParts& parts, const char* name, const Array& array, DType want) {
  if (array.dtype == want) return;
  throw InputError(parts.where + ": " + name + " has elements of type " +
                   std::string(dtype_name(array.dtype)) + ", not " + std::string(dtype_name(want)));
}

std::vector<std::uint32_t> widened(const Array& array) {
  std::vector<std::uint32_t> out(array.size());
  const auto copy = [&](auto codes) { std::copy(codes.begin(), codes.end(), out.begin()); };
  switch (dtype_size(array.dtype)) {
    case 1:
      copy(array.as<std::uint8_t>());
      break;
    case 2:
      copy(array.as<std::uint16_t>());
      break;
    default:
      copy(array.as<std::uint32_t>());
      break;
  }
  return out;
}

/// The tensor's frame: grid and sizes, nothing that the codes do not account for.
QuantizedTensor frame(const QuantSpec& spec, const QuantizedParts& parts) {
  const auto elements = element_count(parts.shape);
  if (!elements)
    throw InputError(parts.where + ": shape " + shape_text(parts.shape) + " overflows");
  const std::size_t held = parts.codes.size() * (parts.packing ? 2 : 1);
  if (*elements > held) {
    throw InputError(parts.where + ": shape " + shape_text(parts.shape) + " has " +
                     std::to_string(*elements) + " elements, but there are codes for " +
                     std::to_string(held) + " at most");
  }
  const MatrixExtents m = matrix_extents(parts.shape);
  if (*elements != 0 && spec.hadamard != 0) {
    const std::size_t along = runs_along_rows(spec) ? m.rows : m.cols;
    const std::size_t padded = (along + spec.hadamard - 1) / spec.hadamard * spec.hadamard;
    if (padded > (held + 1) / (*elements / along)) {
      throw InputError(parts.where + ": there are codes for " + std::to_string(held) +
                       " elements, too few for shape " + shape_text(parts.shape) +
                       " padded to a multiple of " + std::to_string(spec.hadamard));
    }
  }
  QuantizeOptions options;
  options.random.stream = parts.hadamard_stream;
  const Shape matrix = *elements == 0 ? Shape{0, 0} : parts.shape;
  try {
    QuantizedTensor q = plan_quantization(spec, *elements, matrix, options);
    q.shape = parts.shape;
    return q;
  } catch (const std::invalid_argument& e) {
    throw InputError(parts.where + ": " + e.what());
  }
}

void take_codes(QuantizedTensor& q, QuantizedParts& parts) {
  const ElementFormat& f = q.spec.element;
  const Shape stored = stored_shape(q);
  if (parts.packing) {
    if (f.bits > 4) {
      throw InputError(parts.where + ": packed codes, but " + element_name(q.spec) + " has " +
                       std::to_string(f.bits) + " bits");
    }
    expect_dtype(parts, "codes", parts.codes, DType::kU8);
    Shape packed = stored.empty() ? Shape{1} : stored;
    const std::size_t columns = packed.back();
    packed.back() = packed_bytes(columns);
    expect_shape(parts, "codes", parts.codes, packed);
    Array codes = unpack_rows(parts.codes, *parts.packing, columns);
    codes.shape = stored;
    parts.codes = std::move(codes);
  }
  const int bits = f.bits + f.storage_shift;
  expect_dtype(parts, "codes", parts.codes,
               bits <= 8    ? DType::kU8
               : bits <= 16 ? DType::kU16
                            : DType::kU32);
  expect_shape(parts, "codes", parts.codes, stored);
  if (f.bits <= 8) {
    const auto codes = parts.codes.as<std::uint8_t>();
    const std::uint64_t limit = codes_in_use(f) << f.storage_shift;
    const auto bad =
        std::find_if(codes.begin(), codes.end(), [&](std::uint8_t c) { return c >= limit; });
    if (bad != codes.end()) {
      throw InputError(parts.where + ": code 0x" + hex_code(*bad, 8) + " at element " +
                       std::to_string(bad - codes.begin()) + ", but the codes of " +
                       element_name(q.spec) + " end at 0x" + hex_code(limit - 1, 1));
    }
    q.codes.assign(codes.begin(), codes.end());
  } else {
    q.wide_codes = widened(parts.codes);
  }
}

void take_scales(QuantizedTensor& q, const QuantizedParts& parts) {
  if (scale_bits(q.spec) == 0) {
    std::fill(q.scale_codes.begin(), q.scale_codes.end(), bits_as<std::uint32_t>(1.0f));
    if (parts.scales) {
      throw InputError(parts.where + ": scales, but spec '" + to_string(q.spec) + "' has none");
    }
    return;
  }
  if (!parts.scales) {
    throw InputError(parts.where + ": no scales, which spec '" + to_string(q.spec) + "' has");
  }
  expect_dtype(parts, "scales", *parts.scales, scale_dtype(q.spec));
  if (parts.scales->shape.size() != 2) {
    throw InputError(parts.where + ": scales have shape " + shape_text(parts.scales->shape) +
                     "; a matrix is needed");
  }
  ScaleMatrix m{parts.scales->shape[0], parts.scales->shape[1], {}};
  if (parts.scales->size() == 0) m.rows = m.cols = 0;
  m.codes = widened(*parts.scales);
  try {
    q.scale_codes = scale_codes_from_matrix(q.spec.block, q.grid, m);
  } catch (const std::invalid_argument& e) {
    throw InputError(parts.where + ": " + e.what());
  }
}

void take_global(QuantizedTensor& q, const QuantizedParts& parts) {
  if (!q.spec.has_global()) {
    if (parts.tensor_scale) {
      throw InputError(parts.where + ": a tensor scale, but spec '" + to_string(q.spec) +
                       "' has none");
    }
    return;
  }
  if (!parts.tensor_scale) {
    throw InputError(parts.where + ": no tensor scale, which spec '" + to_string(q.spec) + "' has");
  }
  expect_dtype(parts, "tensor_scale", *parts.tensor_scale, DType::kF32);
  const bool by_row =
      q.spec.global == GlobalScope::row || q.spec.global == GlobalScope::row_block128;
  const std::size_t want =
      by_row ? q.grid.rows * (q.grid.blocks() == 0 ? 0 : global_scopes_per_row(q.spec, q.grid)) : 1;
  if (parts.tensor_scale->size() != want) {
    throw InputError(parts.where + ": " + std::to_string(parts.tensor_scale->size()) +
                     " tensor scales where the spec has " + std::to_string(want));
  }
  const auto g = parts.tensor_scale->as<float>();
  q.global.assign(g.begin(), g.end());
}

void take_zero_points(QuantizedTensor& q, const QuantizedParts& parts) {
  if (!detail::is_asymmetric(q.spec)) return;
  if (!parts.zero_points) {
    throw InputError(parts.where + ": no zero points, which spec '" + to_string(q.spec) + "' has");
  }
  expect_dtype(parts, "zero_points", *parts.zero_points, DType::kI32);
  const auto z = parts.zero_points->as<std::int32_t>();
  if (z.size() != q.grid.blocks()) {
    throw InputError(parts.where + ": " + std::to_string(z.size()) + " zero points for " +
                     std::to_string(q.grid.blocks()) + " blocks");
  }
  const std::int32_t limit = 1 << q.spec.element.bits;
  for (const std::int32_t v : z) {
    if (v < -limit || v > limit) {
      throw InputError(parts.where + ": zero point " + std::to_string(v) + " is beyond +-" +
                       std::to_string(limit));
    }
  }
  q.zero_points.assign(z.begin(), z.end());
}

}  // namespace

QuantizedTensor assemble(const QuantSpec& spec, QuantizedParts parts) {
  QuantizedTensor q = frame(spec, parts);
  take_codes(q, parts);
  take_scales(q, parts);
  take_global(q, parts);
  take_zero_points(q, parts);
  q.saturated = parts.saturated;
  return q;
}

bool names_quantized(const std::string& text) {
  const auto place = place_of(text);
  if (!place) return false;
  if (place->json || text.find(":/") == std::string::npos) return true;
  const std::vector<std::string> sets = list_hdf5(place->file, 100000);
  return std::find(sets.begin(), sets.end(), place->group + "/codes") != sets.end();
}

QuantizedTensor read_quantized(const std::string& text) {
  const auto place = place_of(text);
  if (!place) {
    throw InputError("'" + printable(text) + "' names no quantized tensor; use FILE.h5, " +
                     "FILE.h5:/GROUP or FILE.json");
  }
  return place->json ? read_json_set(*place) : read_hdf5_group(*place);
}

QuantizedOutput::QuantizedOutput(ArrayWriter& writer, const std::string& text,
                                 const QuantSpec& spec)
    : writer_(writer) {
  const auto place = place_of(text);
  if (!place) {
    throw InputError("--out '" + printable(text) +
                     "': a quantized tensor goes to FILE.h5, FILE.h5:/GROUP or FILE.json");
  }
  file_ = place->file;
  group_ = place->group;
  json_ = place->json;
  for (const std::string& name : array_names(spec)) writer_.reserve(part(name));
  if (json_) writer_.reserve(part(""));
}

ArrayRef QuantizedOutput::part(const std::string& name) const {
  if (!json_) return parse_array_ref(file_ + ":" + group_ + "/" + name);
  if (!name.empty()) {
    return parse_array_ref(file_.substr(0, file_.size() - 5) + "." + name + ".npy");
  }
  ArrayRef description;
  description.kind = FileKind::kRaw;
  description.text = description.path = file_;
  return description;
}

void QuantizedOutput::put(const QuantizedTensor& q, NibbleOrder order) {
  std::optional<NibbleOrder> packing;
  if (q.spec.element.bits <= 4) packing = order;
  const Attributes facts = facts_about(q, packing);
  const Attributes brief{{"spec", to_string(q.spec)}};
  ordered_json json = to_json(facts);
  for (const std::string& name : array_names(q.spec)) {
    Array array;
    if (name == "codes") array = packing ? pack_rows(code_array(q), order) : code_array(q);
    if (name == "scales") array = scale_array(q);
    if (name == "tensor_scale") array = tensor_scale_array(q);
    if (name == "zero_points") array = zero_point_array(q);
    const std::string path = part(name).path;
    json["arrays"][name] = path.substr(path.rfind('/') + 1);
    writer_.put(part(name), std::move(array), name == "codes" ? facts : brief);
  }
  if (!json_) return;
  const std::string text = json.dump(2) + "\n";
  Array bytes(DType::kU8, {text.size()});
  std::memcpy(bytes.bytes.data(), text.data(), text.size());
  writer_.put(part(""), std::move(bytes));
}

}  // namespace fp4lab::cli
