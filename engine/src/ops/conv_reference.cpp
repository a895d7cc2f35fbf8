#include <algorithm>

#include "cpu/parallel.h"
#include "ops/conv.h"

namespace normlab {
namespace {

/// Calls body(k, at_x, at_z, n) for every kernel place k and output row: n products along the row,
/// from those places of an input and an output plane on; input places are stride_w apart.
template <class Body>
void for_rows(const ConvShape& s, const Body& body) {
  for (int64_t ky = 0; ky < s.KH; ++ky) {
    const Inside rows = inside(s.OH, s.stride_h, ky * s.dilation_h - s.padding_h, s.H);
    for (int64_t kx = 0; kx < s.KW; ++kx) {
      const int64_t first_x = kx * s.dilation_w - s.padding_w;
      const Inside columns = inside(s.OW, s.stride_w, first_x, s.W);
      for (int64_t y = rows.begin; y < rows.end; ++y) {
        const int64_t in_y = y * s.stride_h + ky * s.dilation_h - s.padding_h;
        const int64_t in_x = columns.begin * s.stride_w + first_x;
        body(ky * s.KW + kx, in_y * s.W + in_x, y * s.OW + columns.begin,
             columns.end - columns.begin);
      }
    }
  }
}

void input_gradient(const ConvShape& s, const double* w, const double* dz, double* dx) {
  const int64_t in = s.H * s.W, out = s.OH * s.OW, area = s.KH * s.KW;
  parallel_for(s.N * s.C, s.work() / s.C, [&](int64_t i) {
    double* to = dx + i * in;
    std::fill_n(to, in, 0.0);
    const int64_t group = i % s.C / s.group_C(), c = i % s.group_C();
    for (int64_t o = group * s.group_O(); o < (group + 1) * s.group_O(); ++o) {
      const double* weights = w + (o * s.group_C() + c) * area;
      const double* g = dz + (i / s.C * s.O + o) * out;
      for_rows(s, [&](int64_t k, int64_t at_x, int64_t at_z, int64_t n) {
        for (int64_t j = 0; j < n; ++j) to[at_x + j * s.stride_w] += weights[k] * g[at_z + j];
      });
    }
  });
}

void weight_gradient(const ConvShape& s, const double* x, const double* dz, double* dw) {
  const int64_t in = s.H * s.W, out = s.OH * s.OW, area = s.KH * s.KW;
  parallel_for(s.O * s.group_C(), s.N * out * area, [&](int64_t i) {
    double* to = dw + i * area;
    std::fill_n(to, area, 0.0);
    const int64_t o = i / s.group_C(), group = o / s.group_O();
    for (int64_t n = 0; n < s.N; ++n) {
      const double* from = x + (n * s.C + group * s.group_C() + i % s.group_C()) * in;
      const double* g = dz + (n * s.O + o) * out;
      for_rows(s, [&](int64_t k, int64_t at_x, int64_t at_z, int64_t count) {
        double sum = 0;
        for (int64_t j = 0; j < count; ++j) sum += from[at_x + j * s.stride_w] * g[at_z + j];
        to[k] += sum;
      });
    }
  });
}

}  // namespace

void conv_forward_reference(const ConvShape& s, const double* x, const double* w,
                            const double* bias, double* z) {
  const int64_t in = s.H * s.W, out = s.OH * s.OW, area = s.KH * s.KW;
  parallel_for(s.N * s.O, s.work() / s.O, [&](int64_t i) {
    double* to = z + i * out;
    const int64_t o = i % s.O, group = o / s.group_O();
    std::fill_n(to, out, bias ? bias[o] : 0.0);
    for (int64_t c = 0; c < s.group_C(); ++c) {
      const double* weights = w + (o * s.group_C() + c) * area;
      const double* from = x + (i / s.O * s.C + group * s.group_C() + c) * in;
      for_rows(s, [&](int64_t k, int64_t at_x, int64_t at_z, int64_t n) {
        for (int64_t j = 0; j < n; ++j) to[at_z + j] += weights[k] * from[at_x + j * s.stride_w];
      });
    }
  });
}

void conv_backward_reference(const ConvShape& s, const double* x, const double* w, const double* dz,
                             const ConvGrads<double>& grads) {
  if (grads.dx) input_gradient(s, w, dz, grads.dx);
  if (grads.dw) weight_gradient(s, x, dz, grads.dw);
}

}  // namespace normlab
