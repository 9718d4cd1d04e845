#include "data/hdf5_types.h"

namespace fp4lab::hdf5 {
namespace {

Type copy_of(hid_t id) {
  return require<Type, EnvironmentError>(H5Tcopy(id), "cannot create an HDF5 data type");
}

/// A 16-bit little-endian float with `mantissa` stored bits and the given exponent field.
Type small_float(std::size_t exponent_bits, std::size_t mantissa_bits, std::size_t bias) {
  Type type = copy_of(H5T_IEEE_F32LE);
  // Fields first: HDF5 refuses a size that would cut the present ones.
  const bool ok =
      H5Tset_fields(type.get(), 15, mantissa_bits, exponent_bits, 0, mantissa_bits) >= 0 &&
      H5Tset_size(type.get(), 2) >= 0 && H5Tset_ebias(type.get(), bias) >= 0;
  if (!ok)
    throw EnvironmentError("cannot create a 16-bit HDF5 float (HDF5: " + last_message() + ")");
  return type;
}

struct FloatFields {
  std::size_t sign = 0, exponent_at = 0, exponent_bits = 0, mantissa_at = 0, mantissa_bits = 0;
  bool is(std::size_t e, std::size_t m) const {
    return sign == e + m && exponent_at == m && exponent_bits == e && mantissa_at == 0 &&
           mantissa_bits == m;
  }
};

std::optional<DType> integer_dtype(std::size_t size, bool is_signed) {
  switch (size) {
    case 1:
      return is_signed ? DType::kI8 : DType::kU8;
    case 2:
      return is_signed ? DType::kI16 : DType::kU16;
    case 4:
      return is_signed ? DType::kI32 : DType::kU32;
    case 8:
      return is_signed ? DType::kI64 : DType::kU64;
    default:
      return std::nullopt;
  }
}

std::optional<DType> float_dtype(hid_t stored, std::size_t size) {
  FloatFields f;
  if (H5Tget_fields(stored, &f.sign, &f.exponent_at, &f.exponent_bits, &f.mantissa_at,
                    &f.mantissa_bits) < 0) {
    return std::nullopt;
  }
  const std::size_t bias = H5Tget_ebias(stored);
  if (size == 4 && f.is(8, 23) && bias == 127) return DType::kF32;
  if (size == 8 && f.is(11, 52) && bias == 1023) return DType::kF64;
  if (size == 2 && f.is(5, 10) && bias == 15) return DType::kF16;
  if (size == 2 && f.is(8, 7) && bias == 127) return DType::kBf16;
  return std::nullopt;
}

}  // namespace

std::optional<DType> dtype_of(hid_t stored, std::string* reason) {
  const std::size_t size = H5Tget_size(stored);
  std::optional<DType> dtype;
  switch (H5Tget_class(stored)) {
    case H5T_INTEGER:
      dtype = integer_dtype(size, H5Tget_sign(stored) == H5T_SGN_2);
      if (dtype && H5Tget_precision(stored) != 8 * size) dtype.reset();
      break;
    case H5T_FLOAT:
      dtype = float_dtype(stored, size);
      break;
    case H5T_ENUM:
      *reason = "elements are an enumeration (h5py stores booleans so); store them as uint8";
      return std::nullopt;
    case H5T_COMPOUND:
      *reason = "elements are compound records; store one field as a plain data set";
      return std::nullopt;
    case H5T_STRING:
      *reason = "elements are text, not numbers";
      return std::nullopt;
    default:
      *reason = "elements are not plain numbers";
      return std::nullopt;
  }
  if (!dtype) {
    *reason = "a number type of " + std::to_string(size) +
              " bytes that is none of f16 bf16 f32 f64 u8..u64 i8..i64";
  }
  return dtype;
}

Type half_type() { return small_float(5, 10, 15); }

Type bfloat16_type() { return small_float(8, 7, 127); }

Type memory_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return copy_of(H5T_IEEE_F32LE);
    case DType::kF64:
      return copy_of(H5T_IEEE_F64LE);
    case DType::kF16:
      return half_type();
    case DType::kU8:
      return copy_of(H5T_STD_U8LE);
    case DType::kI8:
      return copy_of(H5T_STD_I8LE);
    case DType::kBf16:
      return bfloat16_type();
    case DType::kU16:
      return copy_of(H5T_STD_U16LE);
    case DType::kI16:
      return copy_of(H5T_STD_I16LE);
    case DType::kU32:
      return copy_of(H5T_STD_U32LE);
    case DType::kI32:
      return copy_of(H5T_STD_I32LE);
    case DType::kU64:
      return copy_of(H5T_STD_U64LE);
    case DType::kI64:
      return copy_of(H5T_STD_I64LE);
  }
  throw EnvironmentError("cannot create an HDF5 data type");
}

}  // namespace fp4lab::hdf5
