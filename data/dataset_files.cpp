// Images from files: IDX (MNIST and its relatives), CIFAR-10 binary, .npy, HDF5; gzip is undone.
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/array_file.h"
#include "data/dataset_internal.h"
#include "data/error.h"
#include "data/sha256.h"

namespace fp4lab::data::detail {
namespace {

std::string quoted(const std::string& path) { return "'" + path + "'"; }

/// An IDX file: magic 00 00 type rank, big-endian extents, bytes.
struct Idx {
  Shape shape;
  std::string bytes;  ///< behind the header
};

Idx read_idx(const std::string& path) {
  std::string file = read_file_inflated(path);
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(file[i]); };
  if (file.size() < 4 || byte(0) != 0 || byte(1) != 0 || byte(3) == 0 || byte(3) > 4) {
    throw InputError(quoted(path) +
                     " is not an IDX file: it must begin with 00 00, a type and a rank");
  }
  if (byte(2) != 0x08) {
    throw InputError(quoted(path) + " holds IDX type " + std::to_string(byte(2)) +
                     "; only unsigned bytes (type 8) are read");
  }
  const std::size_t rank = byte(3);
  const std::size_t header = 4 + 4 * rank;
  Idx out;
  std::size_t count = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    if (file.size() < header) throw InputError(quoted(path) + " ends inside its header");
    const std::size_t at = 4 + 4 * d;
    const std::size_t extent = static_cast<std::size_t>(byte(at)) << 24 |
                               static_cast<std::size_t>(byte(at + 1)) << 16 |
                               static_cast<std::size_t>(byte(at + 2)) << 8 | byte(at + 3);
    if (extent == 0 || extent > (std::size_t{1} << 31) / count) {
      throw InputError(quoted(path) + " claims extent " + std::to_string(extent) + " on axis " +
                       std::to_string(d) + ", which cannot be");
    }
    count *= extent;
    out.shape.push_back(extent);
  }
  if (file.size() - header != count) {
    throw InputError(quoted(path) + " holds " + std::to_string(file.size() - header) +
                     " bytes where its header says " + std::to_string(count));
  }
  out.bytes = file.substr(header);
  return out;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.rfind(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::vector<float> bytes_to_unit(const std::string& bytes) {
  std::vector<float> out(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out[i] = static_cast<float>(static_cast<unsigned char>(bytes[i])) / 255.0f;
  }
  return out;
}

/// One more than the largest label; labels below 0 are refused.
std::size_t count_classes(const std::vector<std::int32_t>& labels, const std::string& what) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] > 65534) {
      throw InputError(what + ": label " + std::to_string(labels[i]) + " of item " +
                       std::to_string(i) + " is not a class number 0 ... 65534");
    }
    largest = std::max(largest, labels[i]);
  }
  return static_cast<std::size_t>(largest) + 1;
}

void check_counts(std::size_t images, std::size_t labels, const std::string& path,
                  const std::string& label_path) {
  if (images == labels) return;
  throw InputError(quoted(path) + " has " + std::to_string(images) + " images and " +
                   quoted(label_path) + " " + std::to_string(labels) +
                   " labels; there must be one label an image");
}

std::vector<std::int32_t> idx_labels(const std::string& path) {
  const Idx idx = read_idx(path);
  if (idx.shape.size() != 1) {
    throw InputError(quoted(path) + " has rank " + std::to_string(idx.shape.size()) +
                     "; labels are one axis (data.labels names their file)");
  }
  std::vector<std::int32_t> out;
  for (const char c : idx.bytes) out.push_back(static_cast<unsigned char>(c));
  return out;
}

std::string default_idx_labels(const std::string& images) {
  return replaced(images, "images-idx3", "labels-idx1");
}

