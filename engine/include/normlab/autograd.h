#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "normlab/tensor.h"

namespace normlab {

/// A gradient that is zero but for some rows of the first axis.
struct SparseRows {
  Tensor rows;    ///< int64 [n], strictly rising
  Tensor values;  ///< [n, ...]: one gradient a row
  Shape shape;    ///< of the dense tensor
  /// As a dense tensor.
  Tensor dense() const;
};

/// Gradient of one input, as a derivative returns it: nothing, a dense tensor, or sparse rows.
struct Gradient {
  Gradient() = default;
  Gradient(Tensor t) : dense(std::move(t)) {}  // NOLINT: implicit on purpose
  Gradient(SparseRows s) : sparse(std::make_shared<SparseRows>(std::move(s))) {}  // NOLINT
  bool defined() const { return dense.defined() || sparse; }
  Tensor dense;
  std::shared_ptr<SparseRows> sparse;
};
using Grads = std::vector<Gradient>;

/// needs[i] is true if input i requires its gradient. A derivative may skip the others.
using Needs = std::span<const bool>;
/// Maps dL/dz to dL/dinput for each input, in order. It must not write into dz, and must not
/// capture its own output's handle (a cycle): keep z.detach() instead.
using Backward = std::function<Grads(const Tensor& dz, Needs needs)>;

/// Puts z on the tape as the result of `op` on `inputs`, if gradients are on and an input
/// requires one; returns z. `op` must be a literal.
Tensor record(const char* op, Tensor z, std::vector<Tensor> inputs, Backward backward);
/// record() for an op without a derivative: backward() through it is a GradError that names it.
Tensor record_no_derivative(const char* op, Tensor z, std::vector<Tensor> inputs);
/// True if record() would put a node on the tape. An op may skip work for backward otherwise.
bool needs_grad(std::initializer_list<Tensor> inputs);

/// A tensor kept for backward; undefined stays undefined. get() throws GradError if it was changed
/// in place meanwhile.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& x);
  const Tensor& get() const;

 private:
  Tensor x_;
  uint64_t version_ = 0;
};

/// True if this thread records.
bool grad_enabled();
/// During its lifetime the thread that made it records nothing. Several may end in any order, and
/// on any thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  std::shared_ptr<std::atomic<int>> pauses_;  // of the thread
};

}  // namespace normlab
