#include <algorithm>
#include <numeric>

#include "bind.h"

namespace normlab::bindings {
namespace {

// --- binary operations on tensors and numbers -------------------------------------------------

/// f of two tensors, or of a tensor and a number; of two numbers the first becomes float32.
template <class F>
Tensor of_operands(const Operand& a, const Operand& b, const F& f) {
  const auto *x = std::get_if<Tensor>(&a), *y = std::get_if<Tensor>(&b);
  if (x && y) return f(*x, *y);
  if (x) return f(*x, std::get<Scalar>(b));
  if (y) return f(std::get<Scalar>(a), *y);
  return f(Tensor::scalar(std::get<Scalar>(a)), std::get<Scalar>(b));
}

Tensor add_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return add(x, y); });
}
Tensor sub_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return sub(x, y); });
}
Tensor mul_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return mul(x, y); });
}
Tensor div_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return div(x, y); });
}
Tensor maximum_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return maximum(x, y); });
}
Tensor minimum_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return minimum(x, y); });
}
Tensor floor_divide_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return floor_divide(x, y); });
}
Tensor remainder_any(const Operand& a, const Operand& b) {
  return of_operands(a, b, [](const auto& x, const auto& y) { return remainder(x, y); });
}

/// A tensor of one element that does not go with x and has no gradient to lose counts as the number
/// that it holds, as x ** nl.tensor(2).
Operand beside(const Tensor& x, const Operand& value) {
  const auto* t = std::get_if<Tensor>(&value);
  if (!t || t->numel() != 1 || needs_grad({*t})) return value;
  if (t->dtype() == x.dtype() && t->device() == x.device()) return value;
  if (carries_gradient(t->dtype())) return Scalar(t->item());
  return Scalar(t->item<int64_t>());
}

Tensor pow_any(const Operand& a, const Operand& b) {
  const auto* x = std::get_if<Tensor>(&a);
  return of_operands(a, x ? beside(*x, b) : b,
                     [](const auto& y, const auto& z) { return normlab::pow(y, z); });
}

Tensor where_any(const Tensor& mask, const Operand& a, const Operand& b) {
  if (a.index() == 1 && b.index() == 1)
    return where(mask, Tensor::full({}, std::get<Scalar>(a), DType::float32, mask.device()),
                 std::get<Scalar>(b));
  return of_operands(a, b, [&](const auto& x, const auto& y) { return where(mask, x, y); });
}

Tensor masked_fill_any(const Tensor& x, const Tensor& mask, const Operand& value) {
  return std::visit([&](const auto& v) { return masked_fill(x, mask, v); }, beside(x, value));
}

Tensor compare_any(const Tensor& a, const Operand& b, Comparison op) {
  return std::visit([&](const auto& y) { return compare(a, y, op); }, b);
}

/// A function of the module and, if `method` is set, a method of Tensor.
template <class F, class... Extra>
void bind_both(py::module_& m, TensorClass& c, const char* name, F f, const Extra&... extra) {
  m.def(name, f, py::arg("x"), extra..., ReleaseGil());
  c.def(name, f, extra..., ReleaseGil());
}

using Binary = Tensor (*)(const Operand&, const Operand&);

/// a + b and its reflection, for tensors and numbers on either side.
void bind_operator(TensorClass& c, const std::string& name, Binary f) {
  c.def(("__" + name + "__").c_str(),
        [f](const Tensor& a, const Operand& b) { return f(Operand(a), b); }, py::arg("other"),
        py::is_operator(), ReleaseGil());
  c.def(("__r" + name + "__").c_str(),
        [f](const Tensor& b, const Operand& a) { return f(a, Operand(b)); }, py::arg("other"),
        py::is_operator(), ReleaseGil());
}

// --- changes in place -------------------------------------------------------------------------

void check_off_tape(const char* op, const Tensor& x) {
  check<GradError>(!(x.requires_grad() && x.is_leaf() && grad_enabled()), op,
                   "a leaf that requires a gradient is changed in place within nl.no_grad() alone");
}

void replace_values(const char* op, Tensor& x, const Tensor& y) {
  check(y.shape() == x.shape(), op, "x has shape ", x.shape(), " and the result ", y.shape(),
        ", which does not fit in its place; write x = x + y or the like");
  check<DtypeError>(y.dtype() == x.dtype(), op, "x is ", x.dtype(), " and the result ", y.dtype(),
                    ", which does not fit in its place; write x = x / y or the like");
  x.copy_(y);
}

