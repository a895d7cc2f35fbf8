#pragma once

#include "normlab/autograd.h"
#include "normlab/ops.h"

// Activations of plain arrays, for the ops that fuse them.
namespace normlab {

/// True if backward needs the value before the activation; else it needs the result.
bool keeps_input(Activation activation);

/// In place on [rows, width]: z = act(z + bias), bias [width] or null. `before`, unless null,
/// gets z + bias. T is float or double. On this thread.
template <class T>
void activate_rows(T* z, const T* bias, T* before, int64_t rows, int64_t width,
                   Activation activation);
/// As activate_rows(), on all threads.
template <class T>
void add_bias_and_activate(T* z, const T* bias, T* before, int64_t rows, int64_t width,
                           Activation activation);

/// dz * act'(x) on the device of dz, where `kept` is x if keeps_input(activation), else z; without
/// an activation dz itself.
Tensor before_activation(const char* op, const Tensor& dz, const Saved& kept,
                         Activation activation);

}  // namespace normlab
