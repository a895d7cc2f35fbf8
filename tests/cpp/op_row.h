#pragma once

#include <string>

#include "gradcheck.h"

// A row of op_table.h, and inputs that rows share.

namespace normlab::test {

using Inputs = std::vector<Tensor>;

struct OpRow {
  std::string name;
  Op call;
  /// Float64 inputs: gradients of those that are small are checked against differences.
  std::vector<Inputs> inputs = {};
  double float32 = 1e-5;           ///< greatest difference from float64, on the CPU and the GPU
  double bfloat16 = 0;             ///< the same on the GPU; 0: not taken
  std::vector<Inputs> exact = {};  ///< inputs of other dtypes, or of any that only move elements
  std::vector<Inputs> edges = {};  ///< infinities and NaN: the GPU's results are the CPU's
  bool refuses_integers = true;
  double gradient = 1e-6;  ///< greatest error against differences
};

/// Numbers in [0.3, 3], float64.
inline Tensor positive(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return rand(shape, 0.3, 3, DType::float64, generator).set_requires_grad();
}
/// Numbers from the normal distribution.
inline Tensor normal(const Shape& shape, uint64_t seed, DType dtype = DType::float32) {
  Generator generator(seed);
  return randn(shape, 0, 1, dtype, generator);
}
/// A random mask.
inline Tensor coins(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return compare(rand(shape, 0, 1, DType::float32, generator), 0.5, Comparison::lt);
}
/// Whole numbers in [low, high).
inline Tensor indices(const Shape& shape, int64_t low, int64_t high, uint64_t seed) {
  Generator generator(seed);
  return randint(low, high, shape, generator);
}
/// Offsets of packed sentences of these lengths.
inline Tensor offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> at{0};
  for (const int64_t n : lengths) at.push_back(at.back() + n);
  return Tensor::of(Shape{static_cast<int64_t>(at.size())}, at);
}
/// Ordinary numbers, and those that float64 and float32 treat specially.
inline Tensor special() {
  return Tensor::of<double>(
      {22}, {0.0, -0.0, 1,    -1,    0.5,  -0.5, 1.5,  -1.5,     2.5,       -2.5, 3,
             -3,  1e-8, 40.5, -40.5, 87.0, -87,  1e30, INFINITY, -INFINITY, NAN,  7});
}

inline const std::vector<std::pair<Shape, Shape>> kBroadcasts = {
    {{}, {}},
    {{5}, {}},
    {{}, {5}},
    {{1}, {1, 1}},
    {{0}, {1}},
    {{3, 0}, {1, 1}},
    {{0, 4}, {4}},
    {{33}, {33}},
    {{4, 7}, {7}},
    {{4, 1}, {7}},
    {{1, 4, 1}, {3, 1, 7}},
    {{3, 513}, {513}},
    {{3, 513}, {3, 1}},
    {{513}, {6, 1}},
    {{2, 3, 4, 5}, {3, 1, 5}},
    {{2, 1, 4, 1}, {3, 1, 5}},
    {{2, 1, 300}, {2, 5, 1}},
    {{3, 2, 2, 2, 2, 2, 2, 2}, {2, 1, 2, 1, 2, 1, 2}},
    {{1100, 3}, {1, 3}},
    {{1100, 3}, {1100, 1}},
    {{2, 5000}, {2, 5000}},
    {{2, 9000}, {1, 9000}},
};

/// Arrays and axes of reductions: rows, columns, the middle, separate groups; a few columns, long
/// and short sides.
struct ReducedAxes {
  Shape shape;
  std::vector<int> axes;
};
inline const std::vector<ReducedAxes> kReducedAxes = {
    {{}, {}},
    {{1}, {}},
    {{513}, {}},
    {{70000}, {0}},
    {{3, 5}, {}},
    {{7, 513}, {-1}},
    {{7, 513}, {0}},
    {{3, 40000}, {1}},
    {{1000, 3}, {0}},
    {{21, 3}, {0}},
    {{600, 65}, {0}},
    {{9, 1100}, {0}},
    {{2, 300, 7}, {1}},
    {{2, 5, 130}, {1}},
    {{4, 3, 5, 6}, {0, 2, 3}},
    {{4, 3, 5, 6}, {1, 3}},
    {{4, 3, 5, 6}, {0, 2}},
    {{4, 1, 5, 1}, {0, 2}},
    {{4, 1, 5, 1}, {1, 3}},
    {{2, 3, 4, 5}, {-3, -2}},
};

}  // namespace normlab::test
