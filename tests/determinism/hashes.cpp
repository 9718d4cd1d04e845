// What the engine computes, as one number a subject: the same on every compiler, optimisation
// level, instruction set and number of threads. Numbers that were found once are on record here; a
// build that gives others computes something else.
//
//   fp4lab_test_hashes           compares, over 1, 2, 3 and 8 threads and every instruction set
//   fp4lab_test_hashes --print   prints the record anew
#include <hwy/targets.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/fp4lab.h"
#include "sim/gemm.h"
#include "sim/math.h"
#include "sim/math_array.h"
#include "sim/matmul.h"
#include "sim/mma_presets.h"
#include "sim/quantize.h"
#include "sim/quantize_fast.h"
#include "sim/reduce.h"
#include "tests/math/targets.h"

namespace {

using namespace fp4lab;

/// FNV-1a over the bytes of what is added, eight at a time where there are eight.
class Hash {
 public:
  template <class T>
  void add(std::span<const T> data) {
    for (const T& x : data) {
      std::uint64_t word = 0;
      std::memcpy(&word, &x, sizeof x);
      add_word(word);
    }
    add_word(data.size());
  }
  template <class T>
  void add(const std::vector<T>& data) {
    add(std::span<const T>(data));
  }
  void add_word(std::uint64_t word) { value_ = (value_ ^ word) * 0x100000001B3ull ^ value_ >> 29; }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325ull;
};

std::uint32_t word(std::uint32_t stream, std::size_t i) {
  return RandomStream{11, stream, 0, RandomPurpose::synthetic_data}.slot(
      static_cast<std::uint32_t>(i), 32);
}

/// Runs of 16 that share a magnitude, with zeros, subnormals and (every so often) NaN and Inf.
std::vector<float> numbers(std::size_t n, std::uint32_t stream, bool specials = true) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t w = word(stream, i), block = word(stream + 1000, i / 16);
    const int e = static_cast<int>(w >> 24 & 7u) + static_cast<int>(block % 40) - 24;
    const float m = 1.0f + static_cast<float>(w & 0x7FFFFFu) * 0x1p-23f;
    x[i] = (w >> 31) != 0 ? -m * pow2_f32(e) : m * pow2_f32(e);
    if (block % 29 == 0) x[i] = bits_as<float>(w & 0x800FFFFFu);
    if (w % 31 == 0) x[i] = (w >> 30 & 1u) != 0 ? 0.0f : -0.0f;
    if (specials && w % 997 == 0)
      x[i] = bits_as<float>(0x7F800000u | (w >> 11 & 1u) << 31 | (w >> 12 & 1u));
  }
  return x;
}

/// Calls `compute` under every number of threads and instruction set; true when all hashes agree.
class Subject {
 public:
  Subject(const char* name, std::uint64_t recorded, bool print)
      : name_(name), recorded_(recorded), print_(print) {}

  /// One run each for `threads` and, with `sets`, for each instruction set.
  void run(const std::function<void(Hash&)>& compute, bool sets = true) {
    const int before = omp_get_max_threads();
    for (const auto& [set, set_name] : fp4lab_test::instruction_sets()) {
      if (set == HWY_SSSE3) continue;  // sim/simd/kernels.cpp is not compiled for it
      const fp4lab_test::InForce in_force(set);
      for (const int threads : {1, 2, 3, 8}) {
        omp_set_num_threads(threads);
        check(compute, set_name + ", " + std::to_string(threads) + " threads");
      }
      if (!sets) break;
    }
    omp_set_num_threads(before);
  }
  /// A single run: scalar code.
  void once(const std::function<void(Hash&)>& compute) { check(compute, "scalar"); }

  bool good() const { return good_; }

 private:
  void check(const std::function<void(Hash&)>& compute, const std::string& where) {
    Hash hash;
    compute(hash);
    if (first_ && print_) {
      std::printf("    {\"%s\", 0x%016llxull},\n", name_.c_str(),
                  static_cast<unsigned long long>(hash.value()));
      recorded_ = hash.value();
    }
    first_ = false;
    if (hash.value() == recorded_) return;
    good_ = false;
    std::printf("%s (%s): hash %016llx, on record %016llx\n", name_.c_str(), where.c_str(),
                static_cast<unsigned long long>(hash.value()),
                static_cast<unsigned long long>(recorded_));
  }

  std::string name_;
  std::uint64_t recorded_;
  bool print_, first_ = true, good_ = true;
};

// --- what is hashed -----------------------------------------------------------------------------

