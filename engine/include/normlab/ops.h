#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "normlab/autograd.h"
#include "normlab/random.h"
#include "normlab/tensor.h"

/// @file
/// Operations. Unless an op says otherwise: floating inputs are float32 or float64 and of one
/// dtype (DtypeError), on one device (DeviceError), zero rows are fine, the result is new, and the
/// op is recorded with its derivative.
namespace normlab {

// --- elementwise, with NumPy's broadcasting ---------------------------------------------------
/// A tensor, or a number in place of one. A number takes the dtype of the tensor beside it: a
/// floating dtype rounds it, an integer one must hold it (DtypeError). Of two numbers the first
/// becomes float32.
using Operand = std::variant<Tensor, Scalar>;

// Arithmetic takes any numeric dtype, equal on both sides. Integers wrap around.
Tensor add(const Operand& a, const Operand& b);
Tensor sub(const Operand& a, const Operand& b);
Tensor mul(const Operand& a, const Operand& b);
/// True division: of integers it is float32, as PyTorch's.
Tensor div(const Operand& a, const Operand& b);
/// The greater / lesser of two, NaN if either is; where equal, the gradient goes to a. 0 is greater
/// than -0 (IEEE 754-2019, 9.6).
Tensor maximum(const Operand& a, const Operand& b);
Tensor minimum(const Operand& a, const Operand& b);
/// a ** b. Gradients: b a^(b - 1), 0 for b = 0; a^b log a, 0 for a = 0 and b >= 0, NaN for a < 0.
/// Of integers b must not be negative (ArgumentError; an element of a tensor on the GPU counts as
/// such: 1 / a^-b, rounded towards zero, 0 for a = 0). A tensor b of one element that requires no
/// gradient may have another dtype or device than a: it counts as a number.
Tensor pow(const Operand& a, const Operand& b);
/// The greatest whole number not above a / b, as Python's and NumPy's a // b: of the exact
/// quotient, so that 1 // 0.1 is 9. a / 0 is infinite or NaN; of integers it is a ArgumentError
/// (for an element of a tensor on the GPU 0). No derivative.
Tensor floor_divide(const Operand& a, const Operand& b);
/// a - b floor_divide(a, b), with the sign of b, as Python's and NumPy's a % b. a % 0 is NaN; of
/// integers as floor_divide. Gradients: 1 and -floor_divide(a, b).
Tensor remainder(const Operand& a, const Operand& b);
/// x where x > 0, else negative_slope x.
Tensor leaky_relu(const Operand& x, const Operand& negative_slope = 0.01);
/// minimum(maximum(x, min), max): a bound that is absent does not bind (ArgumentError if both are).
Tensor clamp(const Tensor& x, const std::optional<Operand>& min,
             const std::optional<Operand>& max = std::nullopt);

inline Tensor operator+(const Operand& a, const Operand& b) {
  return add(a, b);
}
inline Tensor operator-(const Operand& a, const Operand& b) {
  return sub(a, b);
}
inline Tensor operator*(const Operand& a, const Operand& b) {
  return mul(a, b);
}
inline Tensor operator/(const Operand& a, const Operand& b) {
  return div(a, b);
}

/// Functions of one element: the rows of ops/elementwise_table.h.
enum class Unary : uint8_t {
  neg,
  abs,
  exp,
  log,
  log1p,
  sqrt,
  square,
  cube,
  sin,
  cos,
  relu,
  gelu,
  tanh,
  sigmoid,
  silu,
  softplus,
  sign,
  floor,
  round
};
Tensor apply(Unary op, const Tensor& x);
/// A function's name and summary, for bindings; both null where another op stands for it.
struct UnaryInfo {
  Unary op;
  const char *name, *summary;
};
std::vector<UnaryInfo> unary_ops();

inline Tensor neg(const Tensor& x) {
  return apply(Unary::neg, x);
}
inline Tensor operator-(const Tensor& x) {
  return neg(x);
}
inline Tensor abs(const Tensor& x) {
  return apply(Unary::abs, x);
}
inline Tensor exp(const Tensor& x) {
  return apply(Unary::exp, x);
}
inline Tensor log(const Tensor& x) {
  return apply(Unary::log, x);
}
/// log(1 + x), relatively precise around 0.
inline Tensor log1p(const Tensor& x) {
  return apply(Unary::log1p, x);
}
inline Tensor sqrt(const Tensor& x) {
  return apply(Unary::sqrt, x);
}
inline Tensor sin(const Tensor& x) {
  return apply(Unary::sin, x);
}
inline Tensor cos(const Tensor& x) {
  return apply(Unary::cos, x);
}
inline Tensor tanh(const Tensor& x) {
  return apply(Unary::tanh, x);
}
inline Tensor sigmoid(const Tensor& x) {
  return apply(Unary::sigmoid, x);
}
inline Tensor relu(const Tensor& x) {
  return apply(Unary::relu, x);
}
/// x * Phi(x), Phi the normal distribution function (the exact form, Hendrycks & Gimpel 2016).
inline Tensor gelu(const Tensor& x) {
  return apply(Unary::gelu, x);
}
/// x * sigmoid(x) (Elfwing et al. 2018).
inline Tensor silu(const Tensor& x) {
  return apply(Unary::silu, x);
}
/// log(1 + exp(x)), for any x.
inline Tensor softplus(const Tensor& x) {
  return apply(Unary::softplus, x);
}
/// -1, 0 or 1, NaN of NaN; floor; nearest integer (ties to even). These have no derivative:
/// backward() through them is a GradError.
inline Tensor sign(const Tensor& x) {
  return apply(Unary::sign, x);
}
inline Tensor floor(const Tensor& x) {
  return apply(Unary::floor, x);
}
inline Tensor round(const Tensor& x) {
  return apply(Unary::round, x);
}

/// Comparisons; any dtype, equal on both sides. Result: bool, broadcast shape. Integers and bools
/// compare exactly with any number, fractions too; a floating dtype rounds it first.
enum class Comparison { eq, ne, lt, le, gt, ge };
Tensor compare(const Tensor& a, const Operand& b, Comparison op);
Tensor logical_not(const Tensor& x);
/// Masks joined elementwise: bool tensors, or a bool in place of b (DtypeError).
Tensor operator&(const Tensor& a, const Operand& b);
Tensor operator|(const Tensor& a, const Operand& b);
Tensor operator^(const Tensor& a, const Operand& b);
/// logical_not() of a mask.
Tensor operator~(const Tensor& x);

// --- changes in place -------------------------------------------------------------------------
using BinaryFunction = Tensor (*)(const Operand& a, const Operand& b);
/// x = f(x, alpha * b) in x's memory. GradError for what is recorded, and for a leaf that requires
/// a gradient outside NoGrad; ShapeError and DtypeError where the result does not fit. `op` stands
/// in the errors.
void change(const char* op, BinaryFunction f, Tensor& x, const Operand& b, Scalar alpha = 1);
/// As change(), but returns a new tensor where the tape made or must remember x; else x.
Tensor change_or_replace(const char* op, BinaryFunction f, Tensor& x, const Operand& b);

// --- masking ----------------------------------------------------------------------------------
/// mask ? a : b, broadcast; mask is bool.
Tensor where(const Tensor& mask, const Operand& a, const Operand& b);
/// x with `value` where mask (bool, broadcastable to x) is true; x has no gradient there. A tensor
/// is of one element and of x's dtype, and its gradient is the sum over these places; one that
/// requires no gradient may have another dtype or device: it counts as a number.
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value);

