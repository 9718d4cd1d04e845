// Data sets for training: text as character tokens, images as floats with labels.
//
// A data set is named and hashed; both enter a run's configuration, so that a result says what it
// was trained on. Nothing is downloaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fp4lab::data {

/// A sequence of characters as token numbers 0 ... vocabulary.size() - 1.
struct TextDataset {
  std::string name;                       ///< "linux-gpl-text", "grammar", a file's name ...
  std::string sha256;                     ///< of the bytes the tokens were made from, 64 hex digits
  std::vector<std::uint32_t> vocabulary;  ///< Unicode code point (or byte) of each token, ascending
  std::vector<std::uint16_t> train, eval;
};

/// Labelled images, [items, channels, height, width] row-major.
struct ImageDataset {
  std::string name;
  std::string sha256;
  std::size_t channels = 1, height = 0, width = 0, classes = 0;
  std::vector<float> train_inputs, eval_inputs;
  std::vector<std::int32_t> train_labels, eval_labels;
  std::size_t pixels() const noexcept { return channels * height * width; }
};

/// What to load. `name` is a built-in set or a path; see data/README.md for the list.
struct DatasetRequest {
  std::string name;    ///< text: "text" "grammar" or a file; images: "digits" "glyphs" "uniform" or a file
  std::string labels;  ///< IDX: the label file's path, when it does not follow from the name
  std::uint64_t seed = 0;   ///< of procedural sets
  std::size_t items = 0;    ///< procedural images to make, or characters; 0 = the set's default
  std::size_t classes = 0;  ///< glyphs: 10 ... 36; 0 = default
  double eval_fraction = 0.1;
};

/// What was loaded, and a line for the user when it is not what was asked for ("the English text is
/// not installed; using the synthetic grammar").
template <class Dataset>
struct Loaded {
  Dataset data;
  std::string notice;
};

/// Loads text. Throws InputError for a file that cannot be used, naming what would do.
Loaded<TextDataset> load_text(const DatasetRequest& request);
/// Loads images: built-in names, IDX (MNIST), CIFAR-10 binary, .npy, .h5.
Loaded<ImageDataset> load_images(const DatasetRequest& request);
/// True when `name` is (or looks like a file of) images rather than text.
bool is_image_dataset(const std::string& name);

}  // namespace fp4lab::data