/// Every format of the catalogue under every rounding.
void casts(Hash& hash) {
  for (const FormatInfo& f : kCatalog) {
    for (const auto& name : kRoundingNames) {
      const Rounding r = parse_rounding(std::string(name.id));
      for (std::size_t i = 0; i < 400; ++i) {
        std::uint32_t bits = word(1, i);
        if (i % 2 == 0) bits = (bits & 0x83FFFFFFu) + 0x3C000000u;
        const std::uint32_t code =
            encode(f.format, bits_as<float>(bits), r, Policy::cuda, word(2, i));
        hash.add_word(code);
        if (code != kRefused) hash.add_word(bits_as<std::uint32_t>(decode(f.format, code)));
      }
    }
  }
}

const char* const kVariants[] = {"mxfp4,rule=ceil",
                                 "mxfp4,rule=even",
                                 "mxfp4,rule=rceil,round=sr:16",
                                 "mxfp4,rule=tseng34",
                                 "mxfp4,rule=quest",
                                 "mxfp4,rule=mse",
                                 "mxfp4,block=32x1",
                                 "mxfp4,block=16x16",
                                 "mxfp4,hadamard=32",
                                 "mxfp4,round=luq",
                                 "mxfp4,round=rtp",
                                 "nvfp4,rule=4over6",
                                 "nvfp4,round=sr:8",
                                 "nvfp4,block=16x16",
                                 "nvfp4,global=row",
                                 "nvfp4,global=none",
                                 "nf4,block=1x64,round=rn-upper",
                                 "radix4-even,block=1x32,round=odd",
                                 "e2m1,block=row",
                                 "e2m1,block=col",
                                 "e2m1,rule=percentile:99",
                                 "e2m1,rule=bias-search,block=1x64",
                                 "e2m1,clip=percentile:99.5,prescale=0.5",
                                 "int4,block=1x32",
                                 "int8,block=1x32"};

std::vector<std::string> specs() {
  std::vector<std::string> all(std::begin(kVariants), std::end(kVariants));
  for (const BaseInfo& b : kBases) {
    all.emplace_back(b.id);
    for (const ProfileInfo& p : kProfiles) {
      std::string text = std::string(b.id) + "@" + std::string(p.id);
      try {
        (void)parse_spec(text);
      } catch (const SpecError&) {
        continue;
      }
      all.push_back(std::move(text));
    }
  }
  return all;
}

constexpr std::size_t kShape[2] = {33, 71};

void quantized(Hash& hash, const QuantSpec& spec, Engine engine) {
  const std::vector<float> x = numbers(kShape[0] * kShape[1], 10);
  QuantizeOptions o;
  o.random.stream = RandomStream{42, 19, 3};
  o.engine = engine;
  const QuantizedTensor q = quantize(spec, x, kShape, o);
  hash.add(q.codes);
  hash.add(q.wide_codes);
  hash.add(q.scale_codes);
  hash.add(q.zero_points);
  hash.add(q.global);
  hash.add_word(q.saturated);
  hash.add(dequantize(q));
}

/// A tensor large enough for threads and vectors, through each way of quantizing.
void vector_quantized(Hash& hash) {
  constexpr std::size_t rows = 130, cols = 528;
  const std::size_t shape[2] = {rows, cols};
  const std::vector<float> x = numbers(rows * cols, 20);
  QuantizeOptions o;
  o.random.stream = RandomStream{42, 19, 3};
  for (const char* text :
       {"mxfp4", "mxfp4,rule=rceil,round=sr:16", "mxfp4,block=32x1", "nvfp4", "nvfp4,global=row",
        "nvfp4,round=sr:8", "e2m1", "e2m1,scale=none", "nf4,block=1x64", "int4,block=1x32"}) {
    const QuantSpec spec = parse_spec(text);
    std::vector<float> y(x.size());
    hash.add_word(fake_quantize_into(spec, x, shape, y, o));
    hash.add(y);
    PackedTensor p;
    quantize_packed(spec, x, shape, p, o);
    hash.add(p.codes);
    hash.add(p.scale_codes);
    hash.add(p.wide_scale_codes);
    hash.add(p.global);
  }
}

constexpr std::size_t kMath = 20'000;

std::vector<float> arguments() {
  std::vector<float> x(kMath);
  for (std::size_t i = 0; i < kMath; ++i) {
    const std::uint32_t w = word(30, i);
    x[i] = i % 2 == 0 ? bits_as<float>(w)
                      : static_cast<float>(static_cast<std::int32_t>(w)) * 0x1p-27f;
  }
  return x;
}

