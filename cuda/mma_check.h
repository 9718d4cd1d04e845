// The parts of fp4lab_cuda_mma_check: test data, the GPU's instructions, the CPU's model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/mma_presets.h"

namespace fp4lab::cuda {

/// Output tile of one instruction: mma.sync m16n8, wgmma m64n8, f64 mma m8n8.
struct MmaTileShape {
  int rows = 16, cols = 8, k = 16;
  int element_bytes = 2;      ///< of A and B
  int accumulator_bytes = 4;  ///< of C and D
  int row_bytes() const noexcept { return k * element_bytes; }
};

/// Raw operands of `tiles` independent instructions, as bytes: A [tile][rows][k], B
/// [tile][cols][k], C and D [tile][rows][cols].
struct MmaBatch {
  std::size_t tiles = 0;
  std::vector<std::uint8_t> a, b, c, d;
};

MmaTileShape tile_shape(const MmaPreset& preset);

// --- data (mma_check_data.cpp) ---------------------------------------------------------------

/// Kinds of operands; tile t of a batch is of kind (first + t) % kMmaGenerators.
inline constexpr int kMmaGenerators = 16;
/// What a kind of operands is, for the report of a mismatch.
const char* mma_generator_name(int generator);

/// Fills a batch from Philox words of (seed, stream, tile number): the same whatever the threads.
/// Fresh at every seed.
void fill_mma_batch(const MmaPreset& preset, std::uint64_t seed, std::uint32_t stream,
                    std::uint64_t first_tile, std::size_t tiles, MmaBatch& batch);

// --- the GPU (mma_check_kernels.cu) ----------------------------------------------------------

/// True when there is a device of compute capability 9.0; `name` says what there is.
bool mma_device(std::string& name);
/// True when the program has the instruction of that preset.
bool mma_kernel_exists(const std::string& preset_id);
/// Runs the instruction on every tile and stores D. Throws std::runtime_error with CUDA's words.
void run_mma_batch(const std::string& preset_id, const MmaTileShape& shape, MmaBatch& batch);

}  // namespace fp4lab::cuda
