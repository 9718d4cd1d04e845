#include "sim/gemm.h"

#include <algorithm>
#include <stdexcept>

#include "formats/convert.h"
#include "formats/registry.h"
#include "sim/fma.h"
#include "sim/gemm_engine.h"

namespace fp4lab {
namespace detail {

GemmElement::GemmElement(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc,
                         const GemmOptions& options)
    : a_(a), b_(b), options_(options), exact_(acc.kind == AccumulatorKind::exact) {
  if (a.k() != b.k()) {
    throw std::invalid_argument("gemm: A has K = " + std::to_string(a.k()) +
                                ", B has K = " + std::to_string(b.k()));
  }
  if (!options.c.empty() && options.c.size() != a.rows() * b.rows()) {
    throw std::invalid_argument("gemm: C has " + std::to_string(options.c.size()) +
                                " elements, the product [" + std::to_string(a.rows()) + ", " +
                                std::to_string(b.rows()) + "]");
  }
  engine_ = make_engine(a, b, acc, EngineContext{options.random, b.rows()});
  scale_a_ = engine_->scales_in_epilogue(true);
  scale_b_ = engine_->scales_in_epilogue(false);
  if (acc.kind == AccumulatorKind::plan && acc.plan.epilogue == Epilogue::te_alpha) {
    if (!a.amax || !b.amax) {
      throw std::invalid_argument(to_string(acc) + ": needs the amax of both tensors");
    }
    alpha_ = div_rn(mul_rn(*a.amax, *b.amax), 7225344.0f);
  }
  has_factor_ = alpha_ || a.has_global() || b.has_global() || scale_a_ || scale_b_;
  const bool has_c = !options.c.empty();
  c_behind_ = has_c && (has_factor_ || !engine_->starts_at_c());
  type_name_ = has_factor_ || c_behind_ ? "fp32" : engine_->type_name();
  type_ = find_format(type_name_)->format;
}

GemmElement::~GemmElement() = default;

const MmaPreset* GemmElement::preset() const { return engine_->preset(); }

float GemmElement::factor(std::size_t i, std::size_t j) const {
  if (alpha_) return *alpha_;
  float fa = a_.global(i), fb = b_.global(j);
  if (scale_a_) fa = mul_rn(a_.scale(i, 0), fa);
  if (scale_b_) fb = mul_rn(b_.scale(j, 0), fb);
  return mul_rn(fa, fb);
}

float GemmElement::start(std::size_t i, std::size_t j) const {
  if (options_.c.empty() || c_behind_) return 0.0f;
  const float c = options_.c[i * b_.rows() + j];
  const std::string type = engine_->type_name();
  if (type == "fp32") return c;
  return round_to(find_format(type)->format, c);
}

float GemmElement::finish(std::size_t i, std::size_t j, float y) const {
  if (has_factor_) y = mul_rn(factor(i, j), y);
  if (c_behind_) y = add_rn(y, options_.c[i * b_.rows() + j]);
  return y;
}

float GemmElement::compute(std::size_t i, std::size_t j, Trace* trace) const {
  if (exact_) {
    const float* c = options_.c.empty() ? nullptr : &options_.c[i * b_.rows() + j];
    return exact_element(a_, b_, i, j, 0, a_.k(), true, c, trace);
  }
  const float y = engine_->dot(i, j, 0, a_.k(), start(i, j), trace);
  const float out = finish(i, j, y);
  if (trace != nullptr && (has_factor_ || c_behind_)) {
    TraceStep step;
    step.title = "epilogue";
    if (has_factor_) {
      step.note = "factor " + exact_text(static_cast<double>(factor(i, j)));
      step.rounding = "Y = fl(factor y)";
    }
    if (c_behind_) {
      step.note += std::string(has_factor_ ? ", " : "") +
                   "C = " + exact_text(static_cast<double>(options_.c[i * b_.rows() + j]));
      step.rounding += std::string(has_factor_ ? ", then " : "") + "Y = fl(Y + C)";
    }
    step.result = out;
    trace->steps.push_back(std::move(step));
  }
  return out;
}

bool GemmElement::compute_all(float* y) const {
  if (exact_) return false;
  const std::size_t rows = a_.rows(), cols = b_.rows();
  if (!options_.c.empty() && !c_behind_) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) y[i * cols + j] = start(i, j);
    }
  } else {
    std::fill_n(y, rows * cols, 0.0f);
  }
  if (!engine_->range_product(0, a_.k(), y)) return false;
  if (!has_factor_ && !c_behind_) return true;
#pragma omp parallel for schedule(static) if (rows * cols > 16384)
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) y[i * cols + j] = finish(i, j, y[i * cols + j]);
  }
  return true;
}

std::uint32_t GemmElement::bits(float y) const {
  const bool wide = type_name_ == "fp32";
  if (is_nan(y) && engine_->hardware()) return wide ? kMmaNan32 : kMmaNan16;
  if (wide) return bits_as<std::uint32_t>(canonical(y));
  return encode(type_, y);
}

}  // namespace detail

std::vector<float> GemmResult::values() const {
  std::vector<float> out(bits.size());
  for (std::size_t i = 0; i < bits.size(); ++i) {
    out[i] = type_name == "fp32" ? bits_as<float>(bits[i]) : decode(type, bits[i]);
  }
  return out;
}

GemmResult gemm(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc,
                const GemmOptions& options) {
  detail::GemmElement element(a, b, acc, options);
  GemmResult r;
  r.rows = a.rows();
  r.cols = b.rows();
  r.type_name = element.type_name();
  r.type = element.type();
  r.evidence = acc.plan.evidence;
  if (const MmaPreset* p = element.preset()) {
    r.instruction = p->id;
    // A bare chip or preset is as sure as the instruction; a named plan carries its own tag.
    if (acc.kind == AccumulatorKind::plan && acc.plan.name.empty() && acc.plan.promote_every == 0 &&
        acc.plan.split_k == 1 && !acc.plan.zero_set) {
      r.evidence = p->evidence;
    }
  }
  r.bits.resize(r.rows * r.cols);
  if (std::vector<float> y(r.bits.size()); element.compute_all(y.data())) {
#pragma omp parallel for schedule(static) if (y.size() > 16384)
    for (std::size_t i = 0; i < y.size(); ++i) r.bits[i] = element.bits(y[i]);
    return r;
  }
  // Small products are over before a second thread has woken up.
#pragma omp parallel for schedule(dynamic, 64) if (r.bits.size() * a.k() > 4096)
  for (std::size_t o = 0; o < r.bits.size(); ++o) {
    r.bits[o] = element.bits(element.compute(o / r.cols, o % r.cols, nullptr));
  }
  return r;
}

std::vector<const MmaPreset*> matching_presets(const GemmOperand& a, const GemmOperand& b) {
  std::vector<const MmaPreset*> list;
  for (const MmaPreset& p : mma_presets()) {
    if (detail::preset_accepts(p, a, b)) list.push_back(&p);
  }
  return list;
}

}  // namespace fp4lab
