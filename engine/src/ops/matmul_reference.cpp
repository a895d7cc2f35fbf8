#include <algorithm>

#include "ops/matmul.h"

namespace normlab {

// Row by row of C as a sum of scaled rows of op(B): contiguous where B is not transposed.
void matmul_reference(const MatrixProduct& p, const ResultBlock& block) {
  const int64_t a_row = p.a_transposed ? 1 : p.K, a_column = p.a_transposed ? p.M : 1;
  const double* a = p.left<double>(block.matrix);
  const double* b = p.right<double>(block.matrix);
  for (int64_t i = block.row; i < block.row + block.rows; ++i) {
    double* c = p.result<double>(block.matrix) + i * p.N + block.column;
    std::fill_n(c, block.columns, 0.0);
    for (int64_t k = 0; k < p.K; ++k) {
      const double weight = a[i * a_row + k * a_column];
      if (p.b_transposed) {
        const double* column = b + block.column * p.K + k;
        for (int64_t j = 0; j < block.columns; ++j) c[j] += weight * column[j * p.K];
      } else {
        const double* row = b + k * p.N + block.column;
        for (int64_t j = 0; j < block.columns; ++j) c[j] += weight * row[j];
      }
    }
  }
}

}  // namespace normlab
