#include <algorithm>
#include <cmath>
#include <numeric>

#include "normlab/tensor.h"

namespace normlab {
namespace {

/// How many of start, start + step, ... come before stop, by the double's arithmetic or exactly.
int64_t steps_between(double start, double stop, double step) {
  int64_t n = static_cast<int64_t>((stop - start) / step);
  if (n >= 0 && (step > 0 ? start + n * step < stop : start + n * step > stop)) ++n;
  return std::max<int64_t>(n, 0);
}
int64_t steps_between(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const auto from = static_cast<uint64_t>(start), to = static_cast<uint64_t>(stop),
             stride = static_cast<uint64_t>(step);
  const uint64_t distance = step > 0 ? to - from : from - to, each = step > 0 ? stride : -stride;
  return static_cast<int64_t>(distance / each + (distance % each != 0));
}

double step_to(double start, double step, int64_t i) {
  return start + i * step;
}
/// Within the range of int64, though i * step need not be.
int64_t step_to(int64_t start, int64_t step, int64_t i) {
  return static_cast<int64_t>(static_cast<uint64_t>(start) +
                              static_cast<uint64_t>(i) * static_cast<uint64_t>(step));
}

/// start, start + step, ... before stop.
template <class T>
Tensor stepped(T start, T stop, T step, DType dtype) {
  constexpr double kMost = 1e15;
  const double distance = static_cast<double>(stop) - static_cast<double>(start);
  check<ArgumentError>(
      std::isfinite(double(step)) && std::abs(distance) < kMost * std::abs(double(step)), "arange",
      "start, stop and step must make a finite number of steps, got ", start, ", ", stop, " and ",
      step);
  const int64_t n = steps_between(start, stop, step);
  Tensor x = Tensor::empty({n}, dtype_of<T>);
  T* p = x.data<T>();
  for (int64_t i = 0; i < n; ++i) p[i] = step_to(start, step, i);
  return x.to(dtype);
}

}  // namespace

Tensor Tensor::arange(int64_t n, DType dtype) {
  check<ArgumentError>(n >= 0, "arange", "n must not be negative, got ", n);
  check<ArgumentError>(n <= 2 || dtype != DType::boolean, "arange",
                       "bool holds 0 and 1 alone, got n ", n);
  Tensor x = empty({n}, DType::int64);
  std::iota(x.data<int64_t>(), x.data<int64_t>() + n, int64_t{0});
  return x.to(dtype);
}

Tensor Tensor::arange(Scalar start, Scalar stop, Scalar step, std::optional<DType> dtype) {
  if (start.is_integer() && stop.is_integer() && step.is_integer())
    return stepped(start.integer(), stop.integer(), step.integer(), dtype.value_or(DType::int64));
  return stepped(start.real(), stop.real(), step.real(), dtype.value_or(DType::float32));
}

}  // namespace normlab
