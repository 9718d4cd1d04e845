// fp4lab_cuda_mma_check: do the presets of sim/mma_presets.h predict the tensor cores of this
// machine's GPU? Every sm90a instruction form, on operands drawn afresh from --seed, bit for bit.
// Exit code 0: all of them, 1: a form differs, 2: wrong usage, 3: no device of capability 9.0.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <tuple>

#include "cuda/mma_check.h"
#include "formats/names.h"

namespace fp4lab::cuda {
namespace {

constexpr std::size_t kBatchOutputs = std::size_t{1} << 20;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t outputs = 4'000'000;  ///< a form
  std::string form;                   ///< prefix of the ids to run
  bool list = false;
};

std::uint64_t load(const std::uint8_t* p, int bytes) {
  std::uint64_t v = 0;
  std::memcpy(&v, p, static_cast<std::size_t>(bytes));
  return v;
}

/// The CPU's model of one form, on raw bytes.
class Model {
 public:
  explicit Model(const MmaPreset& preset)
      : preset_(preset), shape_(tile_shape(preset)), f64_(preset.a == "f64") {
    if (f64_) return;
    a_format_ = *format_of_ptx_type(preset.a);
    b_format_ = *format_of_ptx_type(preset.b);
  }

  /// Compares one tile: number of differing outputs; `first` is the place of the first one.
  std::uint64_t compare(const MmaBatch& batch, std::size_t tile, std::size_t& first,
                        std::uint64_t& expected) const {
    const auto k = static_cast<std::size_t>(shape_.k);
    const auto rows = static_cast<std::size_t>(shape_.rows);
    const auto cols = static_cast<std::size_t>(shape_.cols);
    MmaOperand a[64 * 32], b[8 * 32];
    double da[32], db[32];
    const auto bytes = static_cast<std::size_t>(shape_.element_bytes);
    const std::uint8_t* pa = batch.a.data() + tile * rows * k * bytes;
    const std::uint8_t* pb = batch.b.data() + tile * cols * k * bytes;
    if (f64_) {
      std::memcpy(da, pa, rows * k * bytes);
      std::memcpy(db, pb, cols * k * bytes);
    } else {
      decode_all(a_format_, pa, rows * k, a);
      decode_all(b_format_, pb, cols * k, b);
    }
    const int width = shape_.accumulator_bytes;
    std::uint64_t different = 0;
    for (std::size_t o = 0; o < rows * cols; ++o) {
      const std::size_t at = (tile * rows * cols + o) * static_cast<std::size_t>(width);
      const std::uint64_t c = load(batch.c.data() + at, width);
      const std::uint64_t got = load(batch.d.data() + at, width);
      const std::size_t i = o / cols, j = o % cols;
      const std::uint64_t want = f64_ ? dot_f64(da + i * k, db + j * k, c)
                                      : mma_dot(preset_.params, a + i * k, b + j * k, nullptr,
                                                nullptr, 0, static_cast<std::uint32_t>(c));
      if (got == want || (f64_ && both_nan(got, want))) continue;
      if (different++ == 0) {
        first = o;
        expected = want;
      }
    }
    return different;
  }

 private:
  void decode_all(const ElementFormat& f, const std::uint8_t* p, std::size_t n,
                  MmaOperand* out) const {
    const int bytes = shape_.element_bytes;
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = decode_operand(
          f, static_cast<std::uint32_t>(load(p + i * static_cast<std::size_t>(bytes), bytes)));
    }
  }
  std::uint64_t dot_f64(const double* a, const double* b, std::uint64_t c_bits) const {
    double c = 0.0;
    std::memcpy(&c, &c_bits, sizeof c);
    const double d = mma_dot_f64(a, b, shape_.k, c);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &d, sizeof bits);
    return bits;
  }
  /// Which NaN a binary64 instruction stores is no part of the model.
  static bool both_nan(std::uint64_t x, std::uint64_t y) {
    constexpr std::uint64_t kInfinity = std::uint64_t{0x7FF} << 52;
    return (x << 1) > (kInfinity << 1) && (y << 1) > (kInfinity << 1);
  }

  const MmaPreset& preset_;
  MmaTileShape shape_;
  bool f64_;
  ElementFormat a_format_{}, b_format_{};
};

struct Outcome {
  std::uint64_t cases = 0, mismatches = 0;
  std::string first;  ///< the first mismatch in words
};

std::string hex(std::uint64_t v, int bytes) {
  char text[24];
  std::snprintf(text, sizeof text, "%0*llX", 2 * bytes, static_cast<unsigned long long>(v));
  return text;
}

std::string describe(const MmaBatch& batch, const MmaTileShape& s, std::size_t tile,
                     std::uint64_t tile_number, std::size_t o, std::uint64_t want) {
  const auto cols = static_cast<std::size_t>(s.cols), k = static_cast<std::size_t>(s.k);
  const auto outputs = static_cast<std::size_t>(s.rows) * cols;
  const auto bytes = static_cast<std::size_t>(s.element_bytes);
  const std::size_t at = (tile * outputs + o) * static_cast<std::size_t>(s.accumulator_bytes);
  const std::size_t i = o / cols, j = o % cols;
  std::string text = "tile " + std::to_string(tile_number) + " (" +
                     mma_generator_name(static_cast<int>(tile_number % kMmaGenerators)) + ") [" +
                     std::to_string(i) + ", " + std::to_string(j) + "]: GPU " +
                     hex(load(batch.d.data() + at, s.accumulator_bytes), s.accumulator_bytes) +
                     ", model " + hex(want, s.accumulator_bytes) + ", c " +
                     hex(load(batch.c.data() + at, s.accumulator_bytes), s.accumulator_bytes);
  for (const auto& [name, data, row, rows] :
       {std::tuple{"a", &batch.a, i, static_cast<std::size_t>(s.rows)},
        std::tuple{"b", &batch.b, j, cols}}) {
    text += std::string("\n    ") + name + ":";
    for (std::size_t kk = 0; kk < k; ++kk) {
      const std::size_t p = ((tile * rows + row) * k + kk) * bytes;
      text += " " + hex(load(data->data() + p, s.element_bytes), s.element_bytes);
    }
  }
  return text;
}

