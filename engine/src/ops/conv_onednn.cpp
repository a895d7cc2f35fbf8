#include <algorithm>
#include <optional>
#include <unordered_map>

#include "core/bfloat16.h"
#include "core/onednn.h"
#include "ops/conv.h"

namespace normlab {
namespace {

using dnnl::memory;
using onednn::at;
using Tag = memory::format_tag;

/// Images of one call of a primitive: fixed, as sums over images are split by it.
constexpr int64_t kImages = 8;
/// Below this many input channels oneDNN's own choice of layout is faster for dw.
constexpr int64_t kFewChannels = 8;

enum class Pass { forward, data, weights };

/// One of a convolution's tensors: as the engine lays it out, as oneDNN wants it.
struct Layout {
  memory::desc plain, own;
  dnnl::primitive reorder;  ///< from plain to own or back; empty if they are the same

  bool same() const { return plain == own; }
  int64_t own_bytes() const { return static_cast<int64_t>(own.get_size()); }
};

/// One pass over a few images: x is x or dx, w is w or dw, z is z or dz.
struct CompiledPass {
  dnnl::primitive primitive;
  Layout x, w, z;
  memory::desc bias, scratchpad;
};

Layout layout_of(const memory::desc& plain, const memory::desc& own, bool is_result) {
  Layout layout = {plain, own, {}};
  if (layout.same()) return layout;
  const dnnl::engine& engine = onednn::engine();
  layout.reorder = is_result ? dnnl::reorder({engine, own, engine, plain})
                             : dnnl::reorder({engine, plain, engine, own});
  return layout;
}

/// Descriptors of a convolution for oneDNN, which chooses the layouts named `any`.
struct Description {
  memory::desc x, w, z, bias;
  memory::desc x_any, w_any, z_any;
  memory::dims strides, dilates;  ///< oneDNN counts what lies between two places of a kernel
  memory::dims low, high;         ///< padding before and behind
  dnnl::primitive_attr attributes;
};

/// rounded: the operands' values are bfloat16's, so that oneDNN may multiply them as such.
Description description_of(const ConvShape& s, int64_t images, Pass pass, bool has_bias,
                           bool rounded) {
  constexpr auto f32 = memory::data_type::f32;
  const bool grouped = s.groups > 1;
  const memory::dims x = {images, s.C, s.H, s.W};
  const memory::dims w = grouped ? memory::dims{s.groups, s.group_O(), s.group_C(), s.KH, s.KW}
                                 : memory::dims{s.O, s.C, s.KH, s.KW};
  const memory::dims z = {images, s.O, s.OH, s.OW};
  Description d;
  d.x = memory::desc(x, f32, Tag::nchw);
  d.w = memory::desc(w, f32, grouped ? Tag::goihw : Tag::oihw);
  d.z = memory::desc(z, f32, Tag::nchw);
  if (has_bias) d.bias = memory::desc({s.O}, f32, Tag::a);
  // Channels last is the layout of oneDNN's fastest kernels here; a plain one gets its slowest.
  const Tag tag = pass == Pass::weights && s.C < kFewChannels ? Tag::any : Tag::nhwc;
  d.x_any = memory::desc(x, f32, tag);
  d.w_any = memory::desc(w, f32, Tag::any);
  d.z_any = memory::desc(z, f32, tag);
  d.strides = {s.stride_h, s.stride_w};
  d.dilates = {s.dilation_h - 1, s.dilation_w - 1};
  d.low = {s.padding_h, s.padding_w};
  d.high = {(s.OH - 1) * s.stride_h + s.span_h() - s.H - s.padding_h,
            (s.OW - 1) * s.stride_w + s.span_w() - s.W - s.padding_w};
  d.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (rounded) d.attributes.set_fpmath_mode(dnnl::fpmath_mode::bf16);
  return d;
}

CompiledPass compile(const ConvShape& s, int64_t images, Pass pass, bool has_bias, bool rounded) {
  constexpr auto algorithm = dnnl::algorithm::convolution_direct;
  const dnnl::engine& engine = onednn::engine();
  const Description d = description_of(s, images, pass, has_bias, rounded);
  const auto finished = [&](dnnl::primitive primitive, const memory::desc& x, const memory::desc& w,
                            const memory::desc& z, const memory::desc& scratchpad) {
    return CompiledPass{std::move(primitive),
                        layout_of(d.x, x, pass == Pass::data),
                        layout_of(d.w, w, pass == Pass::weights),
                        layout_of(d.z, z, pass == Pass::forward),
                        d.bias,
                        scratchpad};
  };
  const dnnl::convolution_forward::primitive_desc forward(
      engine, dnnl::prop_kind::forward_training, algorithm, d.x_any, d.w_any, d.bias, d.z_any,
      d.strides, d.dilates, d.low, d.high, d.attributes);
  if (pass == Pass::forward)
    return finished(dnnl::convolution_forward(forward), forward.src_desc(), forward.weights_desc(),
                    forward.dst_desc(), forward.scratchpad_desc());
  if (pass == Pass::data) {
    const dnnl::convolution_backward_data::primitive_desc data(engine, algorithm, d.x_any, d.w_any,
                                                               d.z_any, d.strides, d.dilates, d.low,
                                                               d.high, forward, d.attributes);
    return finished(dnnl::convolution_backward_data(data), data.diff_src_desc(),
                    data.weights_desc(), data.diff_dst_desc(), data.scratchpad_desc());
  }
  const dnnl::convolution_backward_weights::primitive_desc weights(
      engine, algorithm, d.x_any, d.w_any, d.z_any, d.strides, d.dilates, d.low, d.high, forward,
      d.attributes);
  return finished(dnnl::convolution_backward_weights(weights), weights.src_desc(),
                  weights.diff_weights_desc(), weights.diff_dst_desc(), weights.scratchpad_desc());
}

std::shared_ptr<const CompiledPass> convolution(const ConvShape& s, int64_t images, Pass pass,
                                                bool has_bias) {
  const InOneDnn in_onednn;  // not while the cache itself is being made, either
  static onednn::Cache<CompiledPass> cache;
  const bool rounded = multiplies_bfloat16(DType::float32);
  const onednn::Key key = {static_cast<int64_t>(pass),
                           has_bias,
                           rounded,
                           images,
                           s.C,
                           s.H,
                           s.W,
                           s.O,
                           s.KH,
                           s.KW,
                           s.OH,  // padding "same" may differ behind x
                           s.OW,
                           s.stride_h,
                           s.stride_w,
                           s.padding_h,
                           s.padding_w,
                           s.dilation_h,
                           s.dilation_w,
                           s.groups};
  return cache.get("conv2d", key, [&] { return compile(s, images, pass, has_bias, rounded); });
}

void reorder(const Layout& layout, const memory::desc& from_desc, const void* from,
             const memory::desc& to_desc, void* to) {
  layout.reorder.execute(onednn::stream(),
                         {{DNNL_ARG_FROM, at(from_desc, from)}, {DNNL_ARG_TO, at(to_desc, to)}});
}

/// One of a convolution's tensors in the layout that oneDNN wants, copied where that differs.
class BlockedOperand {
 public:
  BlockedOperand(const Layout& layout, float* plain, bool is_result)
      : layout_(layout), plain_(plain), is_result_(is_result) {
    if (layout.same()) return;
    copy_.emplace(layout.own_bytes());
    if (!is_result) reorder(layout, layout.plain, plain, layout.own, copy_->as());
  }
  memory own() const { return at(layout_.own, copy_ ? copy_->as() : plain_); }
  /// To be called for a result once it is there.
  void finish() const {
    if (is_result_ && copy_) reorder(layout_, layout_.own, copy_->as(), layout_.plain, plain_);
  }

