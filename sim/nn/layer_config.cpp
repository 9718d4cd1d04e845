#include "sim/nn/layer_config.h"

#include <array>
#include <cctype>
#include <utility>

namespace fp4lab::nn {
namespace {

constexpr std::array<std::pair<Role, const char*>, 23> kRoles = {{
    {Role::embedding, "embedding"},   {Role::pos, "pos"},
    {Role::norm, "norm"},             {Role::attn_q, "attn-q"},
    {Role::attn_k, "attn-k"},         {Role::attn_v, "attn-v"},
    {Role::attn_o, "attn-o"},         {Role::attn_bmm, "attn-bmm"},
    {Role::ffn_up, "ffn-up"},         {Role::ffn_gate, "ffn-gate"},
    {Role::ffn_down, "ffn-down"},     {Role::ssm_in, "ssm-in"},
    {Role::ssm_out, "ssm-out"},       {Role::ssm_conv, "ssm-conv"},
    {Role::ssm_scan, "ssm-scan"},     {Role::router, "router"},
    {Role::expert_up, "expert-up"},   {Role::expert_gate, "expert-gate"},
    {Role::expert_down, "expert-down"}, {Role::head, "head"},
    {Role::patch_embed, "patch-embed"}, {Role::conv, "conv"},
    {Role::conv1x1, "conv1x1"},
}};

}  // namespace

const char* role_name(Role role) noexcept {
  for (const auto& [r, name] : kRoles) {
    if (r == role) return name;
  }
  return "";
}

bool parse_role(const std::string& text, Role& role) noexcept {
  std::string id = text;
  for (char& c : id) {
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const auto& [r, name] : kRoles) {
    if (id == name) {
      role = r;
      return true;
    }
  }
  return false;
}

}  // namespace fp4lab::nn
