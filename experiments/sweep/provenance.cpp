#include "experiments/sweep/provenance.h"

#include <omp.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <fstream>

namespace fp4lab::sweep {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(':');
    return colon == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "unknown";
}

std::string instruction_set() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  if (__builtin_cpu_supports("sse4.2")) return "sse4";
  return "sse2";
#elif defined(__aarch64__)
  return "neon";
#else
  return "scalar";
#endif
}

}  // namespace

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

void add_provenance(store::ResultFile& file, const Experiment& experiment, const Program& program,
                    const std::string& started, double wall_seconds) {
  auto& a = file.attributes;
  a["config"] = experiment.canonical();
  a["config_sha256"] = config_sha256(experiment);
  a["run_id"] = run_id(experiment);
  a["title"] = experiment.title();
  a["seed"] = static_cast<std::int64_t>(experiment.seed());
  a["software"] = std::string("fp4lab");
  a["software_version"] = program.version;
  a["git_commit"] = program.commit;
  a["git_dirty"] = static_cast<std::int64_t>(program.dirty);
  a["compiler"] = program.compiler;
  a["flags"] = program.flags;
  a["command_line"] = program.command_line;
  a["host"] = host_name();
  a["cpu"] = cpu_name();
  a["isa"] = instruction_set();
  a["threads"] = static_cast<std::int64_t>(omp_get_max_threads());
  a["executor"] = std::string("cpu");
  a["started"] = started;
  a["finished"] = utc_now();
  a["wall_s"] = wall_seconds;
}

}  // namespace fp4lab::sweep
