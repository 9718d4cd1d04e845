// fp4lab_cuda_check: do the kernels give the CPU's bits? Exit code 0: yes, 1: no, 3: no device.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>

#include "cuda/check.h"
#include "cuda/device.h"

namespace fp4lab::cuda {

void report(Tally& tally, const std::string& name, std::uint64_t cases, std::uint64_t mismatches,
            const std::string& first) {
  std::printf("%-44s cases %14llu  mismatches %llu  %s%s%s\n", name.c_str(),
              static_cast<unsigned long long>(cases), static_cast<unsigned long long>(mismatches),
              mismatches == 0 ? "ok" : "DIFFERS", first.empty() ? "" : "  first: ", first.c_str());
  std::fflush(stdout);
  ++tally.checks;
  tally.cases += cases;
  tally.mismatches += mismatches;
}

}  // namespace fp4lab::cuda

int main(int argc, char** argv) {
  using namespace fp4lab::cuda;
  bool quick = false, casts = true, blocks = true, math = true;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) quick = true;
    else if (std::strcmp(argv[i], "--casts") == 0) blocks = math = false;
    else if (std::strcmp(argv[i], "--blocks") == 0) casts = math = false;
    else if (std::strcmp(argv[i], "--math") == 0) casts = blocks = false;
    else {
      std::fprintf(stderr, "fp4lab_cuda_check: unknown option '%s'; --quick --casts --blocks --math\n",
                   argv[i]);
      return 2;
    }
  }
  if (!available()) {
    std::fprintf(stderr, "fp4lab_cuda_check: no CUDA device\n");
    return 3;
  }
  try {
    cudaDeviceProp p{};
    check(cudaGetDeviceProperties(&p, 0), "device properties");
    std::printf("device %s, compute capability %d.%d\n", p.name, p.major, p.minor);
    const auto start = std::chrono::steady_clock::now();
    Tally total;
    if (casts) total.add(check_casts(quick));
    if (math) total.add(check_math(quick));
    if (blocks) total.add(check_blocks(quick ? 1u << 20 : 1u << 30));
    const double s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%llu checks, %llu cases, %llu mismatches, %.1f s\n",
                static_cast<unsigned long long>(total.checks),
                static_cast<unsigned long long>(total.cases),
                static_cast<unsigned long long>(total.mismatches), s);
    return total.mismatches == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fp4lab_cuda_check: %s\n", e.what());
    return 3;
  }
}
