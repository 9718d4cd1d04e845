#include "experiments/config/keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "experiments/config/key_table.h"
#include "formats/names.h"
#include "formats/spec_text.h"
#include "sim/accumulate.h"
#include "sim/train/phase.h"
#include "sim/train/policy.h"

namespace fp4lab::config {
namespace {

const Ids<nn::Compute> kCompute{{{nn::Compute::bf16, "bf16"}, {nn::Compute::fp32, "fp32"}}};
const Ids<nn::BiasGrad> kBiasGrad{{{nn::BiasGrad::highp, "highp"}, {nn::BiasGrad::q3, "q3"}}};
const Ids<nn::SlotSource> kSources{{{nn::SlotSource::master, "master"},
                                    {nn::SlotSource::requant, "requant"},
                                    {nn::SlotSource::shared2d, "shared2d"},
                                    {nn::SlotSource::dequant, "dequant"},
                                    {nn::SlotSource::none, "none"}}};
const Ids<nn::EstimatorKind> kEstimators{{{nn::EstimatorKind::ste, "ste"},
                                          {nn::EstimatorKind::clipped_ste, "clipped-ste"},
                                          {nn::EstimatorKind::dge, "dge"},
                                          {nn::EstimatorKind::pact, "pact"},
                                          {nn::EstimatorKind::lsq, "lsq"},
                                          {nn::EstimatorKind::lsq_plus, "lsq-plus"},
                                          {nn::EstimatorKind::ewgs, "ewgs"},
                                          {nn::EstimatorKind::stacked_sigmoid, "stacked-sigmoid"},
                                          {nn::EstimatorKind::dsq, "dsq"},
                                          {nn::EstimatorKind::diffq, "diffq"},
                                          {nn::EstimatorKind::reste, "reste"},
                                          {nn::EstimatorKind::stableqat, "stableqat"},
                                          {nn::EstimatorKind::quest_mask, "quest-mask"}}};
const Ids<train::PolicyKind> kPolicies{{{train::PolicyKind::default_, "default"},
                                        {train::PolicyKind::nvidia, "nvidia"},
                                        {train::PolicyKind::attn_protect, "attn-protect"},
                                        {train::PolicyKind::nemotron3, "nemotron3"},
                                        {train::PolicyKind::all, "all"},
                                        {train::PolicyKind::none, "none"},
                                        {train::PolicyKind::auto_, "auto"}}};
const Ids<train::PhasePreset> kPhases{{{train::PhasePreset::none, "none"},
                                       {train::PhasePreset::qaf, "qaf"},
                                       {train::PhasePreset::nv_switch, "nv-switch"},
                                       {train::PhasePreset::tpts, "tpts"},
                                       {train::PhasePreset::fnt, "fnt"}}};
const Ids<optim::OptimizerKind> kOptimizers{{{optim::OptimizerKind::sgd, "sgd"},
                                             {optim::OptimizerKind::adam, "adam"},
                                             {optim::OptimizerKind::adamw, "adamw"}}};
const Ids<optim::EpsPlacement> kEpsPlacements{
    {{optim::EpsPlacement::torch, "torch"}, {optim::EpsPlacement::hf, "hf"}}};
const Ids<optim::NonfinitePolicy> kNonfinite{{{optim::NonfinitePolicy::skip, "skip"},
                                              {optim::NonfinitePolicy::zero, "zero"},
                                              {optim::NonfinitePolicy::propagate, "propagate"}}};
const Ids<optim::Storage> kStorages{
    {{optim::Storage::fp32, "fp32"}, {optim::Storage::bf16, "bf16"}}};
const Ids<optim::StoreRounding> kStoreRoundings{
    {{optim::StoreRounding::rne, "rne"}, {optim::StoreRounding::sr, "sr"}}};
const Ids<optim::ScheduleKind> kSchedules{{{optim::ScheduleKind::constant, "constant"},
                                           {optim::ScheduleKind::cosine, "cosine"},
                                           {optim::ScheduleKind::wsd, "wsd"},
                                           {optim::ScheduleKind::triangular, "triangular"}}};
const Ids<optim::DecayShape> kShapes{{{optim::DecayShape::linear, "linear"},
                                      {optim::DecayShape::sqrt, "sqrt"},
                                      {optim::DecayShape::cosine, "cosine"},
                                      {optim::DecayShape::exponential, "exponential"}}};

#define FP4LAB_AT(member) \
  [](TrainConfig & c) -> auto& { return c.member; }

constexpr std::int64_t kMany = 1'000'000'000;
constexpr std::int64_t kSeed = INT64_MAX;

std::string name_only(const std::string& text) {
  const std::string id = normalize_name(text);
  const bool sound =
      !id.empty() && id.size() <= 64 &&
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string::npos;
  if (!sound) throw std::invalid_argument("'" + printable(text, 60) + "' is no name");
  return id;
}

void add_top(Table& t) {
  t.text("recipe", FP4LAB_AT(recipe), "named configuration of the six slots",
         "a name of `fp4lab train --list-recipes`", name_only);
  t.text("preset", FP4LAB_AT(preset), "named model, data and length of a run", "t0 .. t6",
         name_only);
  t.id("policy", FP4LAB_AT(policy), "which layers keep a higher precision", kPolicies);
  t.number(
      "policy_share", FP4LAB_AT(policy_share),
      "auto: share of the quantized layers, those with the largest error of dW in a first step, "
      "that stay in the compute type",
      0, 1);
  t.texts("policy_rules", FP4LAB_AT(policy_rules),
          "rules that come before the policy's own; the first that matches decides",
          "'role=attn-q|attn-k -> off'; selectors role name block depth first last, actions off "
          "off:q3|q4 on recipe:NAME",
          [](const std::string& text) { train::parse_policy_rule(text); });
  t.integer("seed", FP4LAB_AT(seed), "of everything random", 0, kSeed);
  t.integer("seed_data", FP4LAB_AT(seed_data), "of the order of the data; -1 = seed", -1, kSeed);
  t.integer("seed_init", FP4LAB_AT(seed_init), "of initial weights; -1 = seed", -1, kSeed);
  t.integer("seed_sr", FP4LAB_AT(seed_sr), "of stochastic rounding, signs and noise; -1 = seed", -1,
            kSeed);
  t.text("accumulate", FP4LAB_AT(accumulate), "how products of quantized layers sum",
         "a name of `fp4lab gemm --help`, as block-exact, fp32-fma, sm100",
         [](const std::string& text) { return to_string(parse_accumulator(text)); });
  t.id("compute", FP4LAB_AT(compute), "type of unquantized operands of products", kCompute);
  t.id("bias_grad", FP4LAB_AT(bias_grad), "which dY the bias gradient sums", kBiasGrad);
}

std::string known_model(const std::string& text) {
  static const std::vector<std::string> kinds{"toy1d",    "mlp",      "resnet-mini",
                                              "vit-mini", "gpt-mini", "hybrid-mini"};
  const std::string id = normalize_name(text);
  if (std::find(kinds.begin(), kinds.end(), id) == kinds.end()) {
    throw std::invalid_argument("unknown model '" + printable(text, 60) + "'" +
                                nearest_hint(id, kinds));
  }
  return id;
}

void add_model(Table& t) {
  Key& kind = t.text("model.kind", FP4LAB_AT(model.kind), "which network",
                     "toy1d mlp resnet-mini vit-mini gpt-mini hybrid-mini", known_model);
  kind.choices = {"toy1d", "mlp", "resnet-mini", "vit-mini", "gpt-mini", "hybrid-mini"};
  t.integer("model.dim", FP4LAB_AT(model.dim), "width of the residual stream", 1, 65536);
  t.integer("model.layers", FP4LAB_AT(model.layers), "blocks; hidden layers of mlp", 1, 4096);
  t.integer("model.heads", FP4LAB_AT(model.heads), "attention heads", 1, 4096);
  t.integer("model.length", FP4LAB_AT(model.length), "context of language models, in tokens", 1,
            1 << 20);
  t.number("model.ffn_ratio", FP4LAB_AT(model.ffn_ratio), "width of the feed-forward part / dim",
           0.125, 64);
  t.integer("model.patch", FP4LAB_AT(model.patch), "patch side of vit-mini, in pixels", 1, 1024);
  t.integer("model.experts", FP4LAB_AT(model.experts), "experts of hybrid-mini", 1, 1024);
  t.integer("model.top_k", FP4LAB_AT(model.top_k), "experts a token goes to", 1, 1024);
  t.integer("model.ssm_state", FP4LAB_AT(model.ssm_state), "state size of the scan", 1, 4096);
  t.integer("model.ssm_conv", FP4LAB_AT(model.ssm_conv), "taps of the scan's convolution", 1, 64);
  t.integer("model.ssm_expand", FP4LAB_AT(model.ssm_expand), "inner width of the scan / dim", 1,
            64);
  t.number("model.router_balance", FP4LAB_AT(model.router_balance),
           "weight of the load balancing loss", 0, 1000);
  t.number("model.rope_base", FP4LAB_AT(model.rope_base), "base of rotary positions", 1, 1e9);
  t.number("model.norm_eps", FP4LAB_AT(model.norm_eps), "epsilon of norms", 0, 1);
  t.boolean("model.attention_bmm", FP4LAB_AT(model.attention_bmm),
            "quantize the two products inside attention as well");
  t.integer("model.outlier_channels", FP4LAB_AT(model.outlier_channels),
            "gains of each norm that are made outliers, without changing the function", 0, 65536);
  t.number("model.outlier_gain", FP4LAB_AT(model.outlier_gain), "factor of those gains", 1, 1e6);
  t.number("model.target", FP4LAB_AT(model.target), "toy1d: the weight that is sought", -1e6, 1e6);
  t.number("model.start", FP4LAB_AT(model.start), "toy1d: the weight's first value", -1e6, 1e6);
}

void add_data(Table& t) {
  t.text("data.name", FP4LAB_AT(data.name), "built-in data set or a file",
         "text grammar digits glyphs uniform, or the path of a file", [](const std::string& text) {
           if (text.empty()) throw std::invalid_argument("a data set needs a name");
           return text;
         });
  t.text("data.sha256", FP4LAB_AT(data.sha256),
         "hash the data must have; empty = any, filled in when it is loaded",
         "64 hexadecimal digits, or empty", [](const std::string& text) {
           const bool hex = text.find_first_not_of("0123456789abcdef") == std::string::npos;
           if (!text.empty() && (text.size() != 64 || !hex)) {
             throw std::invalid_argument("a SHA-256 has 64 lower-case hexadecimal digits");
           }
           return text;
         });
  t.text("data.labels", FP4LAB_AT(data.labels), "label file of an IDX image file", "a path");
  t.integer("data.items", FP4LAB_AT(data.items),
            "characters or images of a procedural set; 0 = its default", 0, kMany);
  t.integer("data.classes", FP4LAB_AT(data.classes), "classes of glyphs; 0 = its default", 0, 1000);
  t.number("data.eval_fraction", FP4LAB_AT(data.eval_fraction), "held-out share", 0.001, 0.9);
  t.number("data.outlier_share", FP4LAB_AT(data.outlier_share),
           "share of images made outlier tokens of the batch; 0 = none", 0, 1);
  t.number("data.outlier_gain", FP4LAB_AT(data.outlier_gain), "factor on their pixels", 0, 1e6);
}

void add_train(Table& t) {
  t.integer("train.steps", FP4LAB_AT(train.steps), "optimizer steps of the run", 1, kMany);
  t.integer("train.batch", FP4LAB_AT(train.batch), "items (sequences, images) a step", 1, kMany);
  t.integer("train.microbatches", FP4LAB_AT(train.microbatches),
            "equal parts a batch is cut into; divides the batch", 1, 65535);
  t.integer("train.eval_every", FP4LAB_AT(train.eval_every),
            "steps between evaluations; 0 = at the end only", 0, kMany);
  t.integer("train.eval_items", FP4LAB_AT(train.eval_items),
            "held-out items of an evaluation; 0 = all", 0, kMany);
  t.integer("train.reestimate_batches", FP4LAB_AT(train.reestimate_batches),
            "training batches over which batch norms average their statistics anew before the last "
            "evaluation; 0 = the running averages stay",
            0, kMany);
  t.number("train.diverge_factor", FP4LAB_AT(train.diverge_factor),
           "stop as diverged when the loss exceeds this many times ln(classes); 0 = never", 0, 1e9);
  t.integer("train.diverge_skips", FP4LAB_AT(train.diverge_skips),
            "stop as diverged after so many skipped steps in a row", 1, kMany);
}

void add_optim(Table& t) {
  t.id("optim.rule", FP4LAB_AT(optim.rule.kind), "optimizer", kOptimizers);
  t.number("optim.lr", FP4LAB_AT(optim.lr), "highest learning rate", 0, 1e6);
  t.number("optim.momentum", FP4LAB_AT(optim.rule.momentum), "sgd", 0, 1);
  t.number("optim.dampening", FP4LAB_AT(optim.rule.dampening), "sgd", 0, 1);
  t.boolean("optim.nesterov", FP4LAB_AT(optim.rule.nesterov), "sgd");
  t.number("optim.beta1", FP4LAB_AT(optim.rule.beta1), "adam, adamw: of the first moment", 0,
           0.9999999);
  t.number("optim.beta2", FP4LAB_AT(optim.rule.beta2), "adam, adamw: of the second moment", 0,
           0.9999999);
  t.number("optim.eps", FP4LAB_AT(optim.rule.eps), "adam, adamw", 0, 1);
  t.id("optim.eps_placement", FP4LAB_AT(optim.rule.eps_placement),
       "torch: m/(sqrt(v)/sqrt(c2)+eps), hf: sqrt(c2) m/(sqrt(v)+eps)", kEpsPlacements);
  t.boolean("optim.amsgrad", FP4LAB_AT(optim.rule.amsgrad), "adam, adamw: running maximum of v");
  t.number("optim.weight_decay", FP4LAB_AT(optim.rule.weight_decay),
           "of weight matrices; decoupled in adamw", 0, 1000);
  t.number("optim.clip", FP4LAB_AT(optim.clip), "largest global gradient norm; 0 = off", 0, 1e9);
  t.id("optim.nonfinite", FP4LAB_AT(optim.nonfinite), "what a non-finite gradient does",
       kNonfinite);
  t.id("optim.master", FP4LAB_AT(optim.master), "storage of weights", kStorages);
  t.id("optim.master_round", FP4LAB_AT(optim.master_round), "write-back of bf16 weights",
       kStoreRoundings);
  t.id("optim.grad_accum", FP4LAB_AT(optim.grad_accum), "storage of the sum over microbatches",
       kStorages);
  t.id("optim.grad_accum_round", FP4LAB_AT(optim.grad_accum_round), "rounding of a bf16 sum",
       kStoreRoundings);
  t.number("optim.loss_scale", FP4LAB_AT(optim.loss_scale.initial),
           "factor on the loss before the backward pass", 0x1p-60, 0x1p60);
  t.boolean("optim.loss_scale_dynamic", FP4LAB_AT(optim.loss_scale.dynamic),
            "halve it at a non-finite step, double it after good ones");
  t.integer("optim.loss_scale_growth", FP4LAB_AT(optim.loss_scale.growth_interval),
            "good steps before it doubles", 1, kMany);
}

void add_schedule(Table& t) {
  t.id("schedule.kind", FP4LAB_AT(schedule.kind), "learning rate over the run", kSchedules);
  t.number("schedule.warmup", FP4LAB_AT(schedule.warmup), "share of the run that rises", 0, 1);
  t.number("schedule.min_ratio", FP4LAB_AT(schedule.min_ratio), "lowest rate / highest rate", 0, 1);
  t.number("schedule.decay", FP4LAB_AT(schedule.decay), "wsd: share of the run that decays", 0, 1);
  t.id("schedule.shape", FP4LAB_AT(schedule.shape), "wsd: shape of the decay", kShapes);
  t.number("schedule.half_life", FP4LAB_AT(schedule.half_life),
           "wsd, exponential: share of the decay in which the rate halves", 0.001, 1000);
  t.number("schedule.tail", FP4LAB_AT(schedule.tail),
           "share of the run at its end with a triangle of its own", 0, 1);
  t.number("schedule.tail_ratio", FP4LAB_AT(schedule.tail_ratio), "peak of it / highest rate", 0,
           1);
}

std::string canonical_spec(const std::string& text) {
  if (normalize_name(text) == "none") return "none";
  return to_string(parse_spec(text));
}

void add_slots(Table& t) {
  for (std::size_t i = 0; i < nn::kSlots; ++i) {
    static constexpr const char* kOperands[] = {"X of Y = X W^T",    "W of Y = X W^T",
                                                "dY of dX = dY W",   "W of dX = dY W",
                                                "dY of dW = dY^T X", "X of dW = dY^T X"};
    const std::string prefix = "slots.q" + std::to_string(i + 1) + ".";
    Key& spec = t.add(prefix + "spec", KeyType::text, std::string("quantizer of ") + kOperands[i],
                      "a spec as `fp4lab quantize --spec` takes, or none");
    spec.get = [i](const TrainConfig& c) {
      const nn::SlotSource source = c.slots[i].source;
      const bool own = source == nn::SlotSource::master || source == nn::SlotSource::requant;
      return Value(own ? to_string(c.slots[i].spec) : std::string("none"));
    };
    spec.set = [i](TrainConfig& c, const Value& v) {
      const std::string text = canonical_spec(std::get<std::string>(v));
      nn::SlotConfig& slot = c.slots[i];
      if (text == "none") {
        slot.spec = QuantSpec{};
        if (slot.source == nn::SlotSource::master || slot.source == nn::SlotSource::requant) {
          slot.source = nn::SlotSource::none;
        }
        return;
      }
      slot.spec = parse_spec(text);
      if (slot.source == nn::SlotSource::none) slot.source = nn::SlotSource::master;
    };
    t.id(
        prefix + "source", [i](TrainConfig& c) -> nn::SlotSource& { return c.slots[i].source; },
        "where the operand comes from", kSources);
    t.id(
        prefix + "estimator",
        [i](TrainConfig& c) -> nn::EstimatorKind& { return c.slots[i].estimator.kind; },
        "gradient through the quantizer", kEstimators);
  }
}

/// Parameters of estimators are the same for every slot.
template <class Member>
void estimator_number(Table& t, const std::string& name, Member member, const std::string& meaning,
                      double low, double high) {
  Key& key = t.number(
      "estimator." + name,
      [member](TrainConfig& c) -> double& { return c.slots[0].estimator.*member; }, meaning, low,
      high);
  const auto set_first = key.set;
  key.set = [member, set_first](TrainConfig& c, const Value& v) {
    set_first(c, v);
    for (auto& slot : c.slots) slot.estimator.*member = c.slots[0].estimator.*member;
  };
}

void add_estimators(Table& t) {
  using E = nn::EstimatorConfig;
  estimator_number(t, "dge_k", &E::dge_k, "dge: exponent", 1, 100);
  estimator_number(t, "dge_cap", &E::dge_cap, "dge: largest factor", 0, 1e6);
  estimator_number(t, "pact_init", &E::pact_init, "pact: initial clip value", 0, 1e6);
  estimator_number(t, "pact_decay", &E::pact_decay, "pact: decay of the clip value", 0, 1);
  estimator_number(t, "ewgs_delta", &E::ewgs_delta, "ewgs: strength", 0, 10);
  estimator_number(t, "sigmoid_alpha", &E::sigmoid_alpha, "stacked-sigmoid: steepness", 0.001, 1e3);
  estimator_number(t, "dsq_alpha", &E::dsq_alpha, "dsq: softness", 0.001, 0.5);
  estimator_number(t, "reste_t", &E::reste_t, "reste: range", 0.1, 100);
  estimator_number(t, "reste_o", &E::reste_o, "reste: exponent at the end of the run", 1, 100);
  estimator_number(t, "stableqat_a", &E::stableqat_a, "stableqat: amplitude", 0, 0.22);
  estimator_number(t, "quest_trust", &E::quest_trust,
                   "quest-mask: trusted distance in units of the scale; 0 = half the largest step",
                   0, 1e6);
  Key& group = t.integer(
      "estimator.diffq_group",
      [](TrainConfig& c) -> std::uint32_t& { return c.slots[0].estimator.diffq_group; },
      "diffq: elements that share a noise width", 1, 65536);
  const auto set_first = group.set;
  group.set = [set_first](TrainConfig& c, const Value& v) {
    set_first(c, v);
    for (auto& slot : c.slots) slot.estimator.diffq_group = c.slots[0].estimator.diffq_group;
  };
}

void add_rest(Table& t) {
  t.id("phase.preset", FP4LAB_AT(phase.preset), "named schedule of precision", kPhases);
  t.number("phase.fraction", FP4LAB_AT(phase.fraction),
           "share of the run it lasts; 0 = the preset's own", 0, 1);
  t.boolean("phase.rewarm", FP4LAB_AT(phase.rewarm), "qaf: a learning rate triangle of its own");
  t.texts("phase.list", FP4LAB_AT(phase.list), "precision from a share of the run on",
          "'0.9 -> off:q3|q4|q5|q6', '0.95 -> on'; also off:forward backward weights all",
          [](const std::string& text) { train::parse_phase(text); });

  const auto cadence = [&](const char* name, auto at, const char* what) {
    t.integer(name, at, std::string("steps between ") + what + "; 0 = never", 0, kMany);
  };
  cadence("log.slots_every", FP4LAB_AT(log.slots_every), "statistics of the slots");
  cadence("log.gemms_every", FP4LAB_AT(log.gemms_every), "comparisons with the binary32 product");
  cadence("log.norms_every", FP4LAB_AT(log.norms_every), "gradient norms of layers");
  cadence("log.attention_every", FP4LAB_AT(log.attention_every),
          "entropies of attention and loads of routers");
  cadence("log.osc_every", FP4LAB_AT(log.osc_every), "the beginnings of oscillation windows");
  t.integer("log.osc_window", FP4LAB_AT(log.osc_window), "steps of a window", 1, kMany);
  t.integer("log.osc_last_window", FP4LAB_AT(log.osc_last_window),
            "steps of the window at the end of the run; 0 = none", 0, kMany);
  t.number("log.osc_momentum", FP4LAB_AT(log.osc_momentum), "of the oscillation frequency", 0, 1);
  t.integer("log.probe_items", FP4LAB_AT(log.probe_items),
            "held-out items of the fixed batch behind r_y; 0 = no r_y", 0, 65536);
  t.number("log.trace_fraction", FP4LAB_AT(log.trace_fraction),
           "share of the run at its end with full traces of 64 weights a layer", 0, 1);

  Key& executor = t.text("run.executor", FP4LAB_AT(run.executor), "where operations run", "cpu",
                         [](const std::string& text) {
                           if (normalize_name(text) != "cpu") {
                             throw std::invalid_argument("'" + printable(text, 40) +
                                                         "' is no executor of training; cpu is");
                           }
                           return std::string("cpu");
                         });
  executor.choices = {"cpu"};
  t.integer("run.threads", FP4LAB_AT(run.threads), "threads; 0 = OMP_NUM_THREADS or all", 0, 4096);
  t.text("run.checkpoint", FP4LAB_AT(run.checkpoint), "folder of checkpoints; empty = none",
         "a path");
  t.integer("run.checkpoint_every", FP4LAB_AT(run.checkpoint_every),
            "steps between checkpoints; 0 = at an interruption only", 0, kMany);
}

#undef FP4LAB_AT

std::string basic_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      static constexpr char kHex[] = "0123456789ABCDEF";
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

const char* type_name(KeyType type) noexcept {
  switch (type) {
    case KeyType::boolean:
      return "true or false";
    case KeyType::integer:
      return "a whole number";
    case KeyType::number:
      return "a number";
    case KeyType::text:
      return "a text";
    case KeyType::texts:
      return "a list of texts";
  }
  return "";
}

const std::vector<Key>& all_keys() {
  static const std::vector<Key> keys = [] {
    Table table;
    add_top(table);
    add_model(table);
    add_data(table);
    add_train(table);
    add_optim(table);
    add_schedule(table);
    add_slots(table);
    add_estimators(table);
    add_rest(table);
    return table.take();
  }();
  return keys;
}

const Key* find_key(std::string_view name) {
  const auto& keys = all_keys();
  const auto at = std::lower_bound(keys.begin(), keys.end(), name,
                                   [](const Key& key, std::string_view n) { return key.name < n; });
  return at != keys.end() && at->name == name ? &*at : nullptr;
}

std::vector<std::string> key_names() {
  std::vector<std::string> names;
  for (const Key& key : all_keys()) names.push_back(key.name);
  return names;
}

std::string toml_text(const Value& value) {
  struct Printer {
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const {
      std::string text = number_text(v);
      // An exponent alone makes a TOML float; a whole number needs its point.
      if (text.find_first_of(".en") == std::string::npos) text += ".0";
      return text;
    }
    std::string operator()(const std::string& v) const { return basic_string(v); }
    std::string operator()(const std::vector<std::string>& v) const {
      std::string text = "[";
      for (const auto& item : v) text += (text.size() > 1 ? ", " : "") + basic_string(item);
      return text + "]";
    }
  };
  return std::visit(Printer{}, value);
}

}  // namespace fp4lab::config
