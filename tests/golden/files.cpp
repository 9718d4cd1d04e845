#include "tests/golden/files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

namespace fp4lab::golden {
namespace {

constexpr const char* kSuffix = ".gv.gz";

bool is_golden(const std::filesystem::path& path) { return path.string().ends_with(kSuffix); }

}  // namespace

std::string root() {
  const char* other = std::getenv("FP4LAB_GOLDEN_DIR");
  return other != nullptr && *other != '\0' ? other : FP4LAB_GOLDEN_DIR;
}

std::vector<std::string> stored_files() {
  // Trajectories of training have test programs of their own: tests/nn, tests/train.
  static constexpr std::string_view kElsewhere[] = {"optimizers", "peer_mlp_mxfp4", "dge"};
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root())) {
    const std::string folder = entry.path().parent_path().filename().string();
    if (std::find(std::begin(kElsewhere), std::end(kElsewhere), folder) != std::end(kElsewhere)) {
      continue;
    }
    if (is_golden(entry.path())) out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> stems(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(root() + "/" + folder)) {
    if (!is_golden(entry.path())) continue;
    const std::string name = entry.path().filename().string();
    out.push_back(name.substr(0, name.size() - std::string(kSuffix).size()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

const File& file(const std::string& folder, const std::string& stem) {
  static std::mutex mutex;
  static std::map<std::string, File> cache;
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string path = root() + "/" + folder + "/" + stem + kSuffix;
  const auto found = cache.find(path);
  if (found != cache.end()) return found->second;
  return cache.emplace(path, File::load(path)).first->second;
}

}  // namespace fp4lab::golden
