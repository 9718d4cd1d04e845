#include "data/dataset.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "data/array_file.h"
#include "data/error.h"

namespace fp4lab::data {
namespace {

namespace fs = std::filesystem;

/// A folder that vanishes with the test; the data sets of the machine are hidden from it.
class Folder {
 public:
  Folder() {
    static int count = 0;
    path_ = fs::temp_directory_path() /
            ("fp4lab-data-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name, const std::string& bytes) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  std::string gzip(const std::string& name, const std::string& bytes) const {
    fs::create_directories((path_ / name).parent_path());
    const std::string path = (path_ / name).string();
    const gzFile out = gzopen(path.c_str(), "wb");
    gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(out);
    return path;
  }
  fs::path path() const { return path_; }

 private:
  fs::path path_;
};

DatasetRequest request(const std::string& name) {
  DatasetRequest r;
  r.name = name;
  return r;
}

std::string error_of(const DatasetRequest& r, bool images) {
  try {
    if (images) {
      load_images(r);
    } else {
      load_text(r);
    }
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

TEST(TextData, TokensAreTheCharactersInOrder) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "née – b\n";
  const auto loaded = load_text(request(folder.file("a.txt", text)));
  const TextDataset& set = loaded.data;
  EXPECT_EQ(set.name, "a.txt");
  EXPECT_TRUE(loaded.notice.empty());
  const std::vector<std::uint32_t> expected = {'\n', ' ', 'b', 'e', 'n', 0xE9, 0x2013};
  EXPECT_EQ(set.vocabulary, expected);
  EXPECT_EQ(set.train.size(), 720u);
  EXPECT_EQ(set.eval.size(), 80u);
  EXPECT_EQ(std::vector<std::uint16_t>(set.train.begin(), set.train.begin() + 8),
            (std::vector<std::uint16_t>{4, 5, 3, 1, 6, 1, 2, 0}));
}

TEST(TextData, RefusesWhatIsNoText) {
  const Folder folder;
  const std::string bad = std::string(400, 'a') + "\xC3(" + std::string(400, 'b');
  EXPECT_NE(error_of(request(folder.file("bad.txt", bad)), false).find("byte 400"),
            std::string::npos);
  EXPECT_NE(error_of(request(folder.file("short.txt", "too short")), false).find("9 characters"),
            std::string::npos);
  EXPECT_NE(error_of(request("/nonexistent/x.txt"), false).find("/nonexistent/x.txt"),
            std::string::npos);
  EXPECT_NE(error_of(request(folder.path().string()), false).find("is a folder"),
            std::string::npos);
  for (const std::string tail : {"\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    EXPECT_NE(
        error_of(request(folder.file("t.txt", std::string(900, 'x') + tail)), false).find("UTF-8"),
        std::string::npos);
  }
}

TEST(TextData, TheGrammarFollowsFromItsSeed) {
  DatasetRequest r = request("grammar");
  r.items = 20000;
  const TextDataset a = load_text(r).data, b = load_text(r).data;
  EXPECT_EQ(a.sha256, b.sha256);
  EXPECT_EQ(a.train, b.train);
  r.seed = 1;
  EXPECT_NE(load_text(r).data.sha256, a.sha256);
  EXPECT_GE(a.train.size() + a.eval.size(), 20000u);
  // Sums in the text are right: the model has something true to learn.
  std::string text;
  for (const std::uint16_t t : a.train) text += static_cast<char>(a.vocabulary[t]);
  int sums = 0;
  for (std::size_t at = text.find(" + "); at != std::string::npos; at = text.find(" + ", at + 1)) {
    const std::size_t begin = text.find_last_of(" \n", at - 1) + 1;
    int x = 0, y = 0, z = 0;
    if (std::sscanf(text.c_str() + begin, "%d + %d = %d", &x, &y, &z) != 3) continue;
    if (text.find(". ", at) == std::string::npos) break;  // cut by the end
    EXPECT_EQ(x + y, z);
    ++sums;
  }
  EXPECT_GT(sums, 10);
}

TEST(TextData, InstalledTextIsNormalisedAndMissingFilesMeanNone) {
  const Folder folder;
  const char* names[] = {"art",    "computers",  "definitions", "education", "literature",
                         "people", "platitudes", "science",     "wisdom",    "work"};
  for (const char* name : names) {
    std::string entry = std::string("\t") + name + "  says:\r\n%\n";
    for (int i = 0; i < 20; ++i) entry += "one \t line\xE9\n";
    folder.file(std::string("fortunes/") + name, entry);
  }
  ::setenv("FP4LAB_DATA_DIR", folder.path().c_str(), 1);
  const auto loaded = load_text(request("text"));
  ::unsetenv("FP4LAB_DATA_DIR");
  EXPECT_EQ(loaded.data.name, "fortunes");
  EXPECT_TRUE(loaded.notice.empty());
  std::string text;
  for (const std::uint16_t t : loaded.data.train)
    text += static_cast<char>(loaded.data.vocabulary[t]);
  EXPECT_EQ(text.substr(0, 36), "art says:\n\none line\none line\none lin");
}

TEST(ImageData, GlyphsFollowFromTheirSeedAndLieInRange) {
  DatasetRequest r = request("glyphs");
  r.items = 720;
  r.classes = 36;
  const ImageDataset a = load_images(r).data, b = load_images(r).data;
  EXPECT_EQ(a.sha256, b.sha256);
  EXPECT_EQ(a.train_inputs, b.train_inputs);
  EXPECT_EQ(a.classes, 36u);
  EXPECT_EQ(a.train_labels.size(), 648u);
  EXPECT_EQ(a.eval_labels.size(), 72u);
  for (const float v : a.train_inputs) ASSERT_TRUE(v >= 0.0f && v <= 1.0f);
  EXPECT_EQ(std::set<std::int32_t>(a.train_labels.begin(), a.train_labels.end()).size(), 36u);
}

/// Share of held-out items whose nearest training image (Euclid) has the same label.
double nearest_neighbour_accuracy(const ImageDataset& set) {
  std::size_t hits = 0;
  const std::size_t n = set.pixels();
  for (std::size_t i = 0; i < set.eval_labels.size(); ++i) {
    double best = 1e30;
    std::int32_t label = -1;
    for (std::size_t j = 0; j < set.train_labels.size(); ++j) {
      double d = 0;
      for (std::size_t k = 0; k < n; ++k) {
        const double e = set.eval_inputs[i * n + k] - set.train_inputs[j * n + k];
        d += e * e;
      }
      if (d < best) {
        best = d;
        label = set.train_labels[j];
      }
    }
    hits += label == set.eval_labels[i];
  }
  return static_cast<double>(hits) / static_cast<double>(set.eval_labels.size());
}

TEST(ImageData, GlyphsCanBeToldApartButNotByHeart) {
  DatasetRequest r = request("glyphs");
  r.items = 1500;
  const double accuracy = nearest_neighbour_accuracy(load_images(r).data);
  EXPECT_GT(accuracy, 0.6);
  EXPECT_LT(accuracy, 1.0);
}

TEST(ImageData, DigitsFromATableLikeScikitLearns) {
  const Folder folder;
  std::string table;
  for (int i = 0; i < 50; ++i) {
    for (int k = 0; k < 64; ++k) table += std::to_string((i + k) % 17) + ",";
    table += std::to_string(i % 10) + "\n";
  }
  folder.gzip("sklearn/datasets/data/digits.csv.gz", table);
  ::setenv("FP4LAB_DATA_DIR", folder.path().c_str(), 1);
  const auto loaded = load_images(request("digits"));
  EXPECT_EQ(loaded.data.name, "uci-digits");
  EXPECT_NE(loaded.notice.find("not the table"),
            std::string::npos);  // its hash is not the known one
  EXPECT_EQ(loaded.data.train_labels.size() + loaded.data.eval_labels.size(), 50u);
  EXPECT_EQ(loaded.data.height, 8u);
  folder.gzip("sklearn/datasets/data/digits.csv.gz", table + "1,2,3\n");
  EXPECT_NE(error_of(request("digits"), true).find("64 intensities"), std::string::npos);
  ::unsetenv("FP4LAB_DATA_DIR");
}

std::string idx(unsigned rank, std::initializer_list<unsigned> extents, const std::string& bytes) {
  std::string file = {'\0', '\0', '\x08', static_cast<char>(rank)};
  for (const unsigned e : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(e >> shift & 255u);
  }
  return file + bytes;
}

TEST(ImageData, IdxWithItsOwnTestHalf) {
  const Folder folder;
  std::string pixels, labels;
  for (int i = 0; i < 12 * 4; ++i) pixels += static_cast<char>(i * 5);
  for (int i = 0; i < 12; ++i) labels += static_cast<char>(i % 3);
  const std::string train = folder.gzip("train-images-idx3-ubyte.gz", idx(3, {12, 2, 2}, pixels));
  folder.gzip("train-labels-idx1-ubyte.gz", idx(1, {12}, labels));
  ImageDataset set = load_images(request(train)).data;
  EXPECT_EQ(set.classes, 3u);
  EXPECT_EQ(set.train_labels.size(), 11u);
  EXPECT_EQ(set.eval_labels.size(), 1u);
  folder.gzip("t10k-images-idx3-ubyte.gz", idx(3, {2, 2, 2}, pixels.substr(0, 8)));
  folder.gzip("t10k-labels-idx1-ubyte.gz", idx(1, {2}, std::string{'\x01', '\x04'}));
  set = load_images(request(train)).data;
  EXPECT_EQ(set.train_labels.size(), 12u);
  EXPECT_EQ(set.eval_labels, (std::vector<std::int32_t>{1, 4}));
  EXPECT_EQ(set.classes, 5u);
  EXPECT_EQ(set.train_inputs[3], 15.0f / 255.0f);
}

TEST(ImageData, DamagedFilesAreOneLine) {
  const Folder folder;
  const std::string pixels(8, 'x');
  const auto fails = [&](const std::string& path, const std::string& with) {
    const std::string e = error_of(request(path), true);
    EXPECT_NE(e.find(with), std::string::npos) << e;
    EXPECT_EQ(e.find('\n'), std::string::npos);
  };
  folder.file("labels-idx1-ubyte", idx(1, {2}, std::string{'\0', '\1'}));
  fails(folder.file("images-idx3-ubyte", idx(3, {3, 2, 2}, pixels)),
        "8 bytes where its header says 12");
  fails(folder.file("images-idx3-ubyte", idx(3, {2, 2}, "")), "header");
  fails(folder.file("images-idx3-ubyte", "GIF89a"), "not an IDX file");
  fails(folder.file("images-idx3-ubyte", idx(3, {0xFFFFFFFFu, 0xFFFFFFFFu, 1}, "")), "cannot be");
  fails(folder.file("images-idx3-ubyte", idx(3, {1, 2, 2}, "abcd")), "one label an image");
  fails(folder.file("data_batch_1.bin", "abc"), "CIFAR-10 records");
  const std::string whole = folder.gzip("x-images-idx3-ubyte.gz", std::string(100000, 'q'));
  fs::resize_file(whole, fs::file_size(whole) / 2);
  fails(whole, "damaged or truncated");
  fails((folder.path() / "missing-ubyte").string(), "data.labels");
}

TEST(ImageData, CifarFolderAndArrays) {
  const Folder folder;
  std::string record(3073, '\x33');
  record[0] = '\x07';
  folder.file("cifar/data_batch_1.bin", record + record + record);
  folder.file("cifar/test_batch.bin", record);
  const ImageDataset cifar = load_images(request((folder.path() / "cifar").string())).data;
  EXPECT_EQ(cifar.train_labels, (std::vector<std::int32_t>{7, 7, 7}));
  EXPECT_EQ(cifar.eval_labels, (std::vector<std::int32_t>{7}));
  EXPECT_EQ(cifar.pixels(), 3072u);

  Array images(DType::kU8, {5, 2, 3}), labels(DType::kI64, {5});
  for (std::size_t i = 0; i < 30; ++i) images.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i);
  for (std::size_t i = 0; i < 5; ++i)
    labels.as<std::int64_t>()[i] = static_cast<std::int64_t>(i % 2);
  const std::string npy = (folder.path() / "x.npy").string();
  write_array(parse_array_ref(npy), images);
  DatasetRequest r = request(npy);
  EXPECT_NE(error_of(r, true).find("data.labels"), std::string::npos);
  r.labels = (folder.path() / "y.h5").string() + ":/labels";
  write_array(parse_array_ref(r.labels), labels);
  const ImageDataset set = load_images(r).data;
  EXPECT_EQ(set.height, 2u);
  EXPECT_EQ(set.width, 3u);
  EXPECT_EQ(set.classes, 2u);
  labels.as<std::int64_t>()[3] = -1;
  write_array(parse_array_ref(r.labels), labels);
  EXPECT_NE(error_of(r, true).find("item 3"), std::string::npos);
}

TEST(Data, NamesTellImagesFromText) {
  for (const char* name : {"digits", "glyphs", "train-images-idx3-ubyte.gz", "a/x.npy",
                           "b.h5:/images", "data_batch_1.bin", "cifar-10-batches-bin"}) {
    EXPECT_TRUE(is_image_dataset(name)) << name;
  }
  for (const char* name : {"text", "grammar", "notes.txt", "book.txt.gz"}) {
    EXPECT_FALSE(is_image_dataset(name)) << name;
  }
}

}  // namespace
}  // namespace fp4lab::data
