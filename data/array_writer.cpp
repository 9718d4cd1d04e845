#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "data/array_file.h"
#include "data/atomic_file.h"
#include "data/byte_source.h"
#include "data/error.h"
#include "data/npy.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

struct Output {
  ArrayRef ref;
  AtomicFile* file = nullptr;  // none for `-`
  Array array;
  Attributes attributes;
  bool filled = false;
};

bool exists_with_bytes(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
}

/// Two spellings of one existing file are one output.
std::string identity_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
  if (::stat(folder.c_str(), &info) == 0) {
    return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) + "/" + base;
  }
  return path;
}

}  // namespace

struct ArrayWriter::Impl {
  std::vector<Output> outputs;
  std::map<std::string, std::unique_ptr<AtomicFile>> files;  // by identity of the target

  Output* find(const ArrayRef& ref) {
    for (auto& output : outputs) {
      if (output.ref.text == ref.text) return &output;
    }
    return nullptr;
  }

  void write_hdf5_file(AtomicFile* file) {
    std::vector<Hdf5Item> items;
    for (const auto& output : outputs) {
      if (output.file == file) {
        items.push_back({output.ref.name, &output.array, output.attributes});
      }
    }
    // The old file is read now, not when the place was reserved: it may be the command's input.
    AlignedBytes existing;
    if (exists_with_bytes(file->target())) existing = ByteSource(file->target()).read_rest();
    const AlignedBytes image = hdf5_image(existing, items, printable(file->target(), 200));
    file->write(image.data(), image.size());
  }

  void write_files() {
    std::vector<AtomicFile*> collected;  // HDF5 files, whose data sets are written together
    for (auto& output : outputs) {
      if (output.file == nullptr) continue;
      if (output.ref.kind == FileKind::kHdf5) {
        if (std::count(collected.begin(), collected.end(), output.file)) continue;
        collected.push_back(output.file);
        write_hdf5_file(output.file);
      } else if (output.ref.kind == FileKind::kNpy) {
        write_npy(*output.file, output.array);
      } else {
        output.file->write(output.array.bytes.data(), output.array.bytes.size());
      }
    }
  }
};

ArrayWriter::ArrayWriter() : impl_(std::make_unique<Impl>()) {}
ArrayWriter::~ArrayWriter() = default;

void ArrayWriter::reserve(const ArrayRef& ref) {
  if (ref.kind == FileKind::kSample) {
    throw InputError("'" + printable(ref.text) + "' is a built-in input and cannot be written");
  }
  Output output;
  output.ref = ref;
  if (ref.kind == FileKind::kStream) {
    if (uses_stdout()) throw InputError("only one output can be '-'");
    if (::isatty(STDOUT_FILENO)) {
      throw InputError("raw numbers are not written to a terminal; redirect standard output");
    }
    impl_->outputs.push_back(std::move(output));
    return;
  }
  const std::string identity = identity_of(ref.path);
  auto& file = impl_->files[identity];
  if (file) {
    for (const auto& other : impl_->outputs) {
      if (other.file != file.get()) continue;
      const bool two_datasets = other.ref.kind == FileKind::kHdf5 && ref.kind == FileKind::kHdf5 &&
                                other.ref.name != ref.name;
      if (!two_datasets && !file->is_direct()) {
        throw InputError("two outputs go to '" + printable(ref.text) + "'");
      }
    }
  } else {
    file = std::make_unique<AtomicFile>(ref.path);
    if (file->is_direct() && ref.kind == FileKind::kHdf5) {
      throw InputError("'" + printable(ref.path) + "': HDF5 needs a regular file");
    }
  }
  output.file = file.get();
  impl_->outputs.push_back(std::move(output));
}

void ArrayWriter::put(const ArrayRef& ref, Array array, Attributes attributes) {
  Output* const output = impl_->find(ref);
  if (output == nullptr) throw std::logic_error("ArrayWriter::put without reserve");
  if (ref.dtype && *ref.dtype != array.dtype) {
    throw InputError("'" + printable(ref.text) + "': the ending says " +
                     std::string(dtype_name(*ref.dtype)) + ", but the array is " +
                     std::string(dtype_name(array.dtype)) + "; use ." +
                     std::string(dtype_name(array.dtype)) + " or .npy");
  }
  output->array = std::move(array);
  output->attributes = std::move(attributes);
  output->filled = true;
}

void ArrayWriter::commit() {
  for (const auto& output : impl_->outputs) {
    if (!output.filled) throw std::logic_error("ArrayWriter::commit before put");
  }
  impl_->write_files();
  for (auto& [identity, file] : impl_->files) file->finish();
  // Standard output comes before the names: a closed pipe must not leave half of the outputs.
  for (const auto& output : impl_->outputs) {
    if (output.ref.kind != FileKind::kStream) continue;
    const auto& bytes = output.array.bytes;
    if (const int error = write_all(STDOUT_FILENO, bytes.data(), bytes.size())) {
      throw EnvironmentError(std::string("cannot write standard output: ") + std::strerror(error));
    }
  }
  // All names or none: outputs of one command belong together.
  const bool several = impl_->files.size() > 1;
  try {
    for (auto& [identity, file] : impl_->files) file->publish(several);
  } catch (...) {
    for (auto& [identity, file] : impl_->files) file->retract();
    throw;
  }
  for (auto& [identity, file] : impl_->files) file->confirm();
}

bool ArrayWriter::uses_stdout() const {
  return std::any_of(impl_->outputs.begin(), impl_->outputs.end(),
                     [](const Output& o) { return o.ref.kind == FileKind::kStream; });
}

}  // namespace fp4lab
