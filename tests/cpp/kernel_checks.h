#pragma once

#include <vector>

#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

namespace normlab::test {

/// Normal numbers, the same for the same seed.
inline Tensor random(const Shape& shape, uint64_t seed, DType dtype = DType::float32) {
  Generator generator(seed);
  return randn(shape, 0, 1, dtype, generator);
}

/// The greatest absolute difference of two lists; infinite if their lengths differ or for NaN.
inline double worst(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    most = std::isnan(d) ? INFINITY : std::max(most, d);
  }
  return most;
}

/// The elements of all tensors, one after the other; undefined ones have none.
inline std::vector<double> joined(const std::vector<Tensor>& tensors) {
  std::vector<double> all;
  for (const Tensor& t : tensors) {
    if (!t.defined()) continue;
    const std::vector<double> values = t.to_vector();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

/// Runs f, which returns numbers, with 1, 2 and 3 threads; true if all agree bit for bit.
template <class F>
bool same_for_any_threads(const F& f) {
  const std::vector<double> want = with_threads(1, f);
  return with_threads(2, f) == want && with_threads(3, f) == want;
}

}  // namespace normlab::test
