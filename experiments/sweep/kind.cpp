#include "experiments/sweep/kind.h"

#include "data/error.h"
#include "data/sha256.h"
#include "formats/names.h"

namespace fp4lab::sweep {

std::string config_sha256(const Experiment& experiment) {
  return sha256_hex(experiment.canonical());
}
std::string run_id(const Experiment& experiment) { return config_sha256(experiment).substr(0, 12); }

const std::vector<const Kind*>& kinds() {
  static const std::vector<const Kind*> all = {&train_kind(), &error_kind(), &gemm_kind(),
                                               &rounding_kind()};
  return all;
}

const Kind& find_kind(std::string_view name, const std::string& place) {
  std::vector<std::string> names;
  for (const Kind* kind : kinds()) {
    if (normalize_name(name) == kind->name()) return *kind;
    names.push_back(kind->name());
  }
  throw InputError(place + "no kind of experiment '" + printable(name, 40) + "'" +
                   nearest_hint(normalize_name(name), names) +
                   "; there are train, error, gemm, rounding");
}

const KeyInfo* find_key(const Kind& kind, std::string_view name) {
  for (const KeyInfo& key : kind.keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

}  // namespace fp4lab::sweep
