#include <algorithm>

#include "core/onednn.h"
#include "ops/matmul.h"

namespace normlab {
namespace {

using dnnl::memory;
using onednn::at;

/// A block's product, compiled for its lengths and strides.
struct Compiled {
  memory::desc a, b, c, scratchpad;
  dnnl::matmul product;
};

/// A matrix [rows, columns] in rows `step` apart, or in columns if it is stored transposed.
memory::desc matrix(int64_t rows, int64_t columns, int64_t step, bool transposed,
                    memory::data_type type) {
  return {{rows, columns}, type, transposed ? memory::dims{1, step} : memory::dims{step, 1}};
}

Compiled compile(const MatrixProduct& p, const ResultBlock& block) {
  constexpr auto bf16 = memory::data_type::bf16;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  Compiled made;
  made.a = matrix(block.rows, p.K, p.left_step(), p.a_transposed, bf16);
  made.b = matrix(p.K, block.columns, p.right_step(), p.b_transposed, bf16);
  made.c = matrix(block.rows, block.columns, p.N, false, memory::data_type::f32);
  const dnnl::matmul::primitive_desc description(onednn::engine(), made.a, made.b, made.c,
                                                 attributes);
  made.scratchpad = description.scratchpad_desc();
  made.product = dnnl::matmul(description);
  return made;
}

std::shared_ptr<const Compiled> compiled(const MatrixProduct& p, const ResultBlock& block) {
  static onednn::Cache<Compiled> cache;
  const onednn::Key key = {block.rows, block.columns,  p.K,           p.left_step(), p.right_step(),
                           p.N,        p.a_transposed, p.b_transposed};
  return cache.get("matmul", key, [&] { return compile(p, block); });
}

}  // namespace

// sgemm and not the matmul primitive: as fast on the shapes that matter, faster with a transposed
// left side or few rows, and nothing to compile for each new shape.
void matmul_onednn(const MatrixProduct& p, const ResultBlock& block) {
  const float *a = p.left<float>(block), *b = p.right<float>(block);
  float* c = p.result<float>(block);
  const onednn::SignalsWait signals;
  dnnl::error::wrap_c_api(
      dnnl_sgemm(p.a_transposed ? 'T' : 'N', p.b_transposed ? 'T' : 'N', block.rows, block.columns,
                 p.K, 1.0F, a, p.left_step(), b, p.right_step(), 0.0F, c, p.N),
      "could not multiply the matrices");
}

void matmul_bfloat16_onednn(const MatrixProduct& p, const ResultBlock& block) {
  const std::shared_ptr<const Compiled> c = compiled(p, block);
  const onednn::Scratch scratchpad(static_cast<int64_t>(c->scratchpad.get_size()));
  const onednn::SignalsWait signals;
  c->product.execute(onednn::stream(), {{DNNL_ARG_SRC, at(c->a, p.left<bfloat16>(block))},
                                        {DNNL_ARG_WEIGHTS, at(c->b, p.right<bfloat16>(block))},
                                        {DNNL_ARG_DST, at(c->c, p.result<float>(block))},
                                        {DNNL_ARG_SCRATCHPAD, at(c->scratchpad, scratchpad.as())}});
}

}  // namespace normlab
