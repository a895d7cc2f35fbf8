#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "normlab/tensor.h"

namespace normlab {

/// Moments of a tensor as rows: the numbers of Theorem 1, means over rows.
struct RowMoments {
  double mean = 0;      ///< mean over all elements
  double row_mean = 0;  ///< mean over rows of |row mean|: re-centring makes it zero
  double row_var = 0;   ///< mean over rows of the biased row variance: re-scaling shrinks it
  double norm = 0;      ///< Euclidean length of the whole tensor
};

/// Record of one norm layer in one step.
struct NormRecord {
  std::string layer;  ///< the module's dotted name, or "norm" and a number
  std::string variant;
  int64_t step = 0;
  RowMoments x, z;    ///< activations before and after the norm
  RowMoments dz, dx;  ///< gradients before (upstream, dL/dz) and after (dL/dx) its backward pass
  bool has_gradient = false;
  double clipped = 0;  ///< adanorm: share of elements with phi <= 0, that is y >= 1/k; else 0
};

namespace nn {
class Module;
class Norm;
}  // namespace nn

/// Records every forward pass of an nn::Norm on this thread, and its backward pass, during its
/// lifetime. Probes nest; the innermost records.
class Probe {
 public:
  /// Records every `every`-th step only. ArgumentError unless every >= 1.
  explicit Probe(int64_t every = 1);
  /// As above; layers have their names in `model`.
  explicit Probe(const nn::Module& model, int64_t every = 1);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// Ends a step: later records count as the next one.
  void next_step();
  int64_t step() const;
  const std::vector<NormRecord>& records() const;
  void clear();

  struct State;

 private:
  std::shared_ptr<State> state_;
};

/// Moments of x as rows of `row` elements; ShapeError unless row divides x's size.
RowMoments row_moments(const Tensor& x, int64_t row);

}  // namespace normlab
