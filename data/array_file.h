// Naming, reading and writing arrays: the file arguments of every command.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/array.h"
#include "data/hdf5_file.h"

namespace fp4lab {

/// How an array argument is stored.
enum class FileKind {
  kNpy,     ///< `x.npy`
  kHdf5,    ///< `x.h5:/path` (also .hdf5, .nc)
  kRaw,     ///< `x.f32`, `x.u8`, ..., `x.raw`, `x.bin`: little-endian elements and nothing else
  kStream,  ///< `-`: raw on standard input or output
  kSample   ///< `sample:NAME`: built in, for reading only
};

/// A parsed array argument.
struct ArrayRef {
  FileKind kind = FileKind::kRaw;
  std::string text;            ///< as written
  std::string path;            ///< file; empty for `-` and samples
  std::string name;            ///< data set path or sample name
  std::optional<DType> dtype;  ///< from the ending of a raw file
};

/// Parses an argument. Throws InputError for an ending that says nothing, or a missing data set.
ArrayRef parse_array_ref(std::string_view text);

/// What raw files do not say about themselves.
struct ReadOptions {
  std::optional<Shape> shape;         ///< raw and `-` only; without it the array is 1-D
  std::optional<DType> dtype;         ///< `.raw`, `.bin` and `-` only
  DType default_dtype = DType::kF32;  ///< for `.raw`, `.bin` and `-` without dtype
};

/// Reads the array. Throws InputError; nothing is allocated for sizes that a file does not have.
Array read_array(const ArrayRef& ref, const ReadOptions& options = {});

/// Several outputs that appear together: each array is written to a temporary when added or at
/// commit(), and the names appear only when all of them are complete and synced. Data sets of one
/// HDF5 file are collected; an existing HDF5 file is copied, extended, and replaced.
/// Destruction without commit() leaves nothing behind.
class ArrayWriter {
 public:
  ArrayWriter();
  ~ArrayWriter();
  ArrayWriter(const ArrayWriter&) = delete;
  ArrayWriter& operator=(const ArrayWriter&) = delete;

  /// Checks that the argument can be an output at all and does not collide with an earlier one.
  /// Opens the temporary at once, so that an unwritable place fails before any work is done.
  void reserve(const ArrayRef& ref);

  /// Hands over the array for an argument that was reserved. Throws InputError when a raw ending
  /// contradicts the array's dtype. Attributes are stored by HDF5 only.
  void put(const ArrayRef& ref, Array array, Attributes attributes = {});

  /// Writes and syncs everything, sends `-`, then renames.
  void commit();

  /// Whether one of the outputs is standard output.
  bool uses_stdout() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One array through an ArrayWriter.
void write_array(const ArrayRef& ref, Array array, Attributes attributes = {});

}  // namespace fp4lab
