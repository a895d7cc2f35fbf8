#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention.h"

namespace normlab::reference {
namespace {

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void add_scaled(T* to, T factor, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

}  // namespace

template <class T>
void attention(const AttentionHead<T>& h, T* weight) {
  for (int64_t i = 0; i < h.length; ++i) {
    const T* q = h.qkv + i * 3 * h.size;
    T greatest = -std::numeric_limits<T>::infinity();
    for (int64_t j = 0; j < h.length; ++j) {
      weight[j] = h.scale * dot(q, h.qkv + j * 3 * h.size + h.size, h.depth);
      greatest = std::max(greatest, weight[j]);
    }
    T total = 0;
    for (int64_t j = 0; j < h.length; ++j) total += weight[j] = std::exp(weight[j] - greatest);
    h.log_sum[i] = greatest + std::log(total);
    T* z = h.z + i * h.size;
    std::fill_n(z, h.depth, T(0));
    for (int64_t j = 0; j < h.length; ++j)
      add_scaled(z, weight[j] / total, h.qkv + j * 3 * h.size + 2 * h.size, h.depth);
  }
}

template <class T>
void attention_backward(const AttentionHead<T>& h) {
  for (int64_t i = 0; i < h.length; ++i)
    for (int part = 0; part < 3; ++part)
      std::fill_n(h.dqkv + i * 3 * h.size + part * h.size, h.depth, T(0));
  for (int64_t i = 0; i < h.length; ++i) {
    const T* q = h.qkv + i * 3 * h.size;
    const T* dz = h.dz + i * h.size;
    T* dq = h.dqkv + i * 3 * h.size;
    const T mean = dot(dz, h.z + i * h.size, h.depth);
    for (int64_t j = 0; j < h.length; ++j) {
      const T *k = h.qkv + j * 3 * h.size + h.size, *v = k + h.size;
      T *dk = h.dqkv + j * 3 * h.size + h.size, *dv = dk + h.size;
      const T weight = std::exp(h.scale * dot(q, k, h.depth) - h.log_sum[i]);
      const T dscore = h.scale * weight * (dot(dz, v, h.depth) - mean);
      add_scaled(dv, weight, dz, h.depth);
      add_scaled(dk, dscore, q, h.depth);
      add_scaled(dq, dscore, k, h.depth);
    }
  }
}

template void attention(const AttentionHead<float>&, float*);
template void attention(const AttentionHead<double>&, double*);
template void attention_backward(const AttentionHead<float>&);
template void attention_backward(const AttentionHead<double>&);

}  // namespace normlab::reference
