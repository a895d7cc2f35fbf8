#include "ops/activation.h"

#include <algorithm>

#include "cpu/parallel.h"
#include "ops/elementwise.h"

namespace normlab {
namespace {

constexpr int64_t kCost = 8;

const UnaryOp& op_of(Activation activation) {
  return elementwise_ops_for_cpu().unary[static_cast<int>(activation)];
}

template <class T>
constexpr int kIndex = static_cast<int>(dtype_of<T>);

/// "'none', 'relu' or 'tanh'".
std::string known_activations() {
  std::vector<std::string> names{"none"};
  for (const UnaryOp& op : elementwise_ops_for_cpu().unary)
    if (op.activation) names.emplace_back(op.name);
  std::string text;
  for (size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + ("'" + names[i] + "'");
  return text;
}

}  // namespace

bool keeps_input(Activation activation) {
  return activation != Activation::none && op_of(activation).reads == Reads::x;
}

template <class T>
void activate_rows(T* z, const T* bias, T* before, int64_t rows, int64_t width,
                   Activation activation) {
  const BinaryLoop add =
      elementwise_ops_for_cpu().binary[static_cast<int>(Binary::add)].forward[kIndex<T>];
  const UnaryLoop activate =
      activation == Activation::none ? nullptr : op_of(activation).forward[kIndex<T>];
  // Row by row where there is a bias, so that a row stays in the L1; else as one long row.
  const int64_t length = bias ? width : rows * width;
  for (int64_t begin = 0; begin < rows * width; begin += length) {
    T* row = z + begin;
    if (bias) add({row, false}, {bias, false}, row, length);
    if (before) std::copy_n(row, length, before + begin);
    if (activate) activate(row, row, length);
  }
}
template void activate_rows(float*, const float*, float*, int64_t, int64_t, Activation);
template void activate_rows(double*, const double*, double*, int64_t, int64_t, Activation);

template <class T>
void add_bias_and_activate(T* z, const T* bias, T* before, int64_t rows, int64_t width,
                           Activation activation) {
  if (width == 0 || (activation == Activation::none && !bias && !before)) return;
  const int64_t block = std::max<int64_t>(kElementsAtOnce / width, 1);
  parallel_blocks(rows, block, width * kCost, [&](int64_t begin, int64_t end) {
    activate_rows(z + begin * width, bias, before ? before + begin * width : nullptr, end - begin,
                  width, activation);
  });
}
template void add_bias_and_activate(float*, const float*, float*, int64_t, int64_t, Activation);
template void add_bias_and_activate(double*, const double*, double*, int64_t, int64_t, Activation);

Tensor activation_gradient(const char* name, Activation activation, const Tensor& dz,
                           const Saved& kept) {
  if (activation == Activation::none) return dz;
  return unary_gradient(name, static_cast<Unary>(activation), dz, kept.get());
}

const char* name_of(Activation activation) {
  return activation == Activation::none ? "none" : op_of(activation).name;
}

Activation activation_named(const std::string& name) {
  if (name == "none") return Activation::none;
  for (int i = 0; i < kUnaryOps; ++i) {
    const UnaryOp& op = elementwise_ops_for_cpu().unary[i];
    if (op.activation && name == op.name) return static_cast<Activation>(i);
  }
  fail<ArgumentError>("activation", "must be ", known_activations(), ", got '", name, "'");
}

}  // namespace normlab
