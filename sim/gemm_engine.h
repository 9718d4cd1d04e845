// Engines behind gemm(): one class an accumulator, one virtual call an output element.
#pragma once

#include <memory>

#include "sim/gemm.h"
#include "sim/gemm_trace.h"

namespace fp4lab::detail {

/// Computes dot products of rows of A and B over ranges of k. Engines keep what they need of the
/// operands prepared; the operands must outlive them. Safe to call from many threads.
class DotEngine {
 public:
  DotEngine(const GemmOperand& a, const GemmOperand& b) : a_(a), b_(b) {}
  virtual ~DotEngine() = default;
  DotEngine(const DotEngine&) = delete;
  DotEngine& operator=(const DotEngine&) = delete;

  /// start + sum over k in [k0, k1) of row i of A and row j of B. `start` is a number of type();
  /// models that do not start at C get +0.
  virtual float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
                    Trace* trace) const = 0;
  /// Does the model start at C (or add it behind the sum)?
  virtual bool starts_at_c() const { return false; }
  /// Type of results: fp32 unless overridden.
  virtual std::string type_name() const { return "fp32"; }
  /// The NaN that results carry.
  virtual bool hardware() const { return false; }
  /// The preset behind it, if any.
  virtual const MmaPreset* preset() const { return nullptr; }
  /// Factor per row that the model leaves to the epilogue on top of the operand's global factor:
  /// scales constant along k under instructions without block scales.
  virtual bool scales_in_epilogue(bool /*of_a*/) const { return false; }
  /// y[i * N + j] = dot(i, j, k0, k1, y[i * N + j]) for the whole matrix, on all threads. False,
  /// with nothing done, where an engine has no kernel for that.
  virtual bool range_product(std::size_t /*k0*/, std::size_t /*k1*/, float* /*y*/) const {
    return false;
  }

 protected:
  const GemmOperand& a_;
  const GemmOperand& b_;
};

/// Where acc-sr takes its words from.
struct EngineContext {
  RandomStream random;
  std::size_t columns = 0;  ///< N, for the stream number row * N + column
};

/// Throws std::invalid_argument when the accumulator cannot take the operands.
std::unique_ptr<DotEngine> make_engine(const GemmOperand& a, const GemmOperand& b,
                                       const Accumulator& accumulator,
                                       const EngineContext& context);
/// The reference models (everything but plans).
std::unique_ptr<DotEngine> make_reference_engine(const GemmOperand& a, const GemmOperand& b,
                                                 const Accumulator& accumulator,
                                                 const EngineContext& context);
/// Instructions of a chip and plans made of them.
std::unique_ptr<DotEngine> make_plan_engine(const GemmOperand& a, const GemmOperand& b,
                                            const Accumulator& accumulator,
                                            const EngineContext& context);

/// `exact` with every factor inside the one rounding: g of both operands and C too.
float exact_element(const GemmOperand& a, const GemmOperand& b, std::size_t i, std::size_t j,
                    std::size_t k0, std::size_t k1, bool with_global, const float* c, Trace* trace);

/// Everything gemm() does for one output element: engine, C, global factors, result type.
class GemmElement {
 public:
  GemmElement(const GemmOperand& a, const GemmOperand& b, const Accumulator& accumulator,
              const GemmOptions& options);
  ~GemmElement();
  /// D[i, j] as a number of type().
  float compute(std::size_t i, std::size_t j, Trace* trace) const;
  /// D as a whole where the engine has a kernel for it, row-major; else false.
  bool compute_all(float* y) const;
  /// The bits that are stored for it; NaNs become the model's.
  std::uint32_t bits(float y) const;
  const std::string& type_name() const { return type_name_; }
  const ElementFormat& type() const { return type_; }
  const MmaPreset* preset() const;

 private:
  float factor(std::size_t i, std::size_t j) const;
  float start(std::size_t i, std::size_t j) const;
  float finish(std::size_t i, std::size_t j, float y) const;

  const GemmOperand& a_;
  const GemmOperand& b_;
  GemmOptions options_;
  bool exact_;
  std::unique_ptr<DotEngine> engine_;
  bool scale_a_ = false, scale_b_ = false;
  std::optional<float> alpha_;
  bool has_factor_ = false;
  bool c_behind_ = false;  ///< C is added after the sum
  std::string type_name_;
  ElementFormat type_{};
};

/// One instruction over and over. `zero` overrides the preset's rule; with `scales_at_promotion`
/// the operands' scales are the caller's business.
std::unique_ptr<DotEngine> make_instruction_engine(const GemmOperand& a, const GemmOperand& b,
                                                   const MmaPreset& preset, const ZeroRule* zero,
                                                   bool scales_at_promotion);

/// "e2m1", "ue4m3 scales per 16": operands in messages.
std::string format_text(const GemmOperand& o);
std::string scale_text(const GemmOperand& o);
/// ue8m0 or ue4m3 for block scales that instructions read, else "other".
std::string ptx_scale(const GemmOperand& o);
/// Why the preset cannot take this operand as its `type` side; empty when it can.
std::string mismatch(const MmaPreset& p, const std::string& type, const GemmOperand& o,
                     const char* which, bool ignore_scales = false);

/// True when the preset's instruction reads both operands' formats and scales.
bool preset_accepts(const MmaPreset& p, const GemmOperand& a, const GemmOperand& b);

/// A product's addend for traces, without alignment.
TraceTerm trace_product(const GemmOperand& a, const GemmOperand& b, std::size_t i, std::size_t j,
                        std::size_t k);

}  // namespace fp4lab::detail
