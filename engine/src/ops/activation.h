#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"

// What ops with a fused activation (linear, conv2d) apply to plain arrays.
namespace normlab {

/// Whether the derivative is computed from the value before the activation, which backward must
/// then keep, and not from the result.
constexpr bool keeps_input(Activation activation) {
  return activation != Activation::none && activation != Activation::relu;
}

/// In place on [rows, width]: z = act(z + bias), bias [width] or null. `before`, unless null,
/// gets z + bias.
void add_bias_and_activate(float* z, const float* bias, float* before, int64_t rows, int64_t width,
                           Activation activation);
void add_bias_and_activate(double* z, const double* bias, double* before, int64_t rows,
                           int64_t width, Activation activation);

/// dx = dz * act'(x) for n numbers, where `kept` is x if keeps_input(activation), else z.
void activation_backward(const float* dz, const float* kept, float* dx, int64_t n,
                         Activation activation);
void activation_backward(const double* dz, const double* kept, double* dx, int64_t n,
                         Activation activation);

/// The loops over one part of the arrays, for one type.
template <class T>
struct ActivationKernels {
  void (*forward)(T* z, const T* bias, T* before, int64_t rows, int64_t width, Activation);
  void (*backward)(const T* dz, const T* kept, T* dx, int64_t n, Activation);
};
NORMLAB_KERNEL_TABLE(ActivationKernels<float>, activation_f32)
NORMLAB_KERNEL_TABLE(ActivationKernels<double>, activation_f64)

}  // namespace normlab
