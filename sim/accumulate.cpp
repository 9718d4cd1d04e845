#include "sim/accumulate.h"

#include <algorithm>
#include <array>

#include "formats/names.h"
#include "formats/registry.h"

namespace fp4lab {
namespace {

using detail::Piece;
using Kind = AccumulatorKind;

struct ModelName {
  std::string_view id;
  std::string_view pattern;
  Kind kind;
};
constexpr ModelName kModels[] = {
    {"exact", "exact", Kind::exact},
    {"block-exact", "block-exact", Kind::block_exact},
    {"fp32-seq", "fp32-seq", Kind::fp32_seq},
    {"fp32-fma", "fp32-fma", Kind::fp32_fma},
    {"fp32-tree", "fp32-tree:LEAF", Kind::fp32_tree},
    {"fp32-split", "fp32-split:PARTS", Kind::fp32_split},
    {"fp32-block", "fp32-block", Kind::fp32_block},
    {"promote", "promote:N:INNER", Kind::promote},
    {"chunk", "chunk:FORMAT:LENGTH", Kind::chunk},
    {"acc", "acc:FORMAT", Kind::acc},
    {"acc-sr", "acc-sr:FORMAT:BITS", Kind::acc_sr},
    {"tfs", "tfs:TERMS:FRACTION:FLOOR:OUT[:ALIGN]", Kind::tfs},
};
/// Other spellings of the same models.
struct Alias {
  std::string_view name;
  std::string_view text;
};
constexpr Alias kAliases[] = {{"fp16-chunk", "chunk:fp16:64"},
                              {"f32-seq", "fp32-seq"},
                              {"f32-fma", "fp32-fma"},
                              {"f32-tree", "fp32-tree"},
                              {"f32-block16", "fp32-block"}};

constexpr std::array<NameRow<OutRound>, 4> kOutNames = {{
    {OutRound::f32_rz, "f32-rz", ""},
    {OutRound::f16_rne, "f16-rne", ""},
    {OutRound::e8m13_rz, "e8m13-rz", ""},
    {OutRound::f32_rne, "f32-rne", ""},
}};
constexpr std::array<NameRow<AlignRound>, 2> kAlignNames = {{
    {AlignRound::truncate, "truncate", "rtz"},
    {AlignRound::nearest_even, "nearest-even", "rne"},
}};
constexpr std::array<NameRow<PromoteOp>, 2> kOpNames = {{
    {PromoteOp::add, "add", ""},
    {PromoteOp::fma_scale, "fma-scale", ""},
}};
constexpr std::array<NameRow<ReduceOrder>, 2> kReduceNames = {{
    {ReduceOrder::ascending, "ascending", ""},
    {ReduceOrder::pairwise, "pairwise", ""},
}};
constexpr std::array<NameRow<ZeroRule>, 2> kZeroNames = {{
    {ZeroRule::ignore, "ignore", ""},
    {ZeroRule::mmasim, "mmasim", ""},
}};

/// Every name that may stand first.
std::vector<std::string> first_names() {
  std::vector<std::string> names;
  for (const ModelName& m : kModels) names.emplace_back(m.id);
  for (const Alias& a : kAliases) names.emplace_back(a.name);
  for (const GemmPlan& p : named_plans()) names.push_back(p.name);
  for (const std::string& p : preset_prefixes()) names.push_back(p);
  for (const MmaPreset& p : mma_presets()) names.push_back(p.id);
  return names;
}

std::string parse_format(const Piece& p) {
  const FormatInfo* f = find_format(p.text);
  if (f == nullptr) {
    p.fail("unknown format '" + printable(p.text) + "'" +
           nearest_hint(normalize_name(p.text), all_format_names()));
  }
  const ElementFormat& e = f->format;
  if (!e.is_signed || !e.has_zero() || e.kind != FormatKind::minifloat) {
    p.fail("'" + std::string(f->id) +
           "' cannot accumulate: a signed floating-point format with a "
           "zero is needed, such as fp16, bf16 or e6m9");
  }
  return std::string(f->id);
}

/// The arguments behind the model's name.
class Arguments {
 public:
  Arguments(const Piece& whole, std::optional<Piece> rest, std::string pattern)
      : whole_(whole), rest_(std::move(rest)), pattern_(std::move(pattern)) {}
  /// The next argument; an error that shows the pattern where there is none.
  Piece next() {
    if (!rest_) whole_.fail("'" + printable(whole_.text) + "' lacks an argument; " + pattern_);
    const auto [head, tail] = rest_->split(':');
    rest_ = tail;
    if (head.text.empty()) head.fail("empty argument; " + pattern_);
    return head;
  }
  bool more() const { return rest_.has_value(); }
  Piece remaining() {
    if (!rest_) whole_.fail("'" + printable(whole_.text) + "' lacks an argument; " + pattern_);
    const Piece p = *rest_;
    rest_.reset();
    return p;
  }
  void finish() const {
    if (rest_)
      rest_->fail("'" + printable(rest_->text) + "' is one argument too many; " + pattern_);
  }

