#include "experiments/study/sources.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include "data/array_file.h"
#include "data/error.h"
#include "data/hdf5_file.h"
#include "data/safetensors.h"
#include "data/samples.h"
#include "data/sha256.h"
#include "formats/names.h"
#include "formats/philox.h"
#include "sim/math.h"

namespace fp4lab::study {
namespace {

/// Random numbers of one tensor: purpose "synthetic data", one stream a tensor.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint8_t repeat) : stream_{seed} {
    stream_.purpose = RandomPurpose::synthetic_data;
    stream_.repeat = repeat;
  }
  /// (0, 1]: its logarithm is finite.
  float open_unit(std::uint64_t i) const {
    return static_cast<float>((stream_.slot(i, 32) >> 8) + 1) * 5.9604644775390625e-08f;
  }
  bool sign(std::uint64_t i) const { return (stream_.slot(i, 32) & 1u) != 0; }
  /// Unit normal number `i`: four a draw (decisions.md 3).
  float normal(std::uint64_t i) const {
    const PhiloxDraw d = stream_.draw(static_cast<std::uint32_t>(i / 4));
    const unsigned pair = static_cast<unsigned>(i % 4) / 2;
    const float u = static_cast<float>((d[2 * pair] >> 8) + 1) * 5.9604644775390625e-08f;
    const float v = static_cast<float>(d[2 * pair + 1] >> 8) * 5.9604644775390625e-08f;
    const float rho = math::sqrt(-2.0f * math::log(u));
    const float phi = 6.2831855f * v;
    return rho * (i % 2 == 0 ? math::cos(phi) : math::sin(phi));
  }

 private:
  RandomStream stream_;
};

struct Parsed {
  std::string kind;
  double argument = 0;
};

struct Distribution {
  const char* kind;
  const char* meaning;
  double default_argument, smallest, largest;  ///< largest 0: takes no argument
};
constexpr Distribution kDistributions[] = {
    {"normal", "unit normal: weights", 0, 0, 0},
    {"laplace", "density exp(-|x|) / 2: activations", 0, 0, 0},
    {"student-t", "Student's t with NU degrees of freedom: heavy tails", 5, 1, 64},
    {"lognormal", "random sign times exp(SIGMA z): gradients over many binades", 2, 0.1, 8},
    {"uniform", "uniform in [-1, 1)", 0, 0, 0},
    {"outliers", "unit normal with large columns (error.outlier_fraction, error.outlier_gain)", 0,
     0, 0},
};

const Distribution* find(const std::string& kind) {
  for (const Distribution& d : kDistributions) {
    if (kind == d.kind) return &d;
  }
  return nullptr;
}

std::string number_text(double value) {
  char buffer[40];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

Parsed parse(const std::string& name) {
  const std::size_t colon = name.find(':');
  const std::string kind = normalize_name(name.substr(0, colon));
  const Distribution* const d = find(kind);
  if (d == nullptr) {
    std::vector<std::string> names;
    for (const Distribution& each : kDistributions) names.emplace_back(each.kind);
    throw std::invalid_argument("'" + printable(name, 80) + "' is no distribution and no file" +
                                nearest_hint(kind, names) +
                                "; files end in .safetensors, .npy or .h5");
  }
  Parsed out{kind, d->default_argument};
  if (colon == std::string::npos) return out;
  if (d->largest == 0) throw std::invalid_argument("'" + kind + "' takes no argument");
  const std::string text = name.substr(colon + 1);
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out.argument);
  const bool whole = kind != "student-t" || out.argument == std::floor(out.argument);
  if (error != std::errc() || at != end || !(out.argument >= d->smallest) ||
      !(out.argument <= d->largest) || !whole) {
    throw std::invalid_argument("'" + printable(text, 40) + "' behind " + kind + ": it must be a " +
                                (kind == "student-t" ? "whole " : "") + "number from " +
                                number_text(d->smallest) + " to " + number_text(d->largest));
  }
  return out;
}

Tensor draw(const SourceConfig& source) {
  const Parsed what = parse(source.name);
  Tensor out({source.rows, source.columns});
  const Draws a(source.seed, 0), b(source.seed, 1);
  const auto columns = source.columns;
  const auto large = static_cast<std::uint64_t>(
      std::floor(static_cast<double>(columns) * source.outlier_fraction));
  float* const x = out.data();
  const auto n = static_cast<std::ptrdiff_t>(out.size());
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::uint64_t>(i);
    float v = 0;
    if (what.kind == "normal") {
      v = a.normal(k);
    } else if (what.kind == "outliers") {
      // Evenly spread, so that blocks of 16 and 32 meet them with the same frequency.
      const std::uint64_t column = k % columns;
      const bool is_large =
          large != 0 && column * large / columns != (column + 1) * large / columns;
      v = a.normal(k) * (is_large ? static_cast<float>(source.outlier_gain) : 1.0f);
    } else if (what.kind == "uniform") {
      v = (a.open_unit(k) - 5.9604644775390625e-08f) * 2.0f - 1.0f;
    } else if (what.kind == "laplace") {
      v = -math::log(a.open_unit(k));
      if (b.sign(k)) v = -v;
    } else if (what.kind == "lognormal") {
      v = math::exp(static_cast<float>(what.argument) * a.normal(k));
      if (b.sign(k)) v = -v;
    } else {  // student-t: z / sqrt(chi2 / nu)
      const auto nu = static_cast<std::uint64_t>(what.argument);
      float chi = 0;
      for (std::uint64_t j = 0; j < nu; ++j) {
        const float z = b.normal(k * nu + j);
        chi = chi + z * z;
      }
      v = a.normal(k) / math::sqrt(chi / static_cast<float>(nu));
    }
    x[i] = v;
  }
  return out;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