// --- reductions -------------------------------------------------------------------------------
// `axes` empty: over all. Negative axes count from the end; RangeError outside, ArgumentError twice
// the same. A scalar, shape [], has the axes 0 and -1, as in NumPy. Sums in a fixed order, pairwise
// in the large: the same for any number of threads.
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);
/// Of integers and bools it is float32. ShapeError for an empty reduction.
Tensor mean(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);
/// Mean of squared deviations from the mean (two passes), divided by n - correction.
Tensor var(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false,
           int correction = 0);
/// Greatest element; the gradient goes to the first of equals. NaN wins. ShapeError if empty.
Tensor max(const Tensor& x);
Tensor max(const Tensor& x, int axis, bool keepdim = false);
/// Index of the greatest element along an axis (first of equals), int64.
Tensor argmax(const Tensor& x, int axis = -1, bool keepdim = false);
/// log(sum(exp(x))), whatever the size of x: shifted by the greatest element. -inf if all are, or
/// if there is none. The gradient is softmax(x): 0 where the result is -inf, shared among the
/// elements that are +inf where one is.
Tensor logsumexp(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);
/// x / max(||x||, eps) with the Euclidean norm along `axis`, which neither overflows nor
/// underflows: PyTorch's torch.nn.functional.normalize. A row of zeros stays zeros. ArgumentError
/// for eps < 0.
Tensor l2_normalize(const Tensor& x, int axis = -1, double eps = 1e-12);