Outcome check_form(const MmaPreset& preset, std::uint32_t stream, const Options& options) {
  const MmaTileShape s = tile_shape(preset);
  const auto tile_outputs = static_cast<std::size_t>(s.rows * s.cols);
  const Model model(preset);
  MmaBatch batch;
  Outcome r;
  std::uint64_t tile = 0;
  while (r.cases < options.outputs) {
    const std::size_t tiles = kBatchOutputs / tile_outputs;
    fill_mma_batch(preset, options.seed, stream, tile, tiles, batch);
    run_mma_batch(preset.id, s, batch);
    std::uint64_t mismatches = 0;
    std::size_t first_tile = tiles;  // the smallest, whichever thread met it
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : mismatches) reduction(min : first_tile)
    for (std::size_t n = 0; n < tiles; ++n) {
      std::size_t o = 0;
      std::uint64_t want = 0;
      const std::uint64_t d = model.compare(batch, n, o, want);
      mismatches += d;
      if (d != 0) first_tile = std::min(first_tile, n);
    }
    if (mismatches != 0 && r.first.empty()) {
      std::size_t o = 0;
      std::uint64_t want = 0;
      model.compare(batch, first_tile, o, want);
      r.first = describe(batch, s, first_tile, tile + first_tile, o, want);
    }
    r.mismatches += mismatches;
    r.cases += tiles * tile_outputs;
    tile += tiles;
  }
  return r;
}

bool parse_number(const char* text, std::uint64_t& value) {
  const char* const end = text + std::strlen(text);
  const auto r = std::from_chars(text, end, value);
  return text != end && r.ec == std::errc() && r.ptr == end;
}

int usage(const std::string& line) {
  std::fprintf(stderr,
               "fp4lab_cuda_mma_check: %s\n"
               "usage: fp4lab_cuda_mma_check [--seed N] [--outputs N a form] [--form PREFIX] "
               "[--list]\n",
               line.c_str());
  return 2;
}

std::vector<const MmaPreset*> forms(const std::string& prefix) {
  std::vector<const MmaPreset*> list;
  for (const MmaPreset& p : mma_presets()) {
    if (p.chip == "sm90a" && p.id.rfind(prefix, 0) == 0) list.push_back(&p);
  }
  return list;
}

int run(const Options& options) {
  std::string device;
  if (!mma_device(device)) {
    std::fprintf(stderr, "fp4lab_cuda_mma_check: needs a device of compute capability 9.0; %s\n",
                 device.c_str());
    return 3;
  }
  std::printf("device %s\nseed %llu\n", device.c_str(),
              static_cast<unsigned long long>(options.seed));
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t cases = 0, mismatches = 0, ok = 0, count = 0;
  std::uint32_t stream = 0;
  for (const MmaPreset* p : forms(options.form)) {
    // A form's stream is its place among all of them, so that --form repeats the same operands.
    const auto all = forms("");
    stream = static_cast<std::uint32_t>(std::find(all.begin(), all.end(), p) - all.begin());
    ++count;
    if (!mma_kernel_exists(p->id)) {
      std::printf("%-34s %-10s NO KERNEL\n", p->id.c_str(), to_string(p->evidence).data());
      continue;
    }
    const Outcome r = check_form(*p, stream, options);
    std::printf("%-34s %-10s cases %12llu  mismatches %llu  %s\n", p->id.c_str(),
                to_string(p->evidence).data(), static_cast<unsigned long long>(r.cases),
                static_cast<unsigned long long>(r.mismatches),
                r.mismatches == 0 ? "ok" : "DIFFERS");
    if (!r.first.empty()) std::printf("    first: %s\n", r.first.c_str());
    std::fflush(stdout);
    cases += r.cases;
    mismatches += r.mismatches;
    if (r.mismatches == 0) ++ok;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%llu of %llu forms ok, %llu outputs, %llu mismatches, %.1f s\n",
              static_cast<unsigned long long>(ok), static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(cases), static_cast<unsigned long long>(mismatches),
              seconds);
  return ok == count ? 0 : 1;
}

}  // namespace
}  // namespace fp4lab::cuda

int main(int argc, char** argv) {
  using namespace fp4lab::cuda;
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--list") {
      options.list = true;
      continue;
    }
    if (name != "--seed" && name != "--outputs" && name != "--form") {
      return usage("unknown option '" + fp4lab::printable(name, 60) + "'");
    }
    if (++i == argc) return usage(name + " needs a value");
    if (name == "--form") {
      options.form = argv[i];
    } else if (!parse_number(argv[i], name == "--seed" ? options.seed : options.outputs)) {
      return usage(name + " '" + fp4lab::printable(argv[i], 40) +
                   "' is no whole number below 2^64");
    }
  }
  if (options.outputs == 0) return usage("--outputs must be at least 1");
  if (forms(options.form).empty()) {
    return usage("no sm90a form begins with '" + fp4lab::printable(options.form, 60) +
                 "'; --list shows them");
  }
  if (options.list) {
    for (const auto* p : forms(options.form)) std::printf("%s\n", p->id.c_str());
    return 0;
  }
  try {
    return run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fp4lab_cuda_mma_check: %s\n", e.what());
    return 3;
  }
}