template <class Unary, class Power>
void functions(Hash& hash, const Unary& unary, const Power& power) {
  const std::vector<float> x = arguments();
  std::vector<float> y(kMath);
#define FP4LAB_EACH(NAME)                                                              \
  unary([](float v) { return math::NAME(v); },                                         \
        [](std::span<const float> a, std::span<float> b) { math::NAME(a, b); }, x, y); \
  hash.add(y);
  FP4LAB_EACH(exp)
  FP4LAB_EACH(exp2)
  FP4LAB_EACH(expm1)
  FP4LAB_EACH(log)
  FP4LAB_EACH(log2)
  FP4LAB_EACH(log1p)
  FP4LAB_EACH(tanh)
  FP4LAB_EACH(erf)
  FP4LAB_EACH(sigmoid)
  FP4LAB_EACH(silu)
  FP4LAB_EACH(gelu)
  FP4LAB_EACH(rsqrt)
  FP4LAB_EACH(sqrt)
  FP4LAB_EACH(sin)
  FP4LAB_EACH(cos)
#undef FP4LAB_EACH
  std::vector<float> base(x.rbegin(), x.rend());
  for (float& v : base) v = abs_bits(v);
  power(base, x, y);
  hash.add(y);
}
void scalar_functions(Hash& hash) {
  functions(
      hash,
      [](auto scalar, auto, const std::vector<float>& x, std::vector<float>& y) {
        std::transform(x.begin(), x.end(), y.begin(), scalar);
      },
      [](const std::vector<float>& x, const std::vector<float>& e, std::vector<float>& y) {
        for (std::size_t i = 0; i < x.size(); ++i) y[i] = math::pow(x[i], e[i]);
      });
}
void array_functions(Hash& hash) {
  functions(
      hash,
      [](auto, auto array, const std::vector<float>& x, std::vector<float>& y) { array(x, y); },
      [](const std::vector<float>& x, const std::vector<float>& e, std::vector<float>& y) {
        math::pow(std::span<const float>(x), std::span<const float>(e), std::span<float>(y));
      });
}

void sums(Hash& hash) {
  const std::vector<float> x = numbers(40'000, 40, false), y = numbers(40'000, 41, false);
  std::vector<double> s = {sum(std::span<const float>(x)), sum_squares(x), sum_products(x, y),
                           sum_squared_differences(x, y)};
  hash.add(s);
  s.resize(125);
  column_sums(x, 125, s);
  hash.add(s);
  column_sums_of_products(x, y, 125, s);
  hash.add(s);
}

/// The three products of whole matrices.
void whole_products(Hash& hash) {
  constexpr std::size_t m = 37, n = 83, k = 208;
  const std::vector<float> a = numbers(m * k, 50), b = numbers(n * k, 51);
  const std::size_t shape_a[2] = {m, k}, shape_b[2] = {n, k};
  const MatrixView va = MatrixView::of(a.data(), m, k), vb = MatrixView::of(b.data(), n, k);
  std::vector<float> y(m * n);
  const MutableMatrixView out = MutableMatrixView::of(y.data(), m, n);
  matmul(va, vb, out);
  hash.add(y);
  for (const char* text : {"mxfp4", "nvfp4", "int4,block=row", "hif4"}) {
    const QuantSpec spec = parse_spec(text);
    const QuantizedTensor qa = quantize(spec, a, shape_a), qb = quantize(spec, b, shape_b);
    matmul(QuantizedView(qa), QuantizedView(qb), out);
    hash.add(y);
    matmul(QuantizedView(qa), vb, out);
    hash.add(y);
  }
}

/// Every way of summing that has no chip in it, and every named plan.
void models(Hash& hash) {
  constexpr std::size_t m = 5, n = 18, k = 208;
  const std::size_t shape_a[2] = {m, k}, shape_b[2] = {n, k};
  const std::vector<float> a = numbers(m * k, 60), b = numbers(n * k, 61), c = numbers(m * n, 62);
  const auto add = [&](const char* spec, const std::string& model) {
    const QuantSpec s = parse_spec(spec);
    GemmOptions o;
    o.c = c;
    o.random.seed = 5;
    hash.add(gemm(GemmOperand::from_quantized(quantize(s, a, shape_a)),
                  GemmOperand::from_quantized(quantize(s, b, shape_b)), parse_accumulator(model), o)
                 .bits);
  };
  for (const char* model : {"exact", "block-exact", "fp32-seq", "fp32-fma", "fp32-tree:4",
                            "fp32-split:3", "fp32-block", "promote:64:fp32-fma", "fp16-chunk",
                            "acc:bf16", "acc-sr:fp16:16", "tfs:16:20:none:f32-rne:rne", "sm100",
                            "sm120,split-k=3", "sm100,promote=64,split-k=2,reduce=pairwise"}) {
    add("nvfp4", model);
  }
  add("e4m3,scale=none", "cublaslt-fp8-slow");
  add("e4m3,scale=none", "cublaslt-fp8-fast");
  add("bf16", "torch-bf16");
}

