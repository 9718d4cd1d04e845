#include <array>
#include <cctype>
#include <stdexcept>
#include <string>

#include "sim/models/factories.h"

namespace fp4lab::nn {
namespace {

struct Kind {
  const char* name;
  std::unique_ptr<Model> (*make)(const ModelConfig&, BuildContext&);
};
constexpr std::array<Kind, 6> kKinds = {{{"toy1d", make_toy1d},
                                         {"mlp", make_mlp},
                                         {"resnet-mini", make_resnet_mini},
                                         {"vit-mini", make_vit_mini},
                                         {"gpt-mini", make_gpt_mini},
                                         {"hybrid-mini", make_hybrid_mini}}};

}  // namespace

std::unique_ptr<Model> make_model(const ModelConfig& config, BuildContext& build) {
  std::string id = config.kind;
  for (char& c : id) {
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  std::string known;
  for (const Kind& kind : kKinds) {
    if (id == kind.name) return kind.make(config, build);
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw std::invalid_argument("model.kind: no model '" + config.kind + "'; there are " + known);
}

}  // namespace fp4lab::nn
