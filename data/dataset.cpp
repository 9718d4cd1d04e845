#include "data/dataset.h"

#include <algorithm>
#include <numeric>

#include "data/dataset_internal.h"
#include "data/error.h"

namespace fp4lab::data {
namespace detail {

std::vector<bool> held_out_items(std::size_t items, double fraction) {
  std::vector<bool> held(items, false);
  std::size_t count = static_cast<std::size_t>(static_cast<double>(items) * fraction);
  if (count == 0 && items >= 2 && fraction > 0) count = 1;
  if (count > items) count = items;
  const Uniforms words(0, 0xE7A1u);
  std::vector<std::size_t> order(items);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::uint32_t wa = words.word(a), wb = words.word(b);
    return wa != wb ? wa < wb : a < b;
  });
  for (std::size_t i = 0; i < count; ++i) held[order[i]] = true;
  return held;
}

void split_images(ImageDataset& set, const std::vector<float>& inputs,
                  const std::vector<std::int32_t>& labels, double eval_fraction) {
  const std::vector<bool> held = held_out_items(labels.size(), eval_fraction);
  const std::size_t pixels = set.pixels();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    auto& to = held[i] ? set.eval_inputs : set.train_inputs;
    (held[i] ? set.eval_labels : set.train_labels).push_back(labels[i]);
    const auto from = inputs.begin() + static_cast<std::ptrdiff_t>(i * pixels);
    to.insert(to.end(), from, from + static_cast<std::ptrdiff_t>(pixels));
  }
}

}  // namespace detail

namespace {

void check_fraction(const DatasetRequest& request) {
  if (!(request.eval_fraction > 0 && request.eval_fraction < 1)) {
    throw InputError("data.eval_fraction is " + std::to_string(request.eval_fraction) +
                     "; it must lie between 0 and 1");
  }
}

bool ends_with(const std::string& text, const char* end) {
  const std::string e = end;
  return text.size() >= e.size() && text.compare(text.size() - e.size(), e.size(), e) == 0;
}

}  // namespace

bool is_image_dataset(const std::string& name) {
  if (name == "digits" || name == "glyphs" || name == "uniform") return true;
  std::string file = ends_with(name, ".gz") ? name.substr(0, name.size() - 3) : name;
  for (const char* end : {"-ubyte", ".idx", ".bin", ".npy"}) {
    if (ends_with(file, end)) return true;
  }
  return file.find(".h5:") != std::string::npos || file.find(".hdf5:") != std::string::npos ||
         file.find("cifar") != std::string::npos;
}

Loaded<TextDataset> load_text(const DatasetRequest& request) {
  check_fraction(request);
  Loaded<TextDataset> out;
  const std::size_t characters = request.items == 0 ? 400000 : request.items;
  if (request.name == "text" || request.name.empty()) {
    std::string text = detail::installed_text();
    if (!text.empty()) {
      if (request.items != 0 && request.items < text.size()) text.resize(request.items);
      out.data = detail::make_text("fortunes", text, request.eval_fraction, "the installed text");
      return out;
    }
    out.notice =
        "no English text is installed (Debian packages fortunes, fortunes-min); using the "
        "synthetic "
        "grammar";
  }
  if (request.name == "grammar" || !out.notice.empty()) {
    out.data = detail::make_text("grammar", detail::grammar_text(request.seed, characters),
                                 request.eval_fraction, "the synthetic grammar");
    return out;
  }
  std::string text = detail::read_file_inflated(request.name);
  if (request.items != 0 && request.items < text.size()) {
    std::size_t end = request.items;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
    text.resize(end);  // not inside a character
  }
  const std::size_t slash = request.name.find_last_of('/');
  out.data =
      detail::make_text(slash == std::string::npos ? request.name : request.name.substr(slash + 1),
                        text, request.eval_fraction, "'" + request.name + "'");
  return out;
}

Loaded<ImageDataset> load_images(const DatasetRequest& request) {
  check_fraction(request);
  Loaded<ImageDataset> out;
  if (request.name == "digits" || request.name.empty()) {
    if (detail::load_uci_digits(out.data, request.eval_fraction, out.notice)) return out;
    out.notice =
        "the UCI digits are not installed (python3-sklearn, or scikit-learn through pip); using "
        "drawn "
        "digits";
    out.data =
        detail::draw_glyphs("drawn-digits", request.seed, request.items == 0 ? 1797 : request.items,
                            8, 10, request.eval_fraction);
    return out;
  }
  if (request.name == "glyphs") {
    const std::size_t classes = request.classes == 0 ? 10 : request.classes;
    if (classes < 2 || classes > 36) {
      throw InputError("data.classes is " + std::to_string(classes) +
                       "; glyphs has 2 to 36 classes (0-9, then A-Z)");
    }
    out.data =
        detail::draw_glyphs("glyphs", request.seed, request.items == 0 ? 8192 : request.items, 16,
                            classes, request.eval_fraction);
    return out;
  }
  if (request.name == "uniform") {
    out.data = detail::draw_numbers(request.seed, request.items == 0 ? 16384 : request.items,
                                    request.eval_fraction);
    return out;
  }
  out.data = detail::load_image_file(request);
  return out;
}

}  // namespace fp4lab::data