 private:
  const Layout& layout_;
  float* plain_;
  bool is_result_;
  std::optional<onednn::Scratch> copy_;
};

/// The batch in fixed runs of images; the last may be shorter and has a primitive of its own.
class Images {
 public:
  Images(const ConvShape& s, Pass pass, bool has_bias) : s_(s) {
    if (s.N >= kImages) full_ = convolution(s, kImages, pass, has_bias);
    if (s.N % kImages != 0) rest_ = convolution(s, s.N % kImages, pass, has_bias);
  }
  int64_t runs() const { return (s_.N + kImages - 1) / kImages; }
  const CompiledPass* full() const { return full_.get(); }
  const CompiledPass* rest() const { return rest_.get(); }

  /// Calls body(convolution, i) for every run i, on all threads.
  template <class Body>
  void run(const Body& body) const {
    onednn::parallel_for("conv2d", runs(), kImages * s_.work() / 8, [&](int64_t i) {
      body(s_.N - i * kImages >= kImages ? *full_ : *rest_, i);
    });
  }

 private:
  const ConvShape& s_;
  std::shared_ptr<const CompiledPass> full_, rest_;
};

/// The weights as both primitives of a pass want them.
class Weights {
 public:
  Weights(const Images& images, const float* w) {
    const InOneDnn in_onednn;
    const onednn::SingleThread single;
    if (images.full()) full_.emplace(images.full()->w, const_cast<float*>(w), false);
    if (images.rest()) rest_.emplace(images.rest()->w, const_cast<float*>(w), false);
    full_convolution_ = images.full();
  }
  memory of(const CompiledPass& c) const {
    return &c == full_convolution_ ? full_->own() : rest_->own();
  }