ImageDataset load_idx(const DatasetRequest& request) {
  const std::string labels_path =
      request.labels.empty() ? default_idx_labels(request.name) : request.labels;
  if (labels_path == request.name) {
    throw InputError(
        "no labels for " + quoted(request.name) +
        ": name their file with data.labels (MNIST's names are understood by themselves)");
  }
  const Idx images = read_idx(request.name);
  std::vector<std::int32_t> labels = idx_labels(labels_path);
  if (images.shape.size() != 3) {
    throw InputError(quoted(request.name) + " has rank " + std::to_string(images.shape.size()) +
                     "; images are [items, height, width]");
  }
  check_counts(images.shape[0], labels.size(), request.name, labels_path);
  ImageDataset set;
  set.height = images.shape[1];
  set.width = images.shape[2];
  Sha256 hash;
  hash.update(images.bytes);
  hash.update(labels.data(), labels.size() * sizeof(std::int32_t));

  const std::string test_images = replaced(request.name, "train-images", "t10k-images");
  if (test_images != request.name && exists(test_images)) {
    const std::string test_labels = default_idx_labels(test_images);
    const Idx held = read_idx(test_images);
    if (held.shape.size() != 3 || held.shape[1] != set.height || held.shape[2] != set.width) {
      throw InputError(quoted(test_images) + " has other image sizes than " + quoted(request.name));
    }
    set.eval_labels = idx_labels(test_labels);
    check_counts(held.shape[0], set.eval_labels.size(), test_images, test_labels);
    set.eval_inputs = bytes_to_unit(held.bytes);
    set.train_inputs = bytes_to_unit(images.bytes);
    hash.update(held.bytes);
    hash.update(set.eval_labels.data(), set.eval_labels.size() * sizeof(std::int32_t));
    set.classes = std::max(count_classes(labels, quoted(labels_path)),
                           count_classes(set.eval_labels, quoted(test_labels)));
    set.train_labels = std::move(labels);
  } else {
    set.classes = count_classes(labels, quoted(labels_path));
    split_images(set, bytes_to_unit(images.bytes), labels, request.eval_fraction);
  }
  set.sha256 = hash.hex();
  return set;
}

/// CIFAR-10 binary: records of a label and 3 x 32 x 32 bytes.
void append_cifar(const std::string& path, std::vector<float>& inputs,
                  std::vector<std::int32_t>& labels, Sha256& hash) {
  constexpr std::size_t kPixels = 3 * 32 * 32;
  const std::string file = read_file_inflated(path);
  if (file.empty() || file.size() % (kPixels + 1) != 0) {
    throw InputError(quoted(path) + " has " + std::to_string(file.size()) +
                     " bytes, which is no whole number of CIFAR-10 records of " +
                     std::to_string(kPixels + 1));
  }
  hash.update(file);
  for (std::size_t at = 0; at < file.size(); at += kPixels + 1) {
    const auto label = static_cast<unsigned char>(file[at]);
    if (label > 9) {
      throw InputError(quoted(path) + ": record " + std::to_string(at / (kPixels + 1)) +
                       " has label " + std::to_string(label) + "; CIFAR-10 has 0 ... 9");
    }
    labels.push_back(label);
    const std::vector<float> image = bytes_to_unit(file.substr(at + 1, kPixels));
    inputs.insert(inputs.end(), image.begin(), image.end());
  }
}

ImageDataset load_cifar(const DatasetRequest& request) {
  namespace fs = std::filesystem;
  ImageDataset set;
  set.channels = 3;
  set.height = set.width = 32;
  set.classes = 10;
  Sha256 hash;
  std::vector<float> inputs;
  std::vector<std::int32_t> labels;
  std::error_code ignored;
  if (fs::is_directory(request.name, ignored)) {
    std::size_t batches = 0;
    for (int i = 1; i <= 5; ++i) {
      const std::string batch =
          (fs::path(request.name) / ("data_batch_" + std::to_string(i) + ".bin")).string();
      if (!exists(batch)) continue;
      append_cifar(batch, inputs, labels, hash);
      ++batches;
    }
    if (batches == 0) {
      throw InputError(quoted(request.name) + " holds no data_batch_1.bin ... data_batch_5.bin");
    }
    const std::string test = (fs::path(request.name) / "test_batch.bin").string();
    if (exists(test)) {
      append_cifar(test, set.eval_inputs, set.eval_labels, hash);
      set.train_inputs = std::move(inputs);
      set.train_labels = std::move(labels);
    }
  } else {
    append_cifar(request.name, inputs, labels, hash);
  }
  if (set.train_labels.empty()) split_images(set, inputs, labels, request.eval_fraction);
  set.sha256 = hash.hex();
  return set;
}