// --- shape ------------------------------------------------------------------------------------
/// Axes in another order; copies. Empty `order`: reversed.
Tensor transpose(const Tensor& x, const std::vector<int>& order = {});
/// Joins axes [from, to] into one; shares storage.
Tensor flatten(const Tensor& x, int from = 0, int to = -1);
/// Broadcast to a shape; copies.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Joined along an axis; the other lengths and the dtypes must agree.
Tensor concat(const std::vector<Tensor>& parts, int axis = 0);
/// Elements begin, begin + step, ... before end along any axis; copies (slice() of the first axis
/// does not). step > 0.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step = 1);

// --- indexing ---------------------------------------------------------------------------------
// Indices are int32 or int64, on the device of x; each in [-n, n) of its axis, else RangeError with
// place and value. On the GPU the error comes at the next call that waits (item(), to_vector(),
// to(Device::cpu), synchronize()); until then what such an index picks is NaN, or 0 of integers.
/// z[i, j, ...] = x[i, index[i, j, ...], ...] along `axis`; index has x's rank and is at most
/// as long on the other axes. Repeated indices add their gradients.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
/// Rows of the first axis: shape index.shape + x.shape[1:]. Any dtype.
Tensor take(const Tensor& x, const Tensor& index);
/// take() from a weight table [V, D] whose gradient arrives as sparse rows (see SparseRows), on the
/// GPU dense; the gradient of row `padding_index`, if any, is zero. Indices are in [0, V): a
/// negative one, which often stands for "unknown", would silently be another word.
Tensor embedding(const Tensor& weight, const Tensor& index,
                 std::optional<int64_t> padding_index = std::nullopt);

// --- matrix products --------------------------------------------------------------------------
/// [..., M, K] x [..., K, N] -> [..., M, N]; leading axes broadcast. Rank 1 operands act as a row
/// and a column, as NumPy's matmul.
Tensor matmul(const Tensor& a, const Tensor& b);
/// Functions that linear() and conv2d() can fuse: those that the table of Unary marks so.
enum class Activation : uint8_t {
  relu = static_cast<uint8_t>(Unary::relu),
  gelu = static_cast<uint8_t>(Unary::gelu),
  tanh = static_cast<uint8_t>(Unary::tanh),
  sigmoid = static_cast<uint8_t>(Unary::sigmoid),
  silu = static_cast<uint8_t>(Unary::silu),
  softplus = static_cast<uint8_t>(Unary::softplus),
  none = 255
};
/// Parses "none" or a function's name; ArgumentError otherwise.
Activation activation_named(const std::string& name);
const char* name_of(Activation activation);
/// act(x weight^T + bias): x [..., in], weight [out, in], bias [out] or undefined -> [..., out].
/// Beside x in bfloat16, weight and bias are bfloat16 or float32: both are rounded to bfloat16.
/// Sums, with the bias, are float32 until they are stored, and gradients have the dtypes of what
/// they belong to.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Activation activation = Activation::none);

// --- convolution and pooling, NCHW ------------------------------------------------------------
struct Conv2dOptions {
  int64_t stride_h = 1, stride_w = 1;
  int64_t padding_h = 0, padding_w = 0;  ///< zeros on each side
  Activation activation = Activation::none;
  int64_t dilation_h = 1, dilation_w = 1;  ///< places from one element of the kernel to the next
  /// The channels fall into that many groups of neighbours, the outputs too, and an output sees
  /// those of its own group alone: each channel by itself where there are C groups (depthwise).
  int64_t groups = 1;
  /// Pads so that OH = H and OW = W, instead of padding_h and padding_w, with one zero more behind
  /// than before where the number is odd; stride 1 only.
  bool same = false;
};
/// x [N, C, H, W], weight [O, C / groups, KH, KW], bias [O] or undefined -> [N, O, OH, OW] with
/// OH = (H + 2 padding_h - dilation_h (KH - 1) - 1) / stride_h + 1 (cross-correlation, as every
/// framework). ShapeError if C or O is no multiple of groups, or the kernel does not fit. On the
/// GPU what lies in the padding is multiplied, as 0: there an infinite weight gives NaN.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});
struct Pool2dOptions {
  int64_t kernel_h = 2, kernel_w = 2;
  int64_t stride_h = 0, stride_w = 0;    ///< 0: the kernel's
  int64_t padding_h = 0, padding_w = 0;  ///< on each side, at most half of the kernel
  bool count_include_pad = true;  ///< avg_pool2d: whether what is padding counts, as 0, in a mean
};
/// Greatest / mean of each window of [N, C, H, W] -> [N, C, OH, OW] with
/// OH = (H + 2 padding_h - kernel_h) / stride_h + 1; windows that do not fit are left out. Max: the
/// padding is never the greatest; the gradient goes to the first of equals in a window.
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options = {});
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options = {});

