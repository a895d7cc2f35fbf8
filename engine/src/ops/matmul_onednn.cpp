#include <algorithm>

#include "core/onednn.h"
#include "ops/matmul.h"

namespace normlab {

// sgemm and not the matmul primitive: as fast on the shapes that matter, faster with a transposed
// left side or few rows, and nothing to compile for each new shape.
void matmul_onednn(const MatrixProduct& p, const ResultBlock& block) {
  const int64_t lda = p.a_transposed ? p.M : p.K, ldb = p.b_transposed ? p.K : p.N;
  const float* a = p.left<float>(block.matrix) + block.row * (p.a_transposed ? 1 : lda);
  const float* b = p.right<float>(block.matrix) + block.column * (p.b_transposed ? ldb : 1);
  float* c = p.result<float>(block.matrix) + block.row * p.N + block.column;
  const onednn::SignalsWait signals;
  dnnl::error::wrap_c_api(
      dnnl_sgemm(p.a_transposed ? 'T' : 'N', p.b_transposed ? 'T' : 'N', block.rows, block.columns,
                 p.K, 1.0F, a, lda, b, ldb, 0.0F, c, p.N),
      "could not multiply the matrices");
}

}  // namespace normlab
