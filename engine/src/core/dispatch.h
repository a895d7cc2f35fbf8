#pragma once

#include <cstdint>

#include "normlab/tensor.h"

namespace normlab {

/// Calls body.operator()<T>() with the C++ type of dtype; DtypeError for bfloat16.
template <class Body>
auto dispatch(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::bfloat16:
      fail<DtypeError>("dtype", "the CPU does not compute in bfloat16; to('float32') converts");
    case DType::float64:
      return body.template operator()<double>();
    case DType::int32:
      return body.template operator()<int32_t>();
    case DType::int64:
      return body.template operator()<int64_t>();
    case DType::uint8:
      return body.template operator()<uint8_t>();
    case DType::boolean:
      return body.template operator()<bool>();
    default:
      return body.template operator()<float>();
  }
}

/// Calls body.operator()<T>() with the C++ type of dtype, for what needs no arithmetic but can
/// store bfloat16 too.
template <class Body>
auto dispatch_stored(DType dtype, const Body& body) {
  if (dtype == DType::bfloat16) return body.template operator()<bfloat16>();
  return dispatch(dtype, body);
}

/// Whether ops compute with x as with real numbers: float32 and float64, bfloat16 on the GPU.
inline bool is_computable(const Tensor& x) {
  return is_floating(x.dtype()) || (x.dtype() == DType::bfloat16 && x.device() == Device::cuda);
}

/// What sums, statistics and biases of a floating dtype are kept in.
inline DType computed_in(DType dtype) {
  return dtype == DType::bfloat16 ? DType::float32 : dtype;
}

/// dispatch() for float32 and float64 only; DtypeError naming op and dtype otherwise.
template <class Body>
auto dispatch_floating(const char* op, DType dtype, const Body& body) {
  check<DtypeError>(is_floating(dtype), op, "needs float32 or float64, got ", dtype);
  if (dtype == DType::float64) return body.template operator()<double>();
  return body.template operator()<float>();
}

/// The same with bfloat16, for what computes on the GPU or only passes pointers on.
template <class Body>
auto dispatch_computable(const char* op, DType dtype, const Body& body) {
  if (dtype == DType::bfloat16) return body.template operator()<bfloat16>();
  return dispatch_floating(op, dtype, body);
}

}  // namespace normlab
