#pragma once

#include <cstdint>

#include "normlab/tensor.h"

namespace normlab {

/// Calls body.operator()<T>() with the C++ type of dtype; DtypeError for bfloat16.
template <class Body>
auto dispatch(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::bfloat16:
      fail<DtypeError>("dtype", "this operation does not take bfloat16; to('float32') converts");
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

/// True for bfloat16 on the CPU, which stores it and computes in float32.
inline bool is_stored_only(const Tensor& x) {
  return x.dtype() == DType::bfloat16 && x.device() == Device::cpu;
}

/// What sums, statistics and biases of a floating dtype are kept in.
inline DType computed_in(DType dtype) {
  return dtype == DType::bfloat16 ? DType::float32 : dtype;
}

/// DtypeError that names op and operand unless x may carry a gradient.
inline void check_carries_gradient(const char* op, const char* name, const Tensor& x) {
  check<DtypeError>(carries_gradient(x.dtype()), op, name,
                    " must be float32, float64 or bfloat16, got ", x.dtype());
}

/// dispatch() for float32 and float64 only; DtypeError naming op and dtype otherwise.
template <class Body>
auto dispatch_floating(const char* op, DType dtype, const Body& body) {
  check<DtypeError>(is_floating(dtype), op, "needs float32 or float64, got ", dtype);
  if (dtype == DType::float64) return body.template operator()<double>();
  return body.template operator()<float>();
}

/// The same with bfloat16.
template <class Body>
auto dispatch_computable(const char* op, DType dtype, const Body& body) {
  if (dtype == DType::bfloat16) return body.template operator()<bfloat16>();
  return dispatch_floating(op, dtype, body);
}

}  // namespace normlab