/// x += b and its like. What the tape made, or must remember, cannot be written over: there the
/// name stands for a new tensor afterwards, as with x = x + b.
TensorObject changed(const char* op, Binary f, const py::object& self, const Operand& b) {
  auto& x = self.cast<Tensor&>();
  check_off_tape(op, x);
  const Tensor y = without_gil([&] { return f(Operand(x), b); });
  if (y.requires_grad() || !x.is_leaf()) return TensorObject(py::cast(y));
  without_gil([&] { replace_values(op, x, y); });
  return TensorObject(self);
}

/// x.add_(b) and its like: in place or not at all.
Tensor& change(const char* op, Binary f, Tensor& x, const Operand& b) {
  check_off_tape(op, x);
  const Tensor y = f(Operand(x), b);
  check<GradError>(x.is_leaf() && !y.requires_grad(), op,
                   "what is recorded cannot be changed in place; write x = x + y or the like");
  replace_values(op, x, y);
  return x;
}

void bind_in_place(TensorClass& c, const std::string& name, const char* symbol, Binary f) {
  c.def(
      ("__i" + name + "__").c_str(),
      [symbol, f](const py::object& self, const Operand& b) { return changed(symbol, f, self, b); },
      py::arg("other"), py::is_operator());
}

/// alpha * b, as something that goes with x.
Tensor scaled(const Operand& b, const Scalar& alpha, const Tensor& x) {
  const auto* number = std::get_if<Scalar>(&b);
  return mul(number ? Tensor::full({}, *number, x.dtype(), x.device()) : std::get<Tensor>(b),
             alpha);
}

/// add_() and sub_() take PyTorch's alpha, as in p.add_(p.grad, alpha=-lr).
void bind_scaled_change(TensorClass& c, const char* name, Binary f, const char* doc) {
  c.def(
      name,
      [name, f](Tensor& x, const Operand& b, Scalar alpha) -> Tensor& {
        return change(name, f, x, alpha.real() == 1 ? b : Operand(scaled(b, alpha, x)));
      },
      py::arg("other"), py::kw_only(), py::arg("alpha") = 1.0, ReleaseGil(), doc);
}

void bind_change(TensorClass& c, const char* name, Binary f, const char* doc) {
  c.def(
      name, [name, f](Tensor& x, const Operand& b) -> Tensor& { return change(name, f, x, b); },
      py::arg("other"), ReleaseGil(), doc);
}

void bind_changes(TensorClass& c) {
  bind_in_place(c, "add", "+=", &add_any);
  bind_in_place(c, "sub", "-=", &sub_any);
  bind_in_place(c, "mul", "*=", &mul_any);
  bind_in_place(c, "truediv", "/=", &div_any);
  bind_in_place(c, "floordiv", "//=", &floor_divide_any);
  bind_in_place(c, "mod", "%=", &remainder_any);
  bind_in_place(c, "pow", "**=", &pow_any);
  bind_scaled_change(c, "add_", &add_any,
                     "Adds ``alpha * other`` in place. Returns the tensor. GradError for what is "
                     "recorded, and for a leaf that requires a gradient outside ``no_grad()``.");
  bind_scaled_change(c, "sub_", &sub_any, "Subtracts ``alpha * other`` in place, as ``add_``.");
  bind_change(c, "mul_", &mul_any, "Multiplies in place, as ``add_``.");
  bind_change(c, "div_", &div_any, "Divides in place, as ``add_``.");
}

