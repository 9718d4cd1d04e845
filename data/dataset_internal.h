// What the loaders of data sets share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "formats/philox.h"

namespace fp4lab::data::detail {

/// The whole file, inflated when it is gzip. Throws InputError; at most `limit` bytes come out.
std::string read_file_inflated(const std::string& path, std::uint64_t limit = 1ull << 31);

/// Uniform numbers from Philox, purpose "synthetic data": draw i depends on seed, stream and i.
class Uniforms {
 public:
  Uniforms(std::uint64_t seed, std::uint32_t stream) : words_{seed, stream} {
    words_.purpose = RandomPurpose::synthetic_data;
  }
  std::uint32_t word(std::uint64_t i) const noexcept { return words_.slot(i, 32); }
  /// (word >> 8) * 2^-24, in [0, 1).
  float unit(std::uint64_t i) const noexcept {
    return static_cast<float>(word(i) >> 8) * 5.9604644775390625e-08f;
  }
  /// 0 ... n - 1; n is small, so that the bias of n / 2^32 does not matter.
  std::uint32_t below(std::uint64_t i, std::uint32_t n) const noexcept {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word(i)) * n) >> 32);
  }

 private:
  RandomStream words_;
};

/// Which items are held out: `held_out[i]`, floor(items * fraction) of them (at least one of two or
/// more), those with the smallest (random word, index) of seed 0.
std::vector<bool> held_out_items(std::size_t items, double fraction);

/// Cuts tokens at the end: the last floor(n * fraction) characters are for evaluation.
/// Throws InputError naming `what` when too little text is left on either side.
TextDataset make_text(std::string name, std::string_view utf8, double eval_fraction,
                      const std::string& what);

/// Text of the synthetic grammar, at least `characters` long.
std::string grammar_text(std::uint64_t seed, std::size_t characters);

/// The English text of the fortunes packages; empty when they are not installed.
std::string installed_text();

/// Distributes [items, pixels] and labels into the two halves of `set`.
void split_images(ImageDataset& set, const std::vector<float>& inputs,
                  const std::vector<std::int32_t>& labels, double eval_fraction);

/// The 1,797 UCI digits as scikit-learn ships them; false when no copy is installed.
bool load_uci_digits(ImageDataset& set, double eval_fraction, std::string& notice);

/// Drawn characters: side x side pixels, classes 0-9 then A-Z.
ImageDataset draw_glyphs(std::string name, std::uint64_t seed, std::size_t items, std::size_t side,
                         std::size_t classes, double eval_fraction);

/// Images of one number each, uniform within +-sqrt 3 (variance 1), all of one class.
ImageDataset draw_numbers(std::uint64_t seed, std::size_t items, double eval_fraction);

/// IDX, CIFAR-10 binary, .npy and HDF5 files.
ImageDataset load_image_file(const DatasetRequest& request);

}  // namespace fp4lab::data::detail
