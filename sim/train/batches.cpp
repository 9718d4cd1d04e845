#include "sim/train/batches.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "formats/philox.h"

namespace fp4lab::train {
namespace {

class TextSource final : public BatchSource {
 public:
  explicit TextSource(const TextView& view) : view_(view) {
    if (train_items() == 0 || eval_items() == 0) {
      throw std::invalid_argument("'model.length' = " + std::to_string(view.length) +
                                  ": the text has " + std::to_string(view.train.size()) +
                                  " tokens to train on and " + std::to_string(view.eval.size()) +
                                  " held out; each needs at least length + 1");
    }
  }
  std::size_t train_items() const override { return windows(view_.train); }
  std::size_t eval_items() const override { return windows(view_.eval); }
  std::size_t classes() const override { return view_.vocabulary; }

  void train_batch(std::span<const std::uint32_t> items, nn::Batch& batch) const override {
    start(items.size(), batch);
    for (std::size_t i = 0; i < items.size(); ++i) window(view_.train, items[i], i, batch);
  }
  void eval_batch(std::size_t first, std::size_t count, nn::Batch& batch) const override {
    start(count, batch);
    for (std::size_t i = 0; i < count; ++i) window(view_.eval, first + i, i, batch);
  }

 private:
  std::size_t windows(std::span<const std::uint16_t> tokens) const {
    return tokens.empty() ? 0 : (tokens.size() - 1) / view_.length;
  }
  void start(std::size_t items, nn::Batch& batch) const {
    batch.items = items;
    batch.length = view_.length;
    batch.tokens.resize(items * view_.length);
    batch.targets.resize(items * view_.length);
  }
  void window(std::span<const std::uint16_t> tokens, std::size_t item, std::size_t row,
              nn::Batch& batch) const {
    const std::uint16_t* const from = tokens.data() + item * view_.length;
    for (std::size_t j = 0; j < view_.length; ++j) {
      batch.tokens[row * view_.length + j] = from[j];
      batch.targets[row * view_.length + j] = from[j + 1];
    }
  }
  TextView view_;
};

class ImageSource final : public BatchSource {
 public:
  explicit ImageSource(const ImageView& view)
      : view_(view), pixels_(view.channels * view.height * view.width) {
    if (train_items() == 0 || eval_items() == 0) {
      throw std::invalid_argument("the image set has " + std::to_string(train_items()) +
                                  " items to train on and " + std::to_string(eval_items()) +
                                  " held out; each needs at least one");
    }
  }
  std::size_t train_items() const override { return view_.train_labels.size(); }
  std::size_t eval_items() const override { return view_.eval_labels.size(); }
  std::size_t classes() const override { return view_.classes; }

  void train_batch(std::span<const std::uint32_t> items, nn::Batch& batch) const override {
    start(items.size(), batch);
    for (std::size_t i = 0; i < items.size(); ++i) {
      copy(view_.train_inputs, view_.train_labels, items[i], i, batch);
    }
  }
  void eval_batch(std::size_t first, std::size_t count, nn::Batch& batch) const override {
    start(count, batch);
    for (std::size_t i = 0; i < count; ++i) {
      copy(view_.eval_inputs, view_.eval_labels, first + i, i, batch);
    }
  }

 private:
  void start(std::size_t items, nn::Batch& batch) const {
    batch.items = items;
    batch.length = 0;
    batch.inputs.resize({items, view_.channels, view_.height, view_.width});
    batch.targets.resize(items);
  }
  void copy(std::span<const float> inputs, std::span<const std::int32_t> labels, std::size_t item,
            std::size_t row, nn::Batch& batch) const {
    const float* const from = inputs.data() + item * pixels_;
    float* const to = batch.inputs.data() + row * pixels_;
    const double i = static_cast<double>(item), share = view_.outlier_share;
    if (std::floor(i * share) < std::floor((i + 1) * share)) {
      for (std::size_t p = 0; p < pixels_; ++p) to[p] = mul_rn(from[p], view_.outlier_gain);
    } else {
      std::copy_n(from, pixels_, to);
    }
    batch.targets[row] = labels[item];
  }
  ImageView view_;
  std::size_t pixels_;
};

}  // namespace

std::unique_ptr<BatchSource> make_text_source(const TextView& view) {
  return std::make_unique<TextSource>(view);
}

std::unique_ptr<BatchSource> make_image_source(const ImageView& view) {
  return std::make_unique<ImageSource>(view);
}

std::vector<std::uint32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::size_t items) {
  const RandomStream stream{seed, 0, epoch, RandomPurpose::data_order, 0, 0};
  std::vector<std::pair<std::uint32_t, std::uint32_t>> keys(items);
  for (std::size_t i = 0; i < items; i += 4) {
    const PhiloxDraw draw = stream.draw(static_cast<std::uint32_t>(i / 4));
    for (std::size_t j = i; j < std::min(items, i + 4); ++j) {
      keys[j] = {draw[static_cast<unsigned>(j - i)], static_cast<std::uint32_t>(j)};
    }
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::uint32_t> order(items);
  for (std::size_t i = 0; i < items; ++i) order[i] = keys[i].second;
  return order;
}

void DataOrder::items(std::uint64_t first, std::size_t count, std::vector<std::uint32_t>& out) {
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t position = first + i;
    if (position / items_ != epoch_) {
      epoch_ = position / items_;
      order_ = epoch_order(seed_, static_cast<std::uint32_t>(epoch_), items_);
    }
    out[i] = order_[static_cast<std::size_t>(position % items_)];
  }
}

}  // namespace fp4lab::train