 private:
  Piece whole_;
  std::optional<Piece> rest_;
  std::string pattern_;
};

Accumulator parse(const Piece& p, int depth);

/// L terms of fused sums fit 62-bit integers: |S| < L * 2^(F + 5), and c.
void parse_tfs(Accumulator& a, Arguments& args) {
  a.fused.terms = detail::parse_int(args.next(), 1, 4096, "a number of terms");
  a.fused.fraction_bits = detail::parse_int(args.next(), 1, 44, "a number of fraction bits");
  const Piece floor = args.next();
  a.fused.floor = normalize_name(floor.text) == "none"
                      ? kNoFloor
                      : detail::parse_int(floor, -1000, 1000, "an exponent floor or 'none'");
  a.fused.out = detail::lookup(args.next(), kOutNames, "output rounding");
  if (args.more()) a.fused.align = detail::lookup(args.next(), kAlignNames, "alignment");
}

Accumulator parse_model(const Piece& p, const ModelName& model, std::optional<Piece> rest,
                        int depth) {
  Accumulator a;
  a.kind = model.kind;
  Arguments args(p, std::move(rest), "write " + std::string(model.pattern));
  switch (model.kind) {
    case Kind::fp32_tree:
      a.n = args.more() ? detail::parse_int(args.next(), 1, 1 << 20, "a number of leaves") : 1;
      break;
    case Kind::fp32_split:
      a.n = detail::parse_int(args.next(), 1, 1 << 20, "a number of parts");
      break;
    case Kind::promote:
      a.n = detail::parse_int(args.next(), 1, 1 << 30, "a number of products");
      if (depth >= 4) p.fail("promote inside promote more than four deep");
      a.inner = std::make_shared<const Accumulator>(parse(args.remaining(), depth + 1));
      break;
    case Kind::chunk:
      a.format = parse_format(args.next());
      a.n = args.more() ? detail::parse_int(args.next(), 1, 1 << 20, "a chunk length") : 64;
      break;
    case Kind::acc:
      a.format = parse_format(args.next());
      break;
    case Kind::acc_sr: {
      a.format = parse_format(args.next());
      // Sums are held with 53 bits: the format's own and the random ones must fit.
      const int room = std::min(32, 51 - find_format(a.format)->format.mantissa_bits);
      a.n = 16;
      if (args.more()) a.n = detail::parse_int(args.next(), 1, room, "a number of random bits");
      break;
    }
    case Kind::tfs:
      parse_tfs(a, args);
      break;
    default:
      break;
  }
  args.finish();
  return a;
}

/// INSTRUCTION[,key=value]...
Accumulator parse_plan(const Piece& p) {
  Accumulator a;
  a.kind = Kind::plan;
  auto [head, rest] = p.split(',');
  if (const GemmPlan* named = find_plan(head.text)) {
    a.plan = *named;
    if (rest) rest->fail("plan '" + named->name + "' takes no options");
    return a;
  }
  if (const MmaPreset* preset = find_preset(head.text)) {
    a.plan.instruction = preset->id;
    a.plan.evidence = preset->evidence;
    a.plan.source = preset->source;
  } else {
    a.plan.instruction = canonical_prefix(head.text);
    if (a.plan.instruction.empty()) {
      head.fail("unknown accumulator '" + printable(head.text) + "'" +
                nearest_hint(normalize_name(head.text), first_names()));
    }
  }
  while (rest) {
    const auto [option, more] = rest->split(',');
    const auto [key, value] = option.split('=');
    if (!value) option.fail("'" + printable(option.text) + "' is no key=value");
    const std::string name = normalize_name(key.text);
    if (name == "promote") {
      a.plan.promote_every = detail::parse_int(*value, 0, 1 << 30, "a number of products");
    } else if (name == "op") {
      a.plan.op = detail::lookup(*value, kOpNames, "promotion");
    } else if (name == "split-k") {
      a.plan.split_k = detail::parse_int(*value, 1, 1 << 16, "a number of parts");
    } else if (name == "reduce") {
      a.plan.reduce = detail::lookup(*value, kReduceNames, "order");
    } else if (name == "zero") {
      a.plan.zero = detail::lookup(*value, kZeroNames, "zero rule");
      a.plan.zero_set = true;
    } else {
      const std::array<std::string, 5> keys = {"promote", "op", "split-k", "reduce", "zero"};
      key.fail("unknown option '" + printable(key.text) + "'" + nearest_hint(name, keys));
    }
    rest = more;
  }
  if (a.plan.op == PromoteOp::fma_scale && a.plan.promote_every == 0) {
    p.fail("op=fma-scale needs promote=N");
  }
  const bool options = a.plan.promote_every != 0 || a.plan.split_k != 1 || a.plan.zero_set;
  if (options) a.plan.evidence = Evidence::unverified;
  return a;
}

Accumulator parse(const Piece& p, int depth) {
  const auto [head, rest] = p.split(':');
  const std::string name = normalize_name(head.text);
  for (const Alias& alias : kAliases) {
    if (name != alias.name) continue;
    // The alias stands in for its text; errors in what follows keep their place.
    if (alias.text.find(':') != std::string_view::npos) {
      if (rest) rest->fail("'" + std::string(alias.name) + "' takes no argument");
      return parse(Piece{alias.text, alias.text, 0}, depth);
    }
    for (const ModelName& m : kModels) {
      if (m.id == alias.text) return parse_model(p, m, rest, depth);
    }
  }
  for (const ModelName& m : kModels) {
    if (name == m.id) return parse_model(p, m, rest, depth);
  }
  return parse_plan(p);
}

}  // namespace

Accumulator parse_accumulator(std::string_view text) {
  const Piece p{text, text, 0};
  if (text.empty()) p.fail("empty accumulator; block-exact is the default");
  return parse(p, 0);
}

std::string to_string(const Accumulator& a) {
  const std::string n = std::to_string(a.n);
  switch (a.kind) {
    case Kind::exact:
    case Kind::block_exact:
    case Kind::fp32_seq:
    case Kind::fp32_fma:
    case Kind::fp32_block:
      for (const ModelName& m : kModels) {
        if (m.kind == a.kind) return std::string(m.id);
      }
      break;
    case Kind::fp32_tree:
      return "fp32-tree:" + n;
    case Kind::fp32_split:
      return "fp32-split:" + n;
    case Kind::promote:
      return "promote:" + n + ":" + to_string(*a.inner);
    case Kind::chunk:
      return "chunk:" + a.format + ":" + n;
    case Kind::acc:
      return "acc:" + a.format;
    case Kind::acc_sr:
      return "acc-sr:" + a.format + ":" + n;
    case Kind::tfs: {
      std::string s = "tfs:" + std::to_string(a.fused.terms) + ":" +
                      std::to_string(a.fused.fraction_bits) + ":";
      s += a.fused.floor == kNoFloor ? "none" : std::to_string(a.fused.floor);
      s += ":" + std::string(detail::id_of(a.fused.out, kOutNames));
      if (a.fused.align != AlignRound::truncate) {
        s += ":" + std::string(detail::id_of(a.fused.align, kAlignNames));
      }
      return s;
    }
    case Kind::plan:
      return to_string(a.plan);
  }
  return "?";
}

std::vector<std::string> accumulator_names() {
  std::vector<std::string> names;
  for (const ModelName& m : kModels) names.emplace_back(m.pattern);
  names.emplace_back("fp16-chunk");
  for (const GemmPlan& p : named_plans()) names.push_back(p.name);
  for (const std::string& p : preset_prefixes()) names.push_back(p);
  for (const MmaPreset& p : mma_presets()) names.push_back(p.id);
  return names;
}

std::string evidence_text(const Accumulator& a) {
  if (a.kind == Kind::promote) return evidence_text(*a.inner);
  if (a.kind != Kind::plan) return {};
  std::string s(to_string(a.plan.evidence));
  if (!a.plan.source.empty()) s += ": " + a.plan.source;
  return s;
}

}  // namespace fp4lab