// --- softmax and losses -----------------------------------------------------------------------
Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);
enum class Reduction : uint8_t { none, sum, mean };
struct CrossEntropyOptions {
  double label_smoothing = 0.0;  ///< in [0, 1): the share spread evenly over all classes
  std::optional<int64_t> ignore_index = {};  ///< rows with this target count nothing
  Reduction reduction = Reduction::mean;     ///< mean over the rows that count; NaN if none does
  /// [V], of the dtype of logits, or undefined: what each class counts; a constant (GradError if it
  /// requires a gradient). A mean over target classes divides by the weights of those, as PyTorch.
  Tensor weight = {};
};
/// -log softmax(logits)[target]: logits [..., V], targets int32/int64 [...], classes in [0, V)
/// (RangeError naming row and class otherwise; on the GPU at the next call that waits, and the loss
/// of such a row is NaN). Result: scalar, or [...] for Reduction::none.
///
/// Targets of the shape and dtype of logits are probabilities t of all classes:
/// -sum_c weight[c] t[c] log softmax(logits)[c], where a class with t = 0 counts nothing whatever
/// its logit; they get a gradient, too. That they are probabilities is not checked. A mean divides
/// by the number of rows; ignore_index is for classes alone (ArgumentError).
Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                     const CrossEntropyOptions& options = {});

// --- features ---------------------------------------------------------------------------------
/// The first layer of a network on sparse features (Chen & Manning 2014): what embedding() of the
/// features, joined, and linear() would give, but each distinct pair of position and row is
/// multiplied once, forward and backward, however often it comes in the batch (on the GPU the rows
/// are written out and multiplied as they are):
/// z[i] = bias + sum over p of table[features[i, p]] weight[p].
/// @param table     [V, E]; its gradient arrives as sparse rows, on the GPU dense.
/// @param features  int32 [N, P], rows of the table (RangeError naming place and row otherwise).
/// @param weight    [P, E, H].
/// @param bias      [H] or undefined.
/// @return          [N, H].
Tensor feature_linear(const Tensor& table, const Tensor& features, const Tensor& weight,
                      const Tensor& bias = {});

// --- packed sentences -------------------------------------------------------------------------
// Sentences one after the other without padding: sentence i is rows [offsets[i], offsets[i + 1])
// of x [T, D]. offsets, int64 [S + 1], rise from 0 to T (ArgumentError naming the place otherwise,
// on the GPU at the next call that waits).
/// Scaled dot-product self-attention within each sentence, all heads, forward and backward fused:
/// softmax(q k^T / sqrt(D / heads)) v (Vaswani et al. 2017, eq. 1). What backward keeps is qkv,
/// the result and one number a row and head: linear in T.
/// @param qkv     [T, 3 D]: queries, keys and values, each of `heads` heads side by side.
/// @param causal  each query sees the keys up to its own. The rest costs nothing.
/// @return        [T, D].
/// @throws ShapeError  qkv is not [T, 3 D] with D a multiple of heads.
/// @throws DeviceError  on the GPU, heads of more than 256 elements.
Tensor attention(const Tensor& qkv, const Tensor& offsets, int64_t heads, bool causal = false);
/// The same of queries and keys from two packed batches with as many sentences: the queries of
/// sentence i see the keys of sentence i. attention() is the case where both are one.
/// @param q       [Tq, D], packed by q_offsets.
/// @param kv      [Tk, 2 D]: keys and values, packed by kv_offsets.
/// @param causal  aligned to the end: query i of n sees the keys j <= m - n + i of m.
/// @return        [Tq, D].
/// @throws ShapeError  Other shapes, or offsets of different lengths.
/// @throws ArgumentError  A sentence has queries and no keys, or causal and fewer keys than
///                        queries. On the GPU at the next call that waits.
Tensor cross_attention(const Tensor& q, const Tensor& kv, const Tensor& q_offsets,
                       const Tensor& kv_offsets, int64_t heads, bool causal = false);
/// Mean of the rows of each sentence: [S, D]; zeros for an empty one.
Tensor segment_mean(const Tensor& x, const Tensor& offsets);

// --- dropout ----------------------------------------------------------------------------------
/// Zeroes each element with probability p in [0, 1) and divides the rest by 1 - p; x itself
/// unless training. The mask is drawn from `generator`, one number an element.
Tensor dropout(const Tensor& x, double p, bool training = true,
               Generator& generator = default_generator());

}  // namespace normlab