/// Every instruction of every chip on codes of its formats.
void presets(Hash& hash) {
  constexpr std::size_t m = 3, n = 17;
  std::vector<float> c = numbers(m * n, 70);
  for (const MmaPreset& p : mma_presets()) {
    const auto fa = format_of_ptx_type(p.a), fb = format_of_ptx_type(p.b);
    if (!fa || !fb) continue;  // binary64 has no codes here
    const std::size_t k = 2 * static_cast<std::size_t>(p.params.k) + 16;
    const auto block = static_cast<std::size_t>(p.params.scale_block);
    const auto operand = [&](const ElementFormat& f, std::size_t rows, std::uint32_t stream) {
      std::vector<std::uint32_t> codes(rows * k), scales;
      for (std::size_t i = 0; i < codes.size(); ++i) {
        std::uint32_t code = word(stream, i) & f.code_mask();
        // Mostly numbers of similar size; NaN and infinities where the format has them.
        if (f.bits == 32) code = (code & 0x83FFFFFFu) + 0x3C000000u;
        if (f.bits == 16 && i % 64 != 0)
          code = encode(f, decode(detail::minifloat(4, 3, 7), code & 0xF7u), kRne);
        codes[i] = code;
      }
      RecordedOperand r;
      r.rows = rows;
      r.k = k;
      r.format = f;
      r.codes = codes;
      if (block != 0) {
        r.scale = {ScaleFormat::Kind::coded,
                   find_format(p.scale == "ue8m0" ? "e8m0" : "ue4m3")->format};
        r.block = parse_spec("mxfp4,block=1x" + std::to_string(block)).block;
        scales.resize(rows * ((k + block - 1) / block));
        for (std::size_t i = 0; i < scales.size(); ++i) {
          scales[i] =
              p.scale == "ue8m0" ? 120u + word(stream + 1, i) % 16 : word(stream + 1, i) % 127;
        }
        r.scale_codes = scales;
      }
      return GemmOperand::from_codes(r);
    };
    GemmOptions o;
    o.c = c;
    hash.add(gemm(operand(*fa, m, 80), operand(*fb, n, 90), parse_accumulator(p.id), o).bits);
  }
}

struct Record {
  const char* name;
  std::uint64_t hash;
};
constexpr Record kRecords[] = {
    {"casts", 0x4d9b0113970cb13dull},
    {"specs", 0xf75cd9e0810b97b9ull},
    {"vector quantization", 0x6015dec14226f421ull},
    {"functions", 0x335bf7038eac2906ull},
    {"sums", 0x2a4905c36f49ef3dull},
    {"matrix products", 0x12220d58dad1ba65ull},
    {"accumulators", 0xeba913ff0d4ef5d2ull},
    {"tensor-core presets", 0xe97c36848b9f20c9ull},
};

}  // namespace

int main(int argc, char** argv) {
  const bool print = argc == 2 && std::string_view(argv[1]) == "--print";
  if (argc == 2 && std::string_view(argv[1]) == "--specs") {  // which of them two builds differ in
    for (const std::string& text : specs()) {
      Hash hash;
      quantized(hash, parse_spec(text), Engine::scalar);
      std::printf("%016llx %s\n", static_cast<unsigned long long>(hash.value()), text.c_str());
    }
    return 0;
  }
  if (argc > 1 && !print) {
    std::fprintf(stderr, "fp4lab_test_hashes: unknown argument '%s'; --print or --specs\n",
                 argv[1]);
    return 2;
  }
  bool good = true;
  const auto subject = [&](std::size_t i, const auto& runs) {
    Subject s(kRecords[i].name, kRecords[i].hash, print);
    runs(s);
    good = good && s.good();
  };
  const std::vector<std::string> all_specs = specs();
  const auto by_spec = [&](Engine engine) {
    return [&, engine](Hash& hash) {
      for (const std::string& text : all_specs) quantized(hash, parse_spec(text), engine);
    };
  };
  subject(0, [&](Subject& s) { s.once(casts); });
  subject(1, [&](Subject& s) {
    s.once(by_spec(Engine::scalar));
    s.run(by_spec(Engine::automatic), false);
  });
  subject(2, [&](Subject& s) { s.run(vector_quantized); });
  subject(3, [&](Subject& s) {
    s.once(scalar_functions);
    s.run(array_functions);
  });
  subject(4, [&](Subject& s) { s.run(sums); });
  subject(5, [&](Subject& s) { s.run(whole_products); });
  subject(6, [&](Subject& s) { s.run(models); });
  subject(7, [&](Subject& s) { s.run(presets); });
  if (!print)
    std::printf("%zu subjects, %s\n", std::size(kRecords), good ? "all as recorded" : "DIFFERENT");
  return good ? 0 : 1;
}
