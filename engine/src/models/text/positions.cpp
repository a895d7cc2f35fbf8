#include "models/text/positions.h"

#include <cmath>

namespace normlab::text {

Tensor sine_positions(int64_t length, int64_t size, double scale) {
  Tensor table = Tensor::empty({length, size});
  float* to = table.data<float>();
  for (int64_t i = 0; i < size; i += 2) {
    const double rate = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(size));
    for (int64_t p = 0; p < length; ++p) {
      to[p * size + i] = static_cast<float>(scale * std::sin(static_cast<double>(p) * rate));
      if (i + 1 < size)
        to[p * size + i + 1] = static_cast<float>(scale * std::cos(static_cast<double>(p) * rate));
    }
  }
  return table;
}

}  // namespace normlab::text
