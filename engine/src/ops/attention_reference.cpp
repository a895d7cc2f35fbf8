#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention.h"

namespace normlab::reference {
namespace {

template <class T>
T dot(const T* a, const T* b, int64_t n, int64_t b_step = 1) {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i * b_step];
  return sum;
}

template <class T>
void add_scaled(T* to, T factor, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

template <class T>
T score(const AttentionHead<T>& h, int64_t i, int64_t j) {
  return h.scale * dot(h.q.at(i), h.k.at(j), h.depth, h.k.column_step);
}

template <class T>
void set_zero(const HeadRows<T>& x, int64_t rows, int64_t depth) {
  for (int64_t i = 0; i < rows; ++i) std::fill_n(x.at(i), depth, T(0));
}

}  // namespace

template <class T>
void attention(const AttentionHead<T>& h, T* weight) {
  for (int64_t i = 0; i < h.queries; ++i) {
    const int64_t keys = h.seen_by(i);
    T greatest = -std::numeric_limits<T>::infinity();
    for (int64_t j = 0; j < keys; ++j) {
      weight[j] = score(h, i, j);
      greatest = std::max(greatest, weight[j]);
    }
    T total = 0;
    for (int64_t j = 0; j < keys; ++j) total += weight[j] = std::exp(weight[j] - greatest);
    h.log_sum[i] = greatest + std::log(total);
    std::fill_n(h.z.at(i), h.depth, T(0));
    for (int64_t j = 0; j < keys; ++j) add_scaled(h.z.at(i), weight[j] / total, h.v.at(j), h.depth);
  }
}

template <class T>
void attention_backward(const AttentionHead<T>& h) {
  set_zero(h.dq, h.queries, h.depth);
  set_zero(h.dk, h.keys, h.depth);
  set_zero(h.dv, h.keys, h.depth);
  for (int64_t i = 0; i < h.queries; ++i) {
    const T *q = h.q.at(i), *dz = h.dz.at(i);
    const T mean = dot(dz, h.z.at(i), h.depth);
    for (int64_t j = 0; j < h.seen_by(i); ++j) {
      const T weight = std::exp(score(h, i, j) - h.log_sum[i]);
      const T dscore = h.scale * weight * (dot(dz, h.v.at(j), h.depth) - mean);
      add_scaled(h.dv.at(j), weight, dz, h.depth);
      add_scaled(h.dk.at(j), dscore, q, h.depth);
      add_scaled(h.dq.at(i), dscore, h.k.at(j), h.depth);
    }
  }
}

template void attention(const AttentionHead<float>&, float*);
template void attention(const AttentionHead<double>&, double*);
template void attention_backward(const AttentionHead<float>&);
template void attention_backward(const AttentionHead<double>&);

}  // namespace normlab::reference
