#include "sim/nn/pooling.h"

#include <stdexcept>
#include <vector>

#include "sim/fma.h"
#include "sim/nn/row_tiles.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

/// fl(s / count) of each channel.
void write_means(const std::vector<double>& sums, std::size_t count, float* y) {
  for (std::size_t c = 0; c < sums.size(); ++c) {
    y[c] = round_sum(sums[c] / static_cast<double>(count));
  }
}
void write_shares(const float* dy, std::size_t channels, float count, float* dx) {
  for (std::size_t c = 0; c < channels; ++c) dx[c] = canonical(div_rn(dy[c], count));
}

}  // namespace

void GlobalAveragePool::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  if (x.rank() < 2) throw std::invalid_argument("pooling: an image is [items, ..., channels]");
  const std::size_t items = x.extent(0), channels = x.extent(-1);
  const std::size_t positions = items == 0 ? 1 : x.rows() / items;
  if (positions == 0) throw std::invalid_argument("pooling: an image without positions");
  if (ctx.training) shape_ = x.shape();
  y.resize({items, channels});
#pragma omp parallel for schedule(static) if (x.size() >= kParallelElements)
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(items); ++i) {
    const std::size_t item = static_cast<std::size_t>(i), n = positions * channels;
    std::vector<double> sums(channels);
    column_sums(x.span().subspan(item * n, n), channels, sums);
    write_means(sums, positions, y.data() + item * channels);
  }
}

void GlobalAveragePool::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  dx.resize(shape_);
  const std::size_t items = dy.rows(), channels = dy.cols();
  const std::size_t positions = items == 0 ? 1 : dx.rows() / items;
  const float count = static_cast<float>(positions);
  in_row_tiles(dx.rows(), channels, [&](std::size_t first, std::size_t rows) {
    for (std::size_t r = first; r < first + rows; ++r) {
      write_shares(dy.data() + r / positions * channels, channels, count, dx.data() + r * channels);
    }
  });
}

AveragePool2d::AveragePool2d(std::size_t size) : size_(size) {
  if (size == 0) throw std::invalid_argument("pooling: windows of size 0");
}

void AveragePool2d::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  if (x.rank() != 4) {
    throw std::invalid_argument("pooling: an image is [items, height, width, channels]");
  }
  if (ctx.training) shape_ = x.shape();
  const std::size_t height = x.extent(1), width = x.extent(2), channels = x.extent(3);
  const std::size_t rows = height / size_, columns = width / size_;
  y.resize({x.extent(0), rows, columns, channels});
  in_row_tiles(y.rows(), channels * size_ * size_, [&](std::size_t first, std::size_t count) {
    std::vector<double> sums(channels);
    std::vector<std::uint32_t> window(size_ * size_);
    for (std::size_t p = first; p < first + count; ++p) {
      const std::size_t item = p / (rows * columns), r = p / columns % rows, c = p % columns;
      // Positions within the item's image.
      for (std::size_t k = 0; k < window.size(); ++k) {
        window[k] =
            static_cast<std::uint32_t>((r * size_ + k / size_) * width + c * size_ + k % size_);
      }
      const std::size_t image = height * width * channels;
      column_sums_of_rows(x.span().subspan(item * image, image), channels, window, sums);
      write_means(sums, window.size(), y.data() + p * channels);
    }
  });
}

void AveragePool2d::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  dx.resize(shape_);
  const std::size_t height = shape_[1], width = shape_[2], channels = shape_[3];
  const std::size_t rows = height / size_, columns = width / size_;
  const float count = static_cast<float>(size_ * size_);
  in_row_tiles(dx.rows(), channels, [&](std::size_t first, std::size_t n) {
    for (std::size_t p = first; p < first + n; ++p) {
      const std::size_t item = p / (height * width);
      const std::size_t r = p / width % height / size_, c = p % width / size_;
      float* const to = dx.data() + p * channels;
      if (r >= rows || c >= columns) {
        std::fill_n(to, channels, 0.0f);
      } else {
        write_shares(dy.data() + ((item * rows + r) * columns + c) * channels, channels, count, to);
      }
    }
  });
}

}  // namespace fp4lab::nn
