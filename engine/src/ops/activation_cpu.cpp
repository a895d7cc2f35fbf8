#include <algorithm>

#include "ops/activation.h"
#include "ops/elementwise_loops.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Calls body(row) with the row of the table of unary functions that `activation` is.
template <class Body>
void with_row(Activation activation, const Body& body) {
  constexpr auto row = []<Unary op>() -> const auto& {
    return std::get<static_cast<size_t>(op)>(kUnary);
  };
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      return body(row.template operator()<Unary::relu>());
    case Activation::gelu:
      return body(row.template operator()<Unary::gelu>());
    case Activation::tanh:
      return body(row.template operator()<Unary::tanh>());
    case Activation::sigmoid:
      return body(row.template operator()<Unary::sigmoid>());
  }
}

template <class T>
void forward(T* z, const T* bias, T* before, int64_t rows, int64_t width, Activation activation) {
  // Row by row where there is a bias, so that a row stays in the L1; else as one long row.
  const int64_t length = bias ? width : rows * width;
  for (int64_t begin = 0; begin < rows * width; begin += length) {
    T* row = z + begin;
    if (bias)
      map(
          row, length, [](auto x, auto b) { return x + b; }, Array<T>(row), Array<T>(bias));
    if (before) std::copy_n(row, length, before + begin);
    with_row(activation, [&](const auto& f) { map(row, length, f.z, Array<T>(row)); });
  }
}

template <class T>
void backward(const T* dz, const T* kept, T* dx, int64_t n, Activation activation) {
  if (activation == Activation::none) std::copy_n(dz, n, dx);
  with_row(activation, [&](const auto& f) {
    map(
        dx, n, [&](auto g, auto v) { return f.dx(g, v, v); }, Array<T>(dz), Array<T>(kept));
  });
}

}  // namespace

extern const ActivationKernels<float> activation_f32 = {forward<float>, backward<float>};
extern const ActivationKernels<double> activation_f64 = {forward<double>, backward<double>};

}  // namespace normlab::NORMLAB_ISA
