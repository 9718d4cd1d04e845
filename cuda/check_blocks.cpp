// Whole tensors on the GPU against the reference engine: every base and profile, every scale rule,
// stochastic rounding with Philox words and with words handed in.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/check.h"
#include "cuda/quantize.h"
#include "formats/fp4lab.h"
#include "sim/quantize.h"

namespace fp4lab::cuda {
namespace {

/// Values where orders of operation part: random magnitudes over many binades, grid midpoints times
/// powers of two and their neighbours, short mantissas, zeros, subnormals, a few NaN and Inf.
std::vector<float> aimed(std::size_t n, std::uint32_t stream_id) {
  std::vector<float> x(n);
  const RandomStream stream{3, stream_id, 0, RandomPurpose::synthetic_data};
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxDraw d = stream.draw(static_cast<std::uint32_t>(i));
    const int span = d[0] % 64 == 0 ? 60 : 6;
    const int e = static_cast<int>(d[0] >> 8) % (2 * span + 1) - span;
    float m;
    switch (d[1] % 4) {
      case 0:  // a multiple of 1/4 up to 8: every value and midpoint of E2M1
        m = 0.25f * static_cast<float>(d[1] >> 8 & 31u);
        break;
      case 1:  // bf16-like mantissa
        m = 1.0f + static_cast<float>(d[1] >> 8 & 127u) * 0x1p-7f;
        break;
      default:
        m = 1.0f + static_cast<float>(d[1] >> 9) * 0x1p-23f;
    }
    float v = m * pow2_f32(e);
    if (d[2] % 8 == 0) v = bits_as<float>(bits_as<std::uint32_t>(v) + (d[2] >> 8 & 1u));
    if (d[2] % 9 == 0 && v != 0.0f) v = bits_as<float>(bits_as<std::uint32_t>(v) - 1u);
    if (d[2] % 4099 == 0) v = bits_as<float>(d[3] & 0x807FFFFFu);  // subnormal
    if (d[2] % 100003 == 0) v = bits_as<float>(0x7F800000u | (d[3] & 0x80000001u));
    x[i] = (d[3] & 1u) != 0 ? -v : v;
  }
  return x;
}

std::uint64_t differences(const QuantizedTensor& a, const QuantizedTensor& b, std::string& first) {
  std::uint64_t bad = 0;
  const auto compare = [&](const auto& u, const auto& v, const char* what) {
    if (u.size() != v.size()) {
      ++bad;
      if (first.empty()) first = std::string(what) + ": sizes differ";
      return;
    }
    for (std::size_t i = 0; i < u.size(); ++i) {
      if (std::memcmp(&u[i], &v[i], sizeof u[i]) == 0) continue;
      ++bad;
      if (first.empty()) first = std::string(what) + " " + std::to_string(i);
    }
  };
  compare(a.codes, b.codes, "code");
  compare(a.wide_codes, b.wide_codes, "code");
  compare(a.scale_codes, b.scale_codes, "scale");
  compare(a.zero_points, b.zero_points, "zero point");
  compare(a.global, b.global, "global factor");
  if (a.saturated != b.saturated) {
    ++bad;
    if (first.empty()) first = "saturation count";
  }
  return bad;
}

void check_spec(Tally& tally, const std::string& text, const std::vector<float>& x,
                std::size_t cols, const std::vector<std::uint32_t>* words = nullptr) {
  const QuantSpec spec = parse_spec(text);
  const std::size_t shape[2] = {x.size() / cols, cols};
  QuantizeOptions o;
  o.random.stream = {42, 19, 3};
  if (words != nullptr) o.random.given = words->data();
  std::string first;
  const std::uint64_t bad = differences(cuda::quantize(spec, x, shape, o),
                                        fp4lab::quantize(spec, x, shape, o), first);
  report(tally, (words != nullptr ? "given words " : "tensor ") + text, x.size(), bad, first);
}

}  // namespace

Tally check_blocks(std::uint64_t elements) {
  Tally t;
  // Every base and profile, each rounding, on a ragged matrix.
  const std::vector<float> ragged = aimed(211 * 131, 1);
  for (const BaseInfo& b : kBases) check_spec(t, std::string(b.id), ragged, 131);
  for (const FormatInfo& f : kCatalog) {
    check_spec(t, std::string(f.id) + ",block=1x32", ragged, 131);
  }
  for (const BaseInfo& b : kBases) {
    for (const ProfileInfo& p : kProfiles) {
      const std::string text = std::string(b.id) + "@" + std::string(p.id);
      try {
        (void)parse_spec(text);
      } catch (const SpecError&) {
        continue;  // the profile says nothing about this base
      }
      check_spec(t, text, ragged, 131);
    }
  }
  for (const char* text :
       {"mxfp4,rule=ceil", "mxfp4,rule=even", "mxfp4,rule=rceil", "mxfp4,rule=tseng34",
        "mxfp4,rule=quest", "mxfp4,rule=mse", "mxfp4,block=32x1", "mxfp4,block=32x32",
        "mxfp4,hadamard=32", "mxfp4,hadamard=128:per-call", "nvfp4,rule=4over6",
        "nvfp4,rule=4over6,error=mse", "nvfp4,rule=4over6,round=sr:8", "nvfp4,block=16x16",
        "nvfp4,global=row", "nvfp4,global=1x128", "nvfp4,global=none", "nvfp4,headroom=17/16",
        "nvfp4@fouroversix,rule=static6", "nvfp4@te,rule=4over6", "e2m1,block=row",
        "e2m1,block=col", "e2m1,rule=percentile:99", "e2m1,rule=bias-search,block=1x64",
        "e2m1,clip=percentile:99.5,prescale=0.5", "e3m0,round=luq", "int4,round=sr:16",
        "nvfp4,amax-nan=ignore", "e2m1,round=sr-hw", "e2m1,round=sr-uniform"}) {
    check_spec(t, text, ragged, 131);
  }
  for (const auto& r : kRoundingNames) {
    check_spec(t, "mxfp4,rule=rceil,round=" + std::string(r.id), ragged, 131);
  }
  std::vector<std::uint32_t> words(ragged.size());
  const RandomStream s{9, 1, 1, RandomPurpose::noise};
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = s.slot(i, 32);
  check_spec(t, "mxfp4,rule=rceil,round=sr:16", ragged, 131, &words);
  check_spec(t, "nvfp4,round=sr:8", ragged, 131, &words);
  check_spec(t, "e2m1,round=sr-hw:8", ragged, 131, &words);

  // Volume: aimed blocks in large tensors.
  const std::size_t chunk = static_cast<std::size_t>(std::min<std::uint64_t>(elements, 1u << 25));
  std::uint32_t stream = 100;
  for (const char* text : {"mxfp4", "nvfp4", "mxfp4,rule=rceil,round=sr:16", "nvfp4,round=sr:8"}) {
    std::uint64_t cases = 0, bad = 0;
    std::string first;
    const QuantSpec spec = parse_spec(text);
    for (std::uint64_t done = 0; done < elements / 4; done += chunk) {
      const std::vector<float> x = aimed(chunk, stream++);
      const std::size_t shape[2] = {chunk / 4096, 4096};
      QuantizeOptions o;
      o.random.stream = {42, 19, static_cast<std::uint32_t>(done / chunk)};
      bad += differences(cuda::quantize(spec, x, shape, o), fp4lab::quantize(spec, x, shape, o),
                         first);
      cases += chunk;
    }
    report(t, std::string("volume ") + text, cases, bad, first);
  }
  return t;
}

}  // namespace fp4lab::cuda
