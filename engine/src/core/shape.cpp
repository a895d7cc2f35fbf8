#include <algorithm>
#include <limits>

#include "core/tensor_impl.h"

namespace normlab {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  check(dims.size() <= kMaxRank, "shape", "at most ", kMaxRank, " axes, got ", dims.size());
  std::copy(dims.begin(), dims.end(), dims_);
  rank_ = static_cast<int>(dims.size());
}

int Shape::wrap(int axis, const char* op) const {
  const int wrapped = axis < 0 ? axis + rank_ : axis;
  check<RangeError>(wrapped >= 0 && wrapped < rank_, op, "axis must be in [", -rank_, ", ", rank_,
                    ") for shape ", *this, ", got ", axis);
  return wrapped;
}

int64_t Shape::numel() const {
  return numel(0, rank_);
}

int64_t Shape::numel(int from, int to) const {
  int64_t n = 1;
  for (int i = from; i < to; ++i) n *= dims_[i];
  return n;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

void Shape::push_back(int64_t length) {
  check(rank_ < kMaxRank, "shape", "at most ", kMaxRank, " axes");
  dims_[rank_++] = length;
}

Shape Shape::sub(int from, int to) const {
  return Shape(std::span(dims_ + from, static_cast<size_t>(std::max(to - from, 0))));
}

std::string Shape::str() const {
  std::ostringstream out;
  out << *this;
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? ", " : "") << shape[i];
  return out << ']';
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape joint;
  for (int i = rank; i > 0; --i) {
    const int64_t x = i <= a.rank() ? a[-i] : 1;
    const int64_t y = i <= b.rank() ? b[-i] : 1;
    check(x == y || x == 1 || y == 1, op, "shapes ", a, " and ", b,
          " do not broadcast: their lengths ", x, " and ", y, " on axis ", -i,
          " must be equal or one of them 1");
    joint.push_back(x == 1 ? y : x);
  }
  return joint;
}

Shape position(const Shape& shape, int64_t k) {
  Shape at = shape;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    at[i] = k % shape[i];
    k /= shape[i];
  }
  return at;
}

}  // namespace normlab
