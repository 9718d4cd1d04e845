#include "tests/simd/compare.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cstring>

#include "sim/quantize_fast.h"
#include "sim/simd/kernels.h"

namespace fp4lab::test {

std::vector<std::int64_t> simd_targets() {
  std::vector<std::int64_t> targets;
  std::string last;
  for (const std::int64_t t : {HWY_AVX3, HWY_AVX2, HWY_SSE4, HWY_NEON, HWY_EMU128}) {
    if (t != HWY_EMU128 && (hwy::SupportedTargets() & t) == 0) continue;
    const ForcedTarget forced(t);
    if (simd::target_name() == target_id(t)) targets.push_back(t);
  }
  return targets;
}

std::string target_id(std::int64_t target) { return hwy::TargetName(target); }

ForcedTarget::ForcedTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
ForcedTarget::~ForcedTarget() { hwy::SetSupportedTargetsForTest(0); }

Reference reference(const QuantSpec& spec, const std::vector<float>& x, std::size_t rows,
                    std::size_t cols, const QuantizeOptions& options) {
  QuantizeOptions scalar = options;
  scalar.engine = Engine::scalar;
  const std::size_t shape[2] = {rows, cols};
  Reference r;
  r.q = quantize(spec, x, shape, scalar);
  r.values = dequantize(r.q);
  return r;
}

namespace {

template <class T>
void expect_same_bits(const std::vector<T>& want, const std::vector<T>& got,
                      const std::vector<float>* x, const char* what, const std::string& where) {
  ASSERT_EQ(want.size(), got.size()) << what << ", " << where;
  if (want.empty() || std::memcmp(want.data(), got.data(), want.size() * sizeof(T)) == 0) return;
  std::size_t differences = 0, first = want.size();
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&want[i], &got[i], sizeof(T)) == 0) continue;
    first = std::min(first, i);
    ++differences;
  }
  ADD_FAILURE() << what << " differ in " << differences << " of " << want.size() << ", " << where
                << "; first at " << first << ": want " << +want[first] << ", got " << +got[first]
                << (x != nullptr && x->size() == want.size()
                        ? ", x = " + std::to_string((*x)[first]) + " (" +
                              std::to_string(std::bit_cast<std::uint32_t>((*x)[first])) + ")"
                        : std::string());
}

}  // namespace

void expect_same(const Reference& want, const std::vector<float>& x, const QuantizeOptions& options,
                 const std::string& where) {
  const std::size_t shape[2] = {want.q.rows, want.q.cols};
  const QuantSpec& spec = want.q.spec;

  const QuantizedTensor q = quantize(spec, x, shape, options);
  expect_same_bits(want.q.codes, q.codes, &x, "codes", where);
  expect_same_bits(want.q.scale_codes, q.scale_codes, nullptr, "scale codes", where);
  expect_same_bits(want.q.global, q.global, nullptr, "global factors", where);
  EXPECT_EQ(want.q.saturated, q.saturated) << where;

  // Poisoned by a pattern, so that an element that is never written shows.
  std::vector<float> y(x.size(), -12345.0f);
  EXPECT_EQ(fake_quantize_into(spec, x, shape, y, options), want.q.saturated) << where;
  expect_same_bits(want.values, y, &x, "values", where);

  if (spec.element.bits > 4) return;
  PackedTensor p;
  p.codes.assign(want.q.rows * packed_bytes(want.q.cols), 0xEE);
  quantize_packed(spec, x, shape, p, options);
  std::vector<std::uint8_t> packed(want.q.rows * packed_bytes(want.q.cols));
  for (std::size_t r = 0; r < want.q.rows; ++r) {
    pack_nibbles(want.q.codes.data() + r * want.q.cols, want.q.cols,
                 packed.data() + r * packed_bytes(want.q.cols), NibbleOrder::low_first);
  }
  expect_same_bits(packed, p.codes, nullptr, "packed codes", where);
  std::vector<std::uint32_t> scales(p.scale_codes.begin(), p.scale_codes.end());
  if (scales.empty()) scales = p.wide_scale_codes;
  expect_same_bits(want.q.scale_codes, scales, nullptr, "scale codes beside packed codes", where);
  expect_same_bits(want.q.global, p.global, nullptr, "global factors beside packed codes", where);
  EXPECT_EQ(want.q.saturated, p.saturated) << where;
}

void compare_on_all_targets(const QuantSpec& spec, const std::vector<float>& x, std::size_t rows,
                            std::size_t cols, const QuantizeOptions& options) {
  const std::string name =
      to_string(spec) + " " + std::to_string(rows) + "x" + std::to_string(cols);
  ASSERT_TRUE(has_fast_path(spec, rows, cols, options)) << name;
  const Reference want = reference(spec, x, rows, cols, options);
  for (const std::int64_t t : simd_targets()) {
    const ForcedTarget forced(t);
    expect_same(want, x, options, name + " on " + target_id(t));
    if (::testing::Test::HasFailure()) return;
  }
}

std::vector<float> random_blocks(std::size_t n, std::size_t block, std::uint64_t seed,
                                 const Mix& mix) {
  std::vector<float> x(n);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  const auto next = [&state] {  // xorshift64*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Dull;
  };
  for (std::size_t i = 0; i < n; i += block) {
    const std::uint64_t kind = next();
    int base = static_cast<int>(kind % 40) - 20;
    if (mix.tiny && kind / 64 % 97 == 0) base = -130 + static_cast<int>(kind / 8192 % 16);
    const bool zeros = mix.zeros && kind / 64 % 89 == 1;
    const std::size_t length = std::min(block, n - i);
    for (std::size_t k = 0; k < length; ++k) {
      const std::uint64_t r = next();
      const std::uint32_t sign = static_cast<std::uint32_t>(r) & 0x80000000u;
      const int e = base - static_cast<int>(r % static_cast<unsigned>(mix.exponent_range));
      const float m = 1.0f + static_cast<float>(r >> 40 & 0x7FFFFFu) * 0x1p-23f;
      float a = e >= -149
                    ? m * pow2_f32(e < -126 ? -126 : e) * (e < -126 ? pow2_f32(e + 126) : 1.0f)
                    : 0.0f;
      // Short significands make ties.
      if ((r >> 20 & 7u) == 0) a = bits_as<float>(bits_as<std::uint32_t>(a) & 0xFFC00000u);
      if (zeros || (mix.zeros && (r >> 24 & 63u) == 0)) a = 0.0f;
      x[i + k] = bits_as<float>(bits_as<std::uint32_t>(a) | sign);
    }
    if (mix.special_every != 0 && kind / 128 % mix.special_every == 0) {
      const std::uint32_t special[4] = {0x7F800000u, 0xFF800000u, 0x7FC00001u, 0xFF812345u};
      x[i + next() % length] = bits_as<float>(special[next() % 4]);
    }
  }
  return x;
}

std::vector<Rounding> deterministic_roundings() {
  return {kRne, kRna, kRnz, kRtz, kRtp, kRtn, kOdd, kRnLower, kRnUpper, kRdnp};
}

std::vector<FormatInfo> narrow_formats() {
  std::vector<FormatInfo> all;
  for (const FormatInfo& f : kCatalog) {
    if (f.format.bits <= 8 && f.id != "uint4-asym") all.push_back(f);
  }
  return all;
}

}  // namespace fp4lab::test