 private:
  std::optional<BlockedOperand> full_, rest_;
  const CompiledPass* full_convolution_;
};

void execute(const CompiledPass& c, std::unordered_map<int, memory> arguments) {
  const onednn::Scratch scratchpad(static_cast<int64_t>(c.scratchpad.get_size()));
  arguments.emplace(DNNL_ARG_SCRATCHPAD, at(c.scratchpad, scratchpad.as()));
  const onednn::SignalsWait signals;  // some convolutions are products of matrices
  c.primitive.execute(onednn::stream(), arguments);
}

void input_gradient(const ConvShape& s, const float* w, const float* dz, float* dx) {
  const int64_t in = kImages * s.C * s.H * s.W, out = kImages * s.O * s.OH * s.OW;
  const Images images(s, Pass::data, false);
  const Weights weights(images, w);
  images.run([&](const CompiledPass& c, int64_t i) {
    const BlockedOperand g(c.z, const_cast<float*>(dz + i * out), false),
        to(c.x, dx + i * in, true);
    execute(c, {{DNNL_ARG_DIFF_DST, g.own()},
                {DNNL_ARG_WEIGHTS, weights.of(c)},
                {DNNL_ARG_DIFF_SRC, to.own()}});
    to.finish();
  });
}

void weight_gradient(const ConvShape& s, const float* x, const float* dz, float* dw) {
  const int64_t in = kImages * s.C * s.H * s.W, out = kImages * s.O * s.OH * s.OW;
  const int64_t n = s.weights();
  const Images images(s, Pass::weights, false);
  const onednn::Scratch scratch(images.runs() * n * static_cast<int64_t>(sizeof(float)));
  float* parts = scratch.as<float>();
  images.run([&](const CompiledPass& c, int64_t i) {
    const BlockedOperand from(c.x, const_cast<float*>(x + i * in), false),
        g(c.z, const_cast<float*>(dz + i * out), false), to(c.w, parts + i * n, true);
    execute(c, {{DNNL_ARG_SRC, from.own()},
                {DNNL_ARG_DIFF_DST, g.own()},
                {DNNL_ARG_DIFF_WEIGHTS, to.own()}});
    to.finish();
  });
  sum_parts(parts, images.runs(), n, dw);
}

}  // namespace

void conv_forward_onednn(const ConvShape& s, const float* x, const float* w, const float* bias,
                         float* z) {
  const int64_t in = kImages * s.C * s.H * s.W, out = kImages * s.O * s.OH * s.OW;
  const Images images(s, Pass::forward, bias != nullptr);
  const Weights weights(images, w);
  images.run([&](const CompiledPass& c, int64_t i) {
    const BlockedOperand from(c.x, const_cast<float*>(x + i * in), false),
        to(c.z, z + i * out, true);
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, from.own()}, {DNNL_ARG_WEIGHTS, weights.of(c)}, {DNNL_ARG_DST, to.own()}};
    if (bias) arguments.emplace(DNNL_ARG_BIAS, at(c.bias, bias));
    execute(c, std::move(arguments));
    to.finish();
  });
}

void conv_backward_onednn(const ConvShape& s, const float* x, const float* w, const float* dz,
                          const ConvGrads<float>& grads) {
  if (grads.dx) input_gradient(s, w, dz, grads.dx);
  if (grads.dw) weight_gradient(s, x, dz, grads.dw);
}

}  // namespace normlab
