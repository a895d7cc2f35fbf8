#pragma once

#include <string>

#include "bind.h"

namespace normlab::bindings {

/// The padding of a convolution: lengths, or "same" or "valid".
struct Padding {
  int64_t h = 0, w = 0;
  bool same = false;
};

inline Padding padding_named(const std::string& name) {
  check<ArgumentError>(name == "same" || name == "valid", "conv2d",
                       "padding must be 'same', 'valid', an int or (height, width), got '", name,
                       "'");
  return {0, 0, name == "same"};
}

inline Conv2dOptions conv_options(Pair stride, Padding padding, Pair dilation, int64_t groups,
                                  Activation activation) {
  return {stride.h,   stride.w,   padding.h, padding.w,   activation,
          dilation.h, dilation.w, groups,    padding.same};
}

inline Pool2dOptions pool_options(Pair kernel, std::optional<Pair> stride, Pair padding,
                                  bool count_include_pad = true) {
  const Pair step = stride.value_or(Pair{});
  if (stride)
    check<ArgumentError>(step.h > 0 && step.w > 0, "pool2d", "stride must be positive, got ",
                         step.h, " and ", step.w);
  return {kernel.h, kernel.w, step.h, step.w, padding.h, padding.w, count_include_pad};
}

}  // namespace normlab::bindings

namespace pybind11::detail {

template <>
struct type_caster<normlab::bindings::Padding> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Padding, const_name("int | tuple[int, int] | str"));
  bool load(handle source, bool convert) {
    if (isinstance<str>(source)) {
      value = normlab::bindings::padding_named(source.cast<std::string>());
      return true;
    }
    make_caster<normlab::bindings::Pair> pair;
    if (!pair.load(source, convert)) return false;
    const auto [h, w] = cast_op<normlab::bindings::Pair&>(pair);
    value = {h, w, false};
    return true;
  }
};

}  // namespace pybind11::detail
