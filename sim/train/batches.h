// From data to batches, in an order that depends on the data seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sim/nn/model.h"

namespace fp4lab::train {

/// Items of a data set as microbatches. Item i of text is the window of `length` tokens that begins
/// at token i * length, its targets the same window one token on.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual std::size_t train_items() const = 0;
  virtual std::size_t eval_items() const = 0;
  /// Vocabulary or number of classes.
  virtual std::size_t classes() const = 0;
  virtual void train_batch(std::span<const std::uint32_t> items, nn::Batch& batch) const = 0;
  /// `count` held-out items from `first` on.
  virtual void eval_batch(std::size_t first, std::size_t count, nn::Batch& batch) const = 0;
};

/// Views of a data set that outlives the source.
struct TextView {
  std::span<const std::uint16_t> train, eval;
  std::size_t vocabulary = 0;
  std::size_t length = 0;  ///< of a window
};
struct ImageView {
  std::span<const float> train_inputs, eval_inputs;  ///< [items, channels, height, width]
  std::span<const std::int32_t> train_labels, eval_labels;
  std::size_t channels = 1, height = 0, width = 0, classes = 0;
  /// Outlier tokens: item i is multiplied by `outlier_gain` where floor(i share) < floor((i + 1)
  /// share). Items come in a random order, so a batch meets that share on average.
  double outlier_share = 0;
  float outlier_gain = 1;
};
/// Both throw std::invalid_argument when there is less than one item.
std::unique_ptr<BatchSource> make_text_source(const TextView& view);
std::unique_ptr<BatchSource> make_image_source(const ImageView& view);

/// Order of an epoch: item numbers sorted by (32-bit slot, number), purpose data order, step field
/// = epoch (decisions.md 3).
std::vector<std::uint32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::size_t items);

/// The endless sequence of items: epoch after epoch. Keeps the current epoch's order.
class DataOrder {
 public:
  DataOrder(std::uint64_t seed, std::size_t items) : seed_(seed), items_(items) {}
  /// Items at positions first ... first + count - 1.
  void items(std::uint64_t first, std::size_t count, std::vector<std::uint32_t>& out);

 private:
  std::uint64_t seed_;
  std::size_t items_;
  std::uint64_t epoch_ = UINT64_MAX;
  std::vector<std::uint32_t> order_;
};

}  // namespace fp4lab::train
