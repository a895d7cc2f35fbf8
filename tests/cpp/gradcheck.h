#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "device.h"
#include "normlab/normlab.h"

namespace normlab::test {

using Op = std::function<Tensor(const std::vector<Tensor>&)>;

/// The greatest error, relative to max(1, |gradient|), between backward() and central differences
/// of sum(w * op(inputs)) in float64, over all elements of all inputs that require a gradient.
/// w is random: sums and sums of squares are blind to many a wrong gradient. `frozen` evaluates
/// the op with its detached parts held at the base point; it defaults to the op itself.
inline double gradient_error(const Op& op, const std::vector<Tensor>& inputs, const Op& frozen = {},
                             double h = 1e-6) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs) {
    leaves.push_back(x.detach().clone());
    if (x.requires_grad()) leaves.back().set_requires_grad();
  }
  const Tensor z = op(leaves);
  Generator generator(12345);
  const Tensor w = randn(z.shape(), 0, 1, DType::float64, generator);
  z.backward(w);

  NoGrad no_grad;
  const auto probe = [&](const std::vector<Tensor>& at) {
    return sum(w * (frozen ? frozen(at) : op(at))).item();
  };
  double worst = 0;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].requires_grad()) continue;
    const std::vector<double> gradient = leaves[k].grad()
                                             ? leaves[k].grad().to_vector()
                                             : std::vector<double>(inputs[k].numel(), 0.0);
    for (int64_t i = 0; i < inputs[k].numel(); ++i) {
      double side[2];
      for (int s = 0; s < 2; ++s) {
        std::vector<Tensor> moved = inputs;
        moved[k] = inputs[k].clone();
        moved[k].data<double>()[i] += s == 0 ? h : -h;
        side[s] = probe(moved);
      }
      const double numeric = (side[0] - side[1]) / (2 * h);
      const double error = std::abs(numeric - gradient[i]) / std::max(1.0, std::abs(numeric));
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

/// The greatest difference, relative to max(1, |value|), between the CPU's and the GPU's result and
/// gradients of op on the same inputs, read as `dtype` where they are floating; 0 where there is no
/// device, which has_device() says. Of bfloat16 the CPU's are computed in float64 from the same
/// rounded inputs.
inline double cuda_difference(const Op& op, const std::vector<Tensor>& inputs,
                              DType dtype = DType::float64) {
  if (!has_device()) return 0;
  const auto stored = [&](const Tensor& t, Device device) {
    const Tensor rounded = t.to(dtype);
    const bool computed = dtype == DType::bfloat16 && device == Device::cpu;
    return computed ? rounded.to(DType::float64) : rounded.to(device);
  };
  const auto run = [&](Device device) {
    std::vector<Tensor> leaves;
    for (const Tensor& x : inputs) {
      Tensor t = x.detach().clone();
      leaves.push_back(is_floating(x.dtype()) ? stored(t, device) : t.to(device));
      if (x.requires_grad()) leaves.back().set_requires_grad();
    }
    const Tensor z = op(leaves);
    if (z.device() != device) fail<DeviceError>("cuda_difference", "the result left its device");
    std::vector<std::vector<double>> values{z.to_vector()};
    if (!z.requires_grad()) return values;
    Generator generator(12345);
    z.backward(stored(randn(z.shape(), 0, 1, DType::float64, generator), device));
    for (const Tensor& leaf : leaves)
      values.push_back(leaf.grad() ? leaf.grad().to_vector() : std::vector<double>());
    return values;
  };
  const auto want = run(Device::cpu), got = run(Device::cuda);
  double worst = 0;
  for (size_t k = 0; k < want.size(); ++k) {
    if (got[k].size() != want[k].size()) return INFINITY;
    for (size_t i = 0; i < want[k].size(); ++i) {
      if (std::isnan(want[k][i]) && std::isnan(got[k][i])) continue;
      if (want[k][i] == got[k][i]) continue;  // infinities too
      const double error = std::abs(want[k][i] - got[k][i]) / std::max(1.0, std::abs(want[k][i]));
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

/// A float64 leaf of normal numbers, the same for the same seed.
inline Tensor leaf(const Shape& shape, uint64_t seed, double mean = 0, double std = 1) {
  Generator generator(seed);
  return randn(shape, mean, std, DType::float64, generator).set_requires_grad();
}

/// The greatest absolute difference of two tensors of one shape; infinite if the shapes differ.
inline double max_difference(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  const std::vector<double> x = a.to_vector(), y = b.to_vector();
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]);
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}

/// True for tensors on the CPU of one shape and dtype whose elements have the same bits.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.numel() == 0 || std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0);
}

}  // namespace normlab::test
