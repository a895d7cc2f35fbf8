#pragma once

#include <cmath>

#include "cuda/launch.h"
#include "normlab/ops.h"

// The activations on one element, as ops/elementwise_table.h has them. The activation is the same
// for every thread.

namespace normlab::cuda {

/// The normal distribution's cumulative function.
inline __device__ float normal_cdf(float x) {
  return normcdff(x);
}
inline __device__ double normal_cdf(double x) {
  return normcdf(x);
}

/// x Phi(x). Far below it is 0: the bound keeps infinity times 0 out.
template <class T>
__device__ T gelu(T x) {
  return (x < T(-40) ? T(-40) : x) * normal_cdf(x);
}
template <class T>
__device__ T gelu_slope(T x) {
  const T near = x < T(-40) ? T(-40) : x > T(40) ? T(40) : x;
  return normal_cdf(x) + near * std::exp(T(-0.5) * x * x) * T(0.39894228040143268);
}
template <class T>
__device__ T sigmoid(T x) {
  const T e = std::exp(-std::abs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

/// Its derivative, relatively precise in both tails.
template <class T>
__device__ T sigmoid_slope(T x) {
  const T e = std::exp(-std::abs(x)), d = e + T(1);
  return e / (d * d);
}

template <class T>
__device__ T activate(Activation activation, T x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < T(0) ? T(0) : x;
    case Activation::gelu:
      return gelu(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
  }
  return x;
}

/// dz * act'(x), where `kept` is the result for relu, x for the others.
template <class T>
__device__ T activation_gradient(Activation activation, T dz, T kept) {
  switch (activation) {
    case Activation::none:
      return dz;
    case Activation::relu:
      return kept <= T(0) ? T(0) : dz;
    case Activation::gelu:
      return dz * gelu_slope(kept);
    case Activation::tanh:
      return dz * (T(4) * sigmoid_slope(kept + kept));
    case Activation::sigmoid:
      return dz * sigmoid_slope(kept);
  }
  return dz;
}

}  // namespace normlab::cuda