Tensor matrix_of(const Array& array, const std::string& what) {
  const Array floats = to_float32(array, Narrowing::kRound, what);
  return Tensor({array.rows(), array.columns()}, floats.as<float>());
}

bool is_float_matrix(const Array& array) {
  return array.shape.size() == 2 && is_floating(array.dtype);
}

using Use = std::function<void(const NamedTensor&)>;
using Report = std::function<void(std::size_t, std::size_t)>;

void safetensors(const SourceConfig& source, const Use& use, const Report& report) {
  std::vector<SafetensorsEntry> wanted;
  std::size_t others = 0;
  for (const auto& entry : list_safetensors(source.name)) {
    const bool floating = entry.dtype == "F32" || entry.dtype == "F16" || entry.dtype == "BF16" ||
                          entry.dtype == "F64";
    if (entry.shape.size() == 2 && floating && element_count(entry.shape).value_or(0) != 0) {
      wanted.push_back(entry);
    } else {
      ++others;
    }
  }
  if (wanted.empty()) {
    throw InputError("'" + printable(source.name, 200) +
                     "' holds no 2-D tensor of a floating type (" + std::to_string(others) +
                     " of other kinds)");
  }
  if (source.max_tensors != 0 && wanted.size() > source.max_tensors)
    wanted.resize(source.max_tensors);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (report) report(i, wanted.size());
    const Array array = read_safetensor(source.name, wanted[i]);
    use({wanted[i].name, static_cast<std::uint32_t>(i), matrix_of(array, wanted[i].name)});
  }
  if (report) report(wanted.size(), wanted.size());
}

void hdf5_sets(const SourceConfig& source, const Use& use, const Report& report) {
  const std::vector<std::string> paths = list_hdf5(source.name, 100000);
  std::size_t used = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (report) report(i, paths.size());
    if (source.max_tensors != 0 && used == source.max_tensors) break;
    Array array;
    try {
      array = read_hdf5(source.name, paths[i]);
    } catch (const InputError&) {
      continue;  // text and the like: a whole file is searched for matrices
    }
    if (!is_float_matrix(array) || array.size() == 0) continue;
    use({paths[i], static_cast<std::uint32_t>(used++), matrix_of(array, paths[i])});
  }
  if (used == 0) {
    throw InputError("'" + printable(source.name, 200) +
                     "' holds no 2-D data set of a floating type");
  }
  if (report) report(paths.size(), paths.size());
}

}  // namespace

const std::vector<SourceInfo>& source_list() {
  static const std::vector<SourceInfo> list = [] {
    std::vector<SourceInfo> out;
    for (const Distribution& d : kDistributions) out.push_back({d.kind, d.meaning});
    return out;
  }();
  return list;
}

bool is_file_source(const std::string& name) {
  return ends_with(name, ".safetensors") || ends_with(name, ".npy") || ends_with(name, ".h5") ||
         ends_with(name, ".hdf5") || name.find(".h5:") != std::string::npos ||
         name.find(".hdf5:") != std::string::npos;
}

std::string canonical_source(const std::string& name) {
  if (is_file_source(name)) return name;
  if (name.rfind("sample:", 0) == 0) {
    for (const SampleInfo& sample : sample_list()) {
      if (name.substr(7) == sample.name) return name;
    }
    std::vector<std::string> names;
    for (const SampleInfo& sample : sample_list()) names.push_back(sample.name);
    throw std::invalid_argument("no sample tensor '" + printable(name.substr(7), 40) + "'" +
                                nearest_hint(name.substr(7), names));
  }
  const Parsed what = parse(name);
  return find(what.kind)->largest == 0 ? what.kind : what.kind + ":" + number_text(what.argument);
}

void for_each_tensor(const SourceConfig& source, const Use& use, const Report& report) {
  const std::string& name = source.name;
  if (ends_with(name, ".safetensors")) return safetensors(source, use, report);
  if (ends_with(name, ".h5") || ends_with(name, ".hdf5")) return hdf5_sets(source, use, report);
  if (report) report(0, 1);
  if (is_file_source(name) || name.rfind("sample:", 0) == 0) {
    const Array array = read_array(parse_array_ref(name));
    if (array.size() == 0) throw InputError("'" + printable(name, 200) + "' is empty");
    use({name, 0, matrix_of(array, name)});
  } else {
    use({canonical_source(name), 0, draw(source)});
  }
  if (report) report(1, 1);
}

std::string source_sha256(const std::string& name) {
  if (!is_file_source(name)) return {};
  std::string path = name;
  for (const char* mark : {".h5:", ".hdf5:"}) {
    const std::size_t at = path.find(mark);
    if (at != std::string::npos) path.resize(path.find(':', at));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError("cannot read '" + printable(path, 200) + "'");
  Sha256 hash;
  std::vector<char> piece(1u << 20);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    hash.update(piece.data(), static_cast<std::size_t>(file.gcount()));
  }
  return hash.hex();
}

}  // namespace fp4lab::study
