#include <algorithm>
#include <cmath>
#include <iomanip>

#include "core/dispatch.h"
#include "normlab/tensor.h"

namespace normlab {
namespace {

constexpr int64_t kEdge = 3;          ///< elements shown at each end of a long axis
constexpr int64_t kThreshold = 1000;  ///< tensors above this many elements are shortened

std::string format(double value) {
  std::ostringstream out;
  out << std::setprecision(4) << value;
  std::string text = out.str();
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += '.';
  return text;
}

class Printer {
 public:
  explicit Printer(const Tensor& x) : x_(x), shorten_(x.numel() > kThreshold) {
    visit(0, 0, [&](int64_t i) { width_ = std::max(width_, text(i).size()); });
  }

  std::string str() {
    if (x_.numel() == 0) return "[]";
    std::string out;
    print(0, 0, out);
    return out;
  }

 private:
  std::string text(int64_t i) const {
    return dispatch_stored(x_.dtype(), [&]<class T>() -> std::string {
      const T value = x_.data<T>()[i];
      if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
      if constexpr (std::is_same_v<T, bfloat16>)
        return format(static_cast<double>(static_cast<float>(value)));
      else if constexpr (std::is_floating_point_v<T>)
        return format(static_cast<double>(value));
      else
        return std::to_string(value);
    });
  }

  bool hidden(int64_t i, int64_t n) const {
    return shorten_ && n > 2 * kEdge && i >= kEdge && i < n - kEdge;
  }

  template <class F>
  void visit(int axis, int64_t at, const F& f) const {
    if (axis == x_.rank()) return f(at);
    const int64_t n = x_.size(axis), stride = x_.shape().numel(axis + 1, x_.rank());
    for (int64_t i = 0; i < n; ++i)
      if (!hidden(i, n)) visit(axis + 1, at + i * stride, f);
  }

  void print(int axis, int64_t at, std::string& out) const {
    if (axis == x_.rank()) {
      const std::string value = text(at);
      out.append(x_.rank() > 0 ? width_ - value.size() : 0, ' ').append(value);
      return;
    }
    const int64_t n = x_.size(axis), stride = x_.shape().numel(axis + 1, x_.rank());
    const bool last = axis + 1 == x_.rank();
    const std::string gap = last ? ", " : ",\n" + std::string(static_cast<size_t>(axis) + 1, ' ');
    out += '[';
    for (int64_t i = 0; i < n; ++i) {
      if (hidden(i, n)) {
        if (i == kEdge) out += gap + "...";
        continue;
      }
      if (i > 0) out += gap;
      print(axis + 1, at + i * stride, out);
    }
    out += ']';
  }

  const Tensor& x_;
  bool shorten_;
  size_t width_ = 0;
};

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "tensor(undefined)";
  std::ostringstream out;
  const Tensor on_cpu = x.detach().to(Device::cpu);
  std::string values = Printer(on_cpu).str();
  for (size_t at = 0; (at = values.find('\n', at)) != std::string::npos; at += 8)
    values.replace(at, 1, "\n       ");
  out << "tensor(" << values << ", shape=" << x.shape() << ", dtype=" << x.dtype();
  if (x.device() != Device::cpu) out << ", device=" << x.device();
  if (x.requires_grad()) out << ", requires_grad";
  out << ')';
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  return out << to_string(x);
}

}  // namespace normlab
