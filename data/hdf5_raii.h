// Owning handles for HDF5's C API, and its error stack as one line of text.
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab::hdf5 {

/// Turns off HDF5's own printing to stderr. Cheap; every entry point calls it.
inline void silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

/// The innermost message of the current error stack, e.g. `truncated file: eof = 96, ...`.
inline std::string last_message() {
  std::string text;
  const auto take = [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
    if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &text);
  return text.empty() ? "no details" : printable(text, 160);
}

/// An HDF5 identifier that closes itself. `Close` is H5Fclose, H5Dclose, ...
template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, -1);
    }
    return *this;
  }
  ~Handle() { reset(); }

  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

  /// Closes now; false when HDF5 reports a failure (a file's last flush happens here).
  bool reset() {
    if (id_ < 0) return true;
    return Close(std::exchange(id_, -1)) >= 0;
  }

 private:
  hid_t id_ = -1;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Object = Handle<H5Oclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Properties = Handle<H5Pclose>;
using Attribute = Handle<H5Aclose>;

/// Wraps `id`, or throws E (InputError or EnvironmentError) with `line` and HDF5's own reason.
template <typename H, typename E>
H require(hid_t id, const std::string& line) {
  if (id < 0) throw E(line + " (HDF5: " + last_message() + ")");
  return H(id);
}

/// The same for calls that return a status.
template <typename E>
void check(herr_t status, const std::string& line) {
  if (status < 0) throw E(line + " (HDF5: " + last_message() + ")");
}

}  // namespace fp4lab::hdf5