void bind_arithmetic(py::module_& m, TensorClass& c) {
  const auto function = [&](const char* name, Binary f, const char* doc) {
    m.def(name, f, py::arg("a"), py::arg("b"), ReleaseGil(), doc);
  };
  const auto binary = [&](const char* name, const char* symbol, Binary f, const char* doc) {
    function(name, f, doc);
    bind_operator(c, symbol, f);
  };
  binary("add", "add", &add_any, "a + b, broadcast; a number takes the tensor's dtype.");
  binary("sub", "sub", &sub_any, "a - b, broadcast; a number takes the tensor's dtype.");
  binary("mul", "mul", &mul_any, "a * b, broadcast; a number takes the tensor's dtype.");
  binary("div", "truediv", &div_any, "a / b, broadcast; of integers float32.");
  binary("floor_divide", "floordiv", &floor_divide_any,
         R"doc(a // b, broadcast: the greatest whole number not above the exact quotient.

As Python's and NumPy's: ``1.0 // 0.1`` is 9, ``-7 // 2`` is -4; division by 0 gives inf or NaN.
No derivative: backward() through it is a GradError.

Raises:
    ValueError: an integer is divided by 0; an element of a tensor on the GPU gives 0 instead.
)doc");
  binary("remainder", "mod", &remainder_any,
         R"doc(a % b, broadcast: a - b * (a // b), with the sign of b, as Python's and NumPy's.

The gradients are 1 and ``-(a // b)``. ``a % 0.0`` is NaN.

Raises:
    ValueError: an integer is divided by 0; an element of a tensor on the GPU gives 0 instead.
)doc");
  m.def("pow", &pow_any, py::arg("x"), py::arg("exponent"), ReleaseGil(),
        R"doc(x ** exponent, broadcast; each a tensor or a number.

The gradients are ``exponent * x ** (exponent - 1)``, 0 for an exponent of 0, and
``x ** exponent * log(x)``, 0 where x is 0 and the exponent is not negative, NaN where x is
negative. Integers are exact, and wrap around.

Raises:
    ValueError: an integer with a negative exponent; an element of a tensor on the GPU gives
        ``1 / x ** -exponent``, rounded towards zero, instead.
)doc");
  bind_operator(c, "pow", &pow_any);
  function("maximum", &maximum_any,
           "The greater of two, broadcast, NaN if either is; where equal, the gradient goes to "
           "``a``. 0 is greater than -0.");
  function("minimum", &minimum_any,
           "The lesser of two, broadcast, NaN if either is; where equal, the gradient goes to "
           "``a``. -0 is less than 0.");
  c.def(
      "__neg__", [](const Tensor& x) { return neg(x); }, ReleaseGil());
  c.def("__pos__", [](const Tensor& x) { return x; });
  c.def(
      "__abs__", [](const Tensor& x) { return normlab::abs(x); }, ReleaseGil());
}

void bind_comparisons(py::module_& m, TensorClass& c) {
  constexpr std::pair<const char*, Comparison> kComparisons[] = {
      {"eq", Comparison::eq}, {"ne", Comparison::ne}, {"lt", Comparison::lt},
      {"le", Comparison::le}, {"gt", Comparison::gt}, {"ge", Comparison::ge}};
  for (const auto& [name, op] : kComparisons) {
    const auto f = [op = op](const Tensor& a, const Operand& b) { return compare_any(a, b, op); };
    m.def(name, f, py::arg("a"), py::arg("b"), ReleaseGil(),
          "Elementwise comparison, broadcast; a bool tensor.");
    c.def(("__" + std::string(name) + "__").c_str(), f, py::arg("other"), py::is_operator(),
          ReleaseGil());
  }
  bind_both(m, c, "logical_not", &logical_not, "True where x is false or zero.");
}

/// Both are masks; numbers are not taken for bits.
void check_masks(const char* symbol, const Tensor& a, const Tensor& b) {
  for (const Tensor& x : {a, b})
    check<DtypeError>(x.dtype() == DType::boolean, symbol, "needs bool tensors, got ", x.dtype(),
                      "; comparisons make them, each in brackets: (x > 0) & (y > 1)");
}

Tensor both_of(const Tensor& a, const Tensor& b) {
  return where(a, b, Tensor::zeros({}, DType::boolean, a.device()));
}
Tensor either_of(const Tensor& a, const Tensor& b) {
  return where(a, Tensor::ones({}, DType::boolean, a.device()), b);
}
Tensor one_of(const Tensor& a, const Tensor& b) {
  return compare(a, b, Comparison::ne);
}

void bind_masks(TensorClass& c) {
  const auto bind = [&](const char* name, const char* reflected, const char* symbol,
                        Tensor (*f)(const Tensor&, const Tensor&)) {
    const auto checked = [symbol, f](const Tensor& a, const Operand& other) {
      const auto* number = std::get_if<Scalar>(&other);
      check_masks(symbol, a, number ? a : std::get<Tensor>(other));
      check<DtypeError>(!number || number->real() == 0 || number->real() == 1, symbol,
                        "needs bool tensors, True or False, got ", number ? *number : Scalar(0));
      const Tensor b =
          number ? Tensor::full({}, *number, DType::boolean, a.device()) : std::get<Tensor>(other);
      return f(a, b);
    };
    for (const char* each : {name, reflected})
      c.def(each, checked, py::arg("other"), py::is_operator(), ReleaseGil());
  };
  bind("__and__", "__rand__", "&", &both_of);
  bind("__or__", "__ror__", "|", &either_of);
  bind("__xor__", "__rxor__", "^", &one_of);
  c.def(
      "__invert__",
      [](const Tensor& x) {
        check_masks("~", x, x);
        return logical_not(x);
      },
      ReleaseGil());
}

void bind_unary(py::module_& m, TensorClass& c) {
  bind_both(
      m, c, "neg", [](const Tensor& x) { return neg(x); }, "-x.");
  bind_both(
      m, c, "abs", [](const Tensor& x) { return normlab::abs(x); }, "|x|.");
  bind_both(
      m, c, "exp", [](const Tensor& x) { return normlab::exp(x); }, "e ** x.");
  bind_both(
      m, c, "log", [](const Tensor& x) { return normlab::log(x); }, "Natural logarithm.");
  bind_both(
      m, c, "sqrt", [](const Tensor& x) { return normlab::sqrt(x); }, "Square root.");
  bind_both(
      m, c, "tanh", [](const Tensor& x) { return normlab::tanh(x); }, "Hyperbolic tangent.");
  bind_both(m, c, "sigmoid", &sigmoid, "1 / (1 + e ** -x).");
  bind_both(m, c, "relu", &relu, "max(x, 0).");
  bind_both(m, c, "gelu", &gelu,
            "x Phi(x), Phi the normal distribution function: the exact form (Hendrycks & Gimpel "
            "2016).");
  bind_both(m, c, "sign", &sign,
            "-1, 0 or 1. No derivative: backward() through it is a GradError.");
  bind_both(
      m, c, "floor", [](const Tensor& x) { return normlab::floor(x); },
      "Greatest integer not above x. No derivative.");
  bind_both(
      m, c, "round", [](const Tensor& x) { return normlab::round(x); },
      "Nearest integer, ties to even. No derivative.");
  m.def("where", &where_any, py::arg("mask"), py::arg("a"), py::arg("b"), ReleaseGil(),
        "``a`` where ``mask`` (bool) is true, else ``b``; all three broadcast. A number takes the "
        "other's dtype, two numbers float32.");
  bind_both(
      m, c, "masked_fill", &masked_fill_any, py::arg("mask"), py::arg("value"),
      "x with ``value``, a number or a tensor of one element, where ``mask`` (bool, broadcast "
      "to x) is true; x has no gradient there, the value has their sum.");
}

void bind_reductions(py::module_& m, TensorClass& c) {
  const auto axis = py::arg("axis") = py::none();
  const auto keepdim = py::arg("keepdim") = false;
  bind_both(
      m, c, "sum",
      [](const Tensor& x, const std::optional<Axes>& axes, bool keep) {
        return sum(x, list_of(axes), keep);
      },
      axis, keepdim, "Sum over the axes (an int, several, or None: all).");
  bind_both(
      m, c, "mean",
      [](const Tensor& x, const std::optional<Axes>& axes, bool keep) {
        return mean(x, list_of(axes), keep);
      },
      axis, keepdim,
      "Mean over the axes (an int, several, or None: all); of integers and bools float32. "
      "ShapeError "
      "if empty.");
  bind_both(
      m, c, "var",
      [](const Tensor& x, const std::optional<Axes>& axes, bool keep, int correction) {
        return var(x, list_of(axes), keep, correction);
      },
      // By name alone: in PyTorch, var(1, True) divides by n - 1.
      axis, py::kw_only(), keepdim, py::arg("correction") = 0,
      "Mean of squared deviations from the mean, divided by n - correction.");
  bind_both(
      m, c, "max",
      [](const Tensor& x, std::optional<int> at, bool keep) {
        if (at) return max(x, *at, keep);
        check<ValueError>(!keep, "max", "keepdim needs an axis");
        return max(x);
      },
      // By name alone: PyTorch's max(1) is a pair, and values[0] would be taken for its values.
      py::kw_only(), axis, keepdim,
      "Greatest element, of all or along an axis; the gradient goes to the first of equals. "
      "NaN wins.");
  bind_both(
      m, c, "argmax",
      [](const Tensor& x, std::optional<int> at, bool keep) {
        if (at) return argmax(x, *at, keep);
        check<ValueError>(!keep, "argmax", "keepdim needs an axis");
        return argmax(x.reshape({-1}));
      },
      axis, keepdim,
      "Index of the greatest element (first of equals), int64, along an axis; None: in the "
      "flattened tensor, as NumPy does.");
}

void bind_lengths(py::module_& m, TensorClass& c) {
  bind_both(
      m, c, "logsumexp",
      [](const Tensor& x, const std::optional<Axes>& axes, bool keep) {
        return logsumexp(x, list_of(axes), keep);
      },
      py::arg("axis") = py::none(), py::arg("keepdim") = false,
      R"doc(log(sum(exp(x))) over the axes (an int, several, or None: all).

Shifted by the greatest element, so that it neither overflows nor underflows; -inf where all
elements are, or where there is none. The gradient is softmax(x): 0 where the result is -inf, shared
among the elements that are inf where one is.
)doc");
  bind_both(m, c, "l2_normalize", &l2_normalize, py::arg("axis") = -1, py::arg("eps") = 1e-12,
            R"doc(x / max(||x||, eps), the Euclidean norm being along ``axis``.

PyTorch's ``torch.nn.functional.normalize``, whose axis is 1 by default. A row of zeros stays zeros;
the squares of large and small elements neither overflow nor underflow.

Raises:
    ValueError: eps is negative or not finite.
)doc");
}

/// transpose(0, 1) swaps two axes in PyTorch, and is the order that all have in NumPy and here: for
/// a matrix, the one it has already. Whoever means the swap shall not get what he did not mean.
void check_not_swap(const Tensor& x, const std::vector<int>& order) {
  const int rank = x.rank();
  if (order.size() != 2 || rank < 2) return;
  const int a = order[0] < 0 ? order[0] + rank : order[0];
  const int b = order[1] < 0 ? order[1] + rank : order[1];
  if (std::min(a, b) < 0 || std::max(a, b) >= rank || a == b) return;  // transpose() says it
  std::vector<int> swapped(rank);
  std::iota(swapped.begin(), swapped.end(), 0);
  std::swap(swapped[a], swapped[b]);
  if (swapped == std::vector{a, b}) return;
  std::string axes;
  for (const int axis : swapped) axes += (axes.empty() ? "" : ", ") + std::to_string(axis);
  fail("transpose", "takes all axes in their new order, as NumPy's; transpose(", axes, ") swaps ",
       order[0], " and ", order[1], " of a tensor of shape ", x.shape());
}

/// The order that transpose() was given: one argument, or axis by axis.
std::vector<int> order_from(const Tensor& x, const py::args& args) {
  if (args.empty() || (args.size() == 1 && args[0].is_none())) return {};
  const bool listed = args.size() == 1 && PySequence_Check(py::object(args[0]).ptr());
  const py::object source = listed ? py::object(args[0]) : py::object(args);
  const auto axes = integers_from(source);
  if (!axes)
    fail<DtypeError>("transpose", "axes must be integers, got ", std::string(py::repr(source)));
  std::vector<int> order(axes->begin(), axes->end());
  if (!listed) check_not_swap(x, order);
  return order;
}

void bind_shapes(py::module_& m, TensorClass& c) {
  const char* transpose_doc =
      "Axes in another order, reversed by default; copies. ``t.transpose(1, 0)`` or "
      "``t.transpose((1, 0))``: all axes, as NumPy's.";
  const auto in_order = [](const Tensor& x, const py::args& axes) {
    const std::vector<int> order = order_from(x, axes);
    return without_gil([&] { return transpose(x, order); });
  };
  m.def(
      "reshape", [](const Tensor& x, const Shape& shape) { return x.reshape(shape); }, py::arg("x"),
      py::arg("shape"), "Same storage, other shape; one length may be -1.");
  m.def(
      "transpose",
      [](const Tensor& x, const std::optional<Axes>& axes) { return transpose(x, list_of(axes)); },
      py::arg("x"), py::arg("axes") = py::none(), ReleaseGil(),
      "Axes in another order, reversed by default; copies.");
  m.def("transpose", in_order, py::arg("x"),
        "The same, given axis by axis: ``transpose(x, 1, 0)``.");
  c.def("transpose", in_order, transpose_doc);
  c.def_property_readonly(
      "T", [](const Tensor& x) { return without_gil([&] { return transpose(x); }); },
      "Axes reversed; a copy.");
  m.def("flatten", &flatten, py::arg("x"), py::arg("start") = 0, py::arg("end") = -1,
        "Joins axes start to end (both included) into one; shares storage.");
  c.def("flatten", &flatten, py::arg("start") = 0, py::arg("end") = -1,
        "Joins axes start to end (both included) into one; shares storage.");
  bind_both(m, c, "broadcast_to", &broadcast_to, py::arg("shape"), "Broadcast to a shape; copies.");
  m.def("concat", &concat, py::arg("parts"), py::arg("axis") = 0, ReleaseGil(),
        "Joined along an axis; the other lengths and the dtypes must agree.");
  m.def("slice", py::overload_cast<const Tensor&, int, int64_t, int64_t, int64_t>(&slice),
        py::arg("x"), py::arg("axis"), py::arg("begin"), py::arg("end"), py::arg("step") = 1,
        ReleaseGil(),
        "Elements begin, begin + step, ... before end along an axis; copies. step > 0.");
}

void bind_indexing(py::module_& m, TensorClass& c) {
  bind_both(m, c, "gather", &gather, py::arg("axis"), py::arg("index"), R"doc(Elements by index.

z[i, j, ...] = x[i, index[i, j, ...], ...] along ``axis``. ``index`` (int32 or int64) has x's
rank and is at most as long on the other axes. Repeated indices add their gradients.
RangeError with place and value for an index outside.
)doc");
  bind_both(m, c, "take", &take, py::arg("index"),
            "Rows of the first axis: shape ``index.shape + x.shape[1:]``. As x[index]; NumPy's and "
            "PyTorch's take() is ``x.reshape(-1)[index]``.");
  m.def("embedding", &embedding, py::arg("weight"), py::arg("index"),
        py::arg("padding_index") = py::none(), ReleaseGil(),
        R"doc(Rows of a weight table ``(V, D)``; shape ``index.shape + (D,)``.

The gradient arrives as sparse rows (``weight.sparse_grad``), on the GPU dense; that of row
``padding_index`` is zero. RangeError with place and value for an index outside [0, V).
)doc");
}

void bind_products(py::module_& m, TensorClass& c) {
  const char* matmul_doc =
      "``(..., M, K) @ (..., K, N) -> (..., M, N)``; leading axes broadcast, vectors as NumPy's.";
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"), ReleaseGil(), matmul_doc);
  c.def("matmul", &matmul, py::arg("other"), ReleaseGil(), matmul_doc);
  c.def("__matmul__", &matmul, py::arg("other"), py::is_operator(), ReleaseGil());
  c.def(
      "__rmatmul__", [](const Tensor& b, const Tensor& a) { return matmul(a, b); },
      py::arg("other"), py::is_operator(), ReleaseGil());
  m.def(
      "linear",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, Activation a) {
        return linear(x, weight, tensor_or_none(bias), a);
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(),
      py::arg("activation") = "none", ReleaseGil(),
      R"doc(activation(x weight^T + bias), fused.

Args:
    x: ``(..., in)``.
    weight: ``(out, in)``.
    bias: ``(out,)`` or None.
    activation: none, relu, gelu, tanh or sigmoid.
)doc");
}

Reduction reduction_named(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  check<ValueError>(name == "none", "cross_entropy",
                    "reduction must be 'mean', 'sum' or 'none', got '", name, "'");
  return Reduction::none;
}

void bind_losses(py::module_& m, TensorClass& c) {
  const auto axis = py::arg("axis") = -1;
  bind_both(m, c, "softmax", &softmax, axis, "exp(x) / sum(exp(x)) along an axis.");
  bind_both(m, c, "log_softmax", &log_softmax, axis, "log(softmax(x)) along an axis.");
  m.def(
      "cross_entropy",
      [](const Tensor& logits, const Tensor& targets, double label_smoothing,
         std::optional<int64_t> ignore_index, const std::string& reduction,
         const std::optional<Tensor>& weight) {
        return cross_entropy(
            logits, targets,
            {label_smoothing, ignore_index, reduction_named(reduction), tensor_or_none(weight)});
      },
      py::arg("logits"), py::arg("targets"), py::kw_only(), py::arg("label_smoothing") = 0.0,
      py::arg("ignore_index") = py::none(), py::arg("reduction") = "mean",
      py::arg("weight") = py::none(), ReleaseGil(),
      R"doc(-log softmax(logits)[target], in nats.

Args:
    logits: ``(..., V)``.
    targets: int32 or int64 ``(...)``, classes in [0, V); or, of the shape and dtype of logits, the
        probabilities t of all classes: the loss is then ``-sum(weight * t * log_softmax(logits))``,
        where a class with t = 0 counts nothing whatever its logit, and t gets a gradient, too.
        That they are probabilities is not checked.
    label_smoothing: in [0, 1): the share that is spread evenly over all classes.
    ignore_index: rows with this target count nothing; for classes alone.
    reduction: "mean", "sum" or "none". A mean divides by the number of rows that count, of classes
        with weight by the sum of their weights; it is NaN where that is 0.
    weight: ``(V,)``, what each class counts, of the dtype of logits; a constant.

Raises:
    RangeError: a target outside [0, V), with row and class.
    GradError: weight requires a gradient.
)doc");
  m.def(
      "dropout",
      [](const Tensor& x, double p, bool training, MaybeGenerator g) {
        return dropout(x, p, training, chosen(g));
      },
      py::arg("x"), py::arg("p") = 0.5, py::arg("training") = true, py::kw_only(),
      py::arg("generator") = py::none(), ReleaseGil(),
      "Zeroes each element with probability p in [0, 1) and divides the rest by 1 - p; x itself "
      "unless training.");
}

void bind_features(py::module_& m) {
  m.def(
      "feature_linear",
      [](const Tensor& table, const Tensor& features, const Tensor& weight,
         const std::optional<Tensor>& bias) {
        return feature_linear(table, features, weight, tensor_or_none(bias));
      },
      py::arg("table"), py::arg("features"), py::arg("weight"), py::arg("bias") = py::none(),
      ReleaseGil(),
      R"doc(bias + sum over p of table[features[:, p]] @ weight[p].

The first layer of a network on sparse features (Chen and Manning 2014): each distinct pair of
position and row is multiplied once, forward and backward, however often it comes in the batch.

Args:
    table: ``(V, E)``; its gradient arrives as sparse rows, on the GPU dense.
    features: int32 ``(N, P)``, rows of the table.
    weight: ``(P, E, H)``.
    bias: ``(H,)`` or None.

Returns:
    ``(N, H)``.

Raises:
    RangeError: a feature outside [0, V), with its place.
)doc");
}

void bind_packed(py::module_& m) {
  m.def("attention", &attention, py::arg("qkv"), py::arg("offsets"), py::arg("heads"), ReleaseGil(),
        R"doc(Self-attention within packed sentences, all heads, forward and backward fused.

softmax(q k^T / sqrt(D / heads)) v (Vaswani et al. 2017, eq. 1). What backward keeps grows linearly
with T.

Args:
    qkv: ``(T, 3 D)``, queries, keys and values, each of ``heads`` heads side by side.
    offsets: int64 ``(S + 1,)``: sentence i is rows offsets[i] to offsets[i + 1].
    heads: divides D.

Returns:
    ``(T, D)``.

Raises:
    ShapeError: qkv is not ``(T, 3 D)`` with D a multiple of heads.
    ArgumentError: offsets do not rise from 0 to T.
)doc");
  m.def("segment_mean", &segment_mean, py::arg("x"), py::arg("offsets"), ReleaseGil(),
        "Mean of the rows of each packed sentence: ``(T, D) -> (S, D)``, zeros for an empty one. "
        "offsets as in :func:`attention`.");
}

}  // namespace

void bind_ops(py::module_& m, TensorClass& tensor) {
  bind_arithmetic(m, tensor);
  bind_changes(tensor);
  bind_comparisons(m, tensor);
  bind_masks(tensor);
  bind_unary(m, tensor);
  bind_reductions(m, tensor);
  bind_lengths(m, tensor);
  bind_shapes(m, tensor);
  bind_indexing(m, tensor);
  bind_features(m);
  bind_packed(m);
  bind_products(m, tensor);
  bind_windows(m);
  bind_losses(m, tensor);
}

}  // namespace normlab::bindings
