#include <algorithm>
#include <vector>

#include "core/onednn.h"
#include "ops/conv.h"

namespace normlab {
namespace {

// Bounds in floats. Offsets within one image must fit an int with ease.
constexpr int64_t kMostImage = 2 << 20;
constexpr int64_t kMostScratch = 16 << 20;
// A dot product reads all of S for every five output channels: S must stay in the second cache,
// and a kernel's places must fill the five columns of a tile a few times.
constexpr int64_t kMostForDots = 32 << 10, kLeastArea = 16;

constexpr int64_t round_up(int64_t n, int64_t m) {
  return (n + m - 1) / m * m;
}

/// About 512 products to a lane's sum, so that adding up the lanes costs little; but few images,
/// for the cache.
int64_t images_per_chunk(int64_t padded) {
  return std::max<int64_t>(1, 512 / padded);
}

int64_t shifted_floats(const ConvShape& s) {
  return round_up(s.C * s.KW * s.H * s.OW + kSlack, 16);
}
int64_t gradient_floats(const ConvShape& s) {
  return round_up(s.O, kPaddedChannels) * round_up(s.OH * s.OW, kRowPadding) + kSlack;
}

/// A plan with the tables that it points to.
class Plan : public DirectPlan {
 public:
  explicit Plan(const ConvShape& s) {
    channels = static_cast<int>(s.C);
    height = static_cast<int>(s.H);
    width = static_cast<int>(s.W);
    out_channels = static_cast<int>(s.O);
    kernel_h = static_cast<int>(s.KH);
    kernel_w = static_cast<int>(s.KW);
    out_w = static_cast<int>(s.OW);
    size = static_cast<int>(s.OH * s.OW);
    columns = static_cast<int>(s.C * s.KH * s.KW);
    padded = static_cast<int>(round_up(size, kRowPadding));
    chunk = static_cast<int>(images_per_chunk(padded));
    chunks = static_cast<int>((s.N + chunk - 1) / chunk);
    shifted = shifted_floats(s);
    gradient = gradient_floats(s);
    fill_tables();
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

 private:
  void fill_tables() {
    table_.resize(static_cast<size_t>(3 * columns + out_channels));
    int32_t* run_table = table_.data();
    int32_t* column_table = run_table + columns;
    int32_t* target_table = column_table + columns;
    int32_t* row_table = target_table + columns;
    for (int i = 0; i < columns; ++i) {
      const int c = i / (kernel_h * kernel_w), ky = i / kernel_w % kernel_h, kx = i % kernel_w;
      run_table[i] = (c * kernel_w + kx) * height * out_w + ky * out_w;
      const int at = (c * kernel_w + kx) * kernel_h + ky;
      column_table[at] = i;
      target_table[at] = (c * height + ky) * width + kx;
    }
    for (int o = 0; o < out_channels; ++o) row_table[o] = o * padded;
    run = run_table;
    dx_column = column_table;
    dx_target = target_table;
    row = row_table;
  }

  std::vector<int32_t> table_;
};

onednn::Scratch floats(int64_t n) {
  return onednn::Scratch(n * static_cast<int64_t>(sizeof(float)));
}

/// db = the sum of the images' parts [N, O], in their order.
void sum_bias(const ConvShape& s, const float* parts, float* db) {
  for (int64_t o = 0; o < s.O; ++o) {
    double sum = 0;
    for (int64_t n = 0; n < s.N; ++n) sum += parts[n * s.O + o];
    db[o] = static_cast<float>(sum);
  }
}

}  // namespace

void sum_parts(const float* parts, int64_t count, int64_t n, float* sum) {
  parallel_blocks(n, 1024, count, [&](int64_t begin, int64_t end) {
    std::copy(parts + begin, parts + end, sum + begin);
    for (int64_t i = 1; i < count; ++i)
      for (int64_t k = begin; k < end; ++k) sum[k] += parts[i * n + k];
  });
}

bool takes_direct(const ConvShape& s) {
  if (s.stride_h != 1 || s.stride_w != 1 || s.groups != 1) return false;
  // A kernel of one row or column has nothing to dilate there.
  if (s.span_h() != s.KH || s.span_w() != s.KW) return false;
  if (s.OH != s.H - s.KH + 1 || s.OW != s.W - s.KW + 1) return false;  // padded
  return shifted_floats(s) <= kMostImage && gradient_floats(s) <= kMostImage;
}

bool takes_direct_weights(const ConvShape& s) {
  if (!takes_direct(s) || s.KH * s.KW < kLeastArea || shifted_floats(s) > kMostForDots)
    return false;
  const int64_t chunk = images_per_chunk(round_up(s.OH * s.OW, kRowPadding));
  const int64_t parts = (s.N + chunk - 1) / chunk * s.weights();
  return s.N * shifted_floats(s) + parts <= kMostScratch;
}

void conv_forward_direct(const ConvShape& s, const float* x, const float* w, const float* bias,
                         bool relu, float* z) {
  const DirectKernels& kernels = direct_kernels_for_cpu();
  const Plan plan(s);
  const int64_t in = s.C * s.H * s.W, out = s.O * s.OH * s.OW;
  onednn::parallel_for("conv2d", s.N, s.work() / 8, [&](int64_t n) {
    const onednn::Scratch shifted = floats(plan.shifted);
    kernels.shift(plan, x + n * in, x + s.N * in, shifted.as<float>());
    kernels.forward(plan, shifted.as<float>(), w, bias, relu, z + n * out);
  });
}

void conv_backward_direct(const ConvShape& s, const float* x, const float* w, const float* z,
                          const float* dz, const ConvGrads<float>& grads) {
  const DirectKernels& kernels = direct_kernels_for_cpu();
  const Plan plan(s);
  const int64_t in = s.C * s.H * s.W, out = s.O * s.OH * s.OW;
  const onednn::Scratch gradients = floats(s.N * plan.gradient);
  const onednn::Scratch shifted = floats(grads.dw ? s.N * plan.shifted : 0);
  const onednn::Scratch parts = floats(grads.dw ? plan.chunks * s.weights() : 0);
  const onednn::Scratch bias_parts = floats(s.N * s.O);
  float *g = gradients.as<float>(), *S = shifted.as<float>();

  parallel_for(s.N, s.work() / 8, [&](int64_t n) {
    float* g_n = g + n * plan.gradient;
    kernels.mask(plan, z ? z + n * out : nullptr, dz + n * out, g_n,
                 bias_parts.as<float>() + n * s.O);
    if (grads.dw) kernels.shift(plan, x + n * in, x + s.N * in, S + n * plan.shifted);
    if (grads.dx) kernels.input_gradient(plan, g_n, w, grads.dx + n * in);
  });
  if (grads.db) sum_bias(s, bias_parts.as<float>(), grads.db);
  if (!grads.dw) return;

  const int64_t jobs = static_cast<int64_t>(plan.chunks) * plan.channels;
  parallel_for(jobs, plan.chunk * s.work() / plan.channels / 8, [&](int64_t job) {
    const int64_t chunk = job / plan.channels, first = chunk * plan.chunk;
    kernels.weight_gradient(plan, static_cast<int>(std::min<int64_t>(plan.chunk, s.N - first)),
                            static_cast<int>(job % plan.channels), g + first * plan.gradient,
                            S + first * plan.shifted, parts.as<float>() + chunk * s.weights());
  });
  sum_parts(parts.as<float>(), plan.chunks, s.weights(), grads.dw);
}

}  // namespace normlab
