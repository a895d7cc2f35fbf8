#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/parallel.h"
#include "ops/softmax.h"

namespace normlab::reference {

template <class T>
void softmax(const T* x, int64_t rows, int64_t n, bool log, T* z) {
  parallel_for(rows, 8 * n, [&](int64_t row) {
    const T* from = x + row * n;
    T* to = z + row * n;
    T greatest = -std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < n; ++i) greatest = std::max(greatest, from[i]);
    T total = 0;
    for (int64_t i = 0; i < n; ++i) total += std::exp(from[i] - greatest);
    const T log_total = std::log(total);
    for (int64_t i = 0; i < n; ++i)
      to[i] = log ? from[i] - greatest - log_total : std::exp(from[i] - greatest) / total;
  });
}

template <class T>
void softmax_backward(const T* z, const T* dz, int64_t rows, int64_t n, bool log, T* dx) {
  parallel_for(rows, 4 * n, [&](int64_t row) {
    T total = 0;
    for (int64_t i = row * n; i < (row + 1) * n; ++i) total += log ? dz[i] : dz[i] * z[i];
    for (int64_t i = row * n; i < (row + 1) * n; ++i)
      dx[i] = log ? dz[i] - std::exp(z[i]) * total : z[i] * (dz[i] - total);
  });
}

template void softmax(const float*, int64_t, int64_t, bool, float*);
template void softmax(const double*, int64_t, int64_t, bool, double*);
template void softmax_backward(const float*, const float*, int64_t, int64_t, bool, float*);
template void softmax_backward(const double*, const double*, int64_t, int64_t, bool, double*);

}  // namespace normlab::reference
