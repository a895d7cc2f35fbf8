#include "ops/activation.h"

#include <algorithm>
#include <array>

#include "cpu/parallel.h"

namespace normlab {
namespace {

constexpr int64_t kBlock = 4096;
constexpr int64_t kCost = 8;
constexpr std::array kActivations = {Activation::none, Activation::relu, Activation::gelu,
                                     Activation::tanh, Activation::sigmoid};

template <class T>
void forward(const ActivationKernels<T>& kernels, T* z, const T* bias, T* before, int64_t rows,
             int64_t width, Activation activation) {
  if (width == 0 || (activation == Activation::none && !bias && !before)) return;
  const int64_t block = std::max<int64_t>(kBlock / width, 1);
  parallel_blocks(rows, block, width * kCost, [&](int64_t begin, int64_t end) {
    kernels.forward(z + begin * width, bias, before ? before + begin * width : nullptr, end - begin,
                    width, activation);
  });
}

template <class T>
void backward(const ActivationKernels<T>& kernels, const T* dz, const T* kept, T* dx, int64_t n,
              Activation activation) {
  parallel_blocks(n, kBlock, kCost, [&](int64_t begin, int64_t end) {
    kernels.backward(dz + begin, kept + begin, dx + begin, end - begin, activation);
  });
}

}  // namespace

void add_bias_and_activate(float* z, const float* bias, float* before, int64_t rows, int64_t width,
                           Activation activation) {
  forward(activation_f32_for_cpu(), z, bias, before, rows, width, activation);
}
void add_bias_and_activate(double* z, const double* bias, double* before, int64_t rows,
                           int64_t width, Activation activation) {
  forward(activation_f64_for_cpu(), z, bias, before, rows, width, activation);
}

void activation_backward(const float* dz, const float* kept, float* dx, int64_t n,
                         Activation activation) {
  backward(activation_f32_for_cpu(), dz, kept, dx, n, activation);
}
void activation_backward(const double* dz, const double* kept, double* dx, int64_t n,
                         Activation activation) {
  backward(activation_f64_for_cpu(), dz, kept, dx, n, activation);
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "none";
    case Activation::relu:
      return "relu";
    case Activation::gelu:
      return "gelu";
    case Activation::tanh:
      return "tanh";
    case Activation::sigmoid:
      return "sigmoid";
  }
  return "unknown";
}

Activation activation_named(const std::string& name) {
  for (const Activation activation : kActivations)
    if (name == name_of(activation)) return activation;
  fail<ArgumentError>("activation", "must be 'none', 'relu', 'gelu', 'tanh' or 'sigmoid', got '",
                      name, "'");
}

}  // namespace normlab
