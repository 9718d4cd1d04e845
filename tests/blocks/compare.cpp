#include "tests/blocks/compare.h"

#include <cstdio>

namespace fp4lab_blocks {
namespace {

std::string hex(std::uint32_t v) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "%X", v);
  return buffer;
}

std::string number(F32 v) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, "%08X (%.9g)", v, static_cast<double>(as_float(v)));
  return buffer;
}

class Report {
 public:
  explicit Report(std::string head) : head_(std::move(head)) {}
  ~Report() {
    if (count_ > kShown) ADD_FAILURE() << head_ << ": " << count_ - kShown << " more differences";
  }
  void add(const std::string& text) {
    if (++count_ <= kShown) ADD_FAILURE() << head_ << ": " << text;
  }

 private:
  static constexpr int kShown = 4;
  std::string head_;
  int count_ = 0;
};

}  // namespace

Tensor row_of(std::string name, std::vector<F32> bits) {
  Tensor t{std::move(name), 1, bits.size(), {}};
  t.bits = std::move(bits);
  return t;
}

std::vector<float> floats(const std::vector<F32>& bits) {
  std::vector<float> out;
  for (const F32 b : bits) out.push_back(as_float(b));
  return out;
}

fp4lab::QuantizedTensor library_quantize(const std::string& spec, const Tensor& t,
                                         const oracle::RandomBits& random) {
  fp4lab::QuantizeOptions o;
  o.random.stream.seed = random.seed;
  o.random.stream.stream = random.stream;
  o.random.stream.step = random.step;
  o.random.stream.purpose = static_cast<fp4lab::RandomPurpose>(random.purpose);
  o.random.stream.microbatch = static_cast<std::uint16_t>(random.microbatch);
  o.random.stream.repeat = static_cast<std::uint8_t>(random.repeat);
  if (!random.given.empty()) o.random.given = random.given.data();
  const std::size_t shape[2] = {t.rows, t.cols};
  return fp4lab::quantize(fp4lab::parse_spec(spec), floats(t.bits), shape, o);
}

void expect_same(const std::string& spec, const Tensor& t, const oracle::RandomBits& random) {
  const oracle::ModelTensor want =
      oracle::quantize(oracle::block_spec(spec), t.bits, t.rows, t.cols, random);
  const fp4lab::QuantizedTensor got = library_quantize(spec, t, random);
  const std::vector<float> values = fp4lab::dequantize(got);

  Report report("'" + spec + "' on " + t.name);
  ASSERT_EQ(got.stored_rows(), want.rows) << spec;
  ASSERT_EQ(got.stored_cols(), want.cols) << spec;
  ASSERT_EQ(got.grid.grid_rows, want.grid_rows) << spec;
  ASSERT_EQ(got.grid.grid_cols, want.grid_cols) << spec;
  ASSERT_EQ(got.scale_codes.size(), want.scales.size()) << spec;
  ASSERT_EQ(got.global.size(), want.global.size()) << spec;
  ASSERT_EQ(values.size(), want.values.size()) << spec;
  for (std::size_t i = 0; i < want.global.size(); ++i) {
    if (as_bits(got.global[i]) != want.global[i]) {
      report.add("g " + std::to_string(i) + " is " + number(as_bits(got.global[i])) + ", want " +
                 number(want.global[i]));
    }
  }
  const bool hif4 = got.spec.scheme == fp4lab::Scheme::hif4;
  for (std::size_t i = 0; i < want.scales.size(); ++i) {
    // HiF4's scale word carries 24 bits of finer scales, which the values show.
    const std::uint32_t scale = hif4 ? got.scale_codes[i] & 0xFFu : got.scale_codes[i];
    if (scale != want.scales[i]) {
      report.add("scale of block " + std::to_string(i) + " is " + hex(scale) + ", want " +
                 hex(want.scales[i]));
    }
  }
  for (std::size_t i = 0; i < want.codes.size(); ++i) {
    if (!want.open[i] && got.code_at(i) != want.codes[i]) {
      const bool same_shape = want.codes.size() == t.bits.size();
      report.add("code of element " + std::to_string(i) +
                 (same_shape ? " = " + number(t.bits[i]) : "") + " is " + hex(got.code_at(i)) +
                 ", want " + hex(want.codes[i]));
    }
  }
  for (std::size_t i = 0; i < want.values.size(); ++i) {
    // Without a Hadamard the padding is empty, so that stored and original elements coincide.
    if (want.codes.size() == want.values.size() && want.open[i]) continue;
    if (as_bits(values[i]) != want.values[i]) {
      report.add("value of element " + std::to_string(i) + " = " + number(t.bits[i]) + " is " +
                 number(as_bits(values[i])) + ", want " + number(want.values[i]));
    }
  }
}

F32 Generator::number(int low, int high, int mantissa_bits) {
  const int exponent = low + static_cast<int>(below(static_cast<std::uint32_t>(high - low + 1)));
  const auto r = static_cast<std::uint32_t>(next() >> 32);
  const F32 mantissa = (r & 0x7FFFFFu) >> (23 - mantissa_bits) << (23 - mantissa_bits);
  return oracle::scale_by_pow2(oracle::kOne32 | mantissa, exponent) | (r & oracle::kSign32);
}

Tensor bell(std::string name, std::size_t rows, std::size_t cols, int exponent,
            std::uint64_t seed) {
  Generator random(seed);
  Tensor t{std::move(name), rows, cols, {}};
  for (std::size_t i = 0; i < rows * cols; ++i) {
    std::int64_t sum = 0;
    for (int k = 0; k < 8; ++k) sum += random.below(1u << 20);
    const oracle::Rational x(sum - (std::int64_t{4} << 20), std::int64_t{1} << 20);
    t.bits.push_back(oracle::scale_by_pow2(oracle::to_binary32(x), exponent));
  }
  return t;
}

Tensor short_mantissas(Tensor t) {
  t.name += " in bf16";
  for (F32& b : t.bits) {
    const oracle::Number n = oracle::from_binary32(b);
    if (n.kind != oracle::Number::Kind::kFinite) continue;
    b = static_cast<F32>(oracle::encode_ieee_rne(n.value, oracle::kBfloat16, n.negative)) << 16;
  }
  return t;
}

}  // namespace fp4lab_blocks