/// .npy and HDF5: [items, height, width] or [items, channels, height, width], labels [items].
ImageDataset load_arrays(const DatasetRequest& request) {
  if (request.labels.empty()) {
    throw InputError(
        "no labels for " + quoted(request.name) +
        ": name them with data.labels, a .npy file or .h5:/dataset of [items] integers");
  }
  const Array images = read_array(parse_array_ref(request.name));
  const Array label_array = read_array(parse_array_ref(request.labels));
  const Shape& shape = images.shape;
  if (shape.size() != 3 && shape.size() != 4) {
    throw InputError(quoted(request.name) + " has shape " + shape_text(shape) +
                     "; images are [items, height, width] or [items, channels, height, width]");
  }
  ImageDataset set;
  set.channels = shape.size() == 4 ? shape[1] : 1;
  set.height = shape[shape.size() - 2];
  set.width = shape.back();
  if (images.size() == 0) throw InputError(quoted(request.name) + " is empty");
  check_counts(shape[0], label_array.size(), request.name, request.labels);
  const Array values = to_float64(label_array, request.labels);
  std::vector<std::int32_t> labels;
  for (const double v : values.as<double>()) {
    labels.push_back(v >= 0 && v <= 65534 ? static_cast<std::int32_t>(v) : -1);
    if (labels.back() < 0 || static_cast<double>(labels.back()) != v) {
      throw InputError(quoted(request.labels) + ": item " + std::to_string(labels.size() - 1) +
                       " is no class number 0 ... 65534");
    }
  }
  set.classes = count_classes(labels, quoted(request.labels));
  const Array pixels = to_float32(images, Narrowing::kRound, request.name);
  std::vector<float> inputs(pixels.as<float>().begin(), pixels.as<float>().end());
  if (images.dtype == DType::kU8) {
    for (float& v : inputs) v /= 255.0f;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!(inputs[i] >= -3.4028234663852886e38f && inputs[i] <= 3.4028234663852886e38f)) {
      throw InputError(quoted(request.name) + ": element " + std::to_string(i) + " is not finite");
    }
  }
  Sha256 hash;
  hash.update(inputs.data(), inputs.size() * sizeof(float));
  hash.update(labels.data(), labels.size() * sizeof(std::int32_t));
  set.sha256 = hash.hex();
  split_images(set, inputs, labels, request.eval_fraction);
  return set;
}

}  // namespace

std::string read_file_inflated(const std::string& path, std::uint64_t limit) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw InputError(quoted(path) + " is a folder; a file is needed");
  }
  const gzFile file = gzopen(path.c_str(), "rb");  // hands plain files through
  if (file == nullptr) {
    throw InputError("cannot read " + quoted(path) + ": " +
                     (errno != 0 ? std::strerror(errno) : "no memory"));
  }
  std::string out;
  std::string piece(1u << 18, '\0');
  int got = 0;
  while ((got = gzread(file, piece.data(), static_cast<unsigned>(piece.size()))) > 0) {
    out.append(piece, 0, static_cast<std::size_t>(got));
    if (out.size() > limit) {
      gzclose(file);
      throw InputError(quoted(path) + " holds more than " + std::to_string(limit) + " bytes");
    }
  }
  const int closed = gzclose(file);
  if (got < 0 || closed != Z_OK) {
    throw InputError(quoted(path) + " is a damaged or truncated gzip file");
  }
  return out;
}

ImageDataset load_image_file(const DatasetRequest& request) {
  const std::string& name = request.name;
  const std::size_t slash = name.find_last_of('/');
  const std::string file = slash == std::string::npos ? name : name.substr(slash + 1);
  const bool arrays = name.find(".h5:") != std::string::npos ||
                      name.find(".hdf5:") != std::string::npos ||
                      (file.size() > 4 && file.compare(file.size() - 4, 4, ".npy") == 0);
  std::error_code ignored;
  ImageDataset set;
  if (arrays) {
    set = load_arrays(request);
  } else if (file.find(".bin") != std::string::npos ||
             std::filesystem::is_directory(name, ignored)) {
    set = load_cifar(request);
  } else {
    set = load_idx(request);
  }
  set.name = file.empty() ? name : file;
  return set;
}

}  // namespace fp4lab::data::detail
