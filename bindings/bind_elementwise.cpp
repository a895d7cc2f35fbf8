#include "bind_ops.h"

namespace normlab::bindings {
namespace {

/// a + b and its reflection, for tensors and numbers on either side.
void bind_operator(TensorClass& c, const std::string& name, BinaryFunction f) {
  c.def(("__" + name + "__").c_str(), [f](const Tensor& a, const Operand& b) { return f(a, b); },
        py::arg("other"), py::is_operator(), ReleaseGil());
  c.def(("__r" + name + "__").c_str(), [f](const Tensor& b, const Operand& a) { return f(a, b); },
        py::arg("other"), py::is_operator(), ReleaseGil());
}

/// x += b and its like.
void bind_in_place(TensorClass& c, const std::string& name, const char* symbol, BinaryFunction f) {
  c.def(("__i" + name + "__").c_str(),
        [symbol, f](const py::object& self, const Operand& b) {
          auto& x = self.cast<Tensor&>();
          const Tensor y = without_gil([&] { return change_or_replace(symbol, f, x, b); });
          return TensorObject(y.is(x) ? self : py::cast(y));
        },
        py::arg("other"), py::is_operator());
}

/// x.mul_(b) and its like.
void bind_change(TensorClass& c, const char* name, BinaryFunction f, const char* doc) {
  c.def(
      name, [name, f](Tensor& x, const Operand& b) -> Tensor& { return change(name, f, x, b), x; },
      py::arg("other"), ReleaseGil(), doc);
}

/// add_() and sub_() take PyTorch's alpha, as in p.add_(p.grad, alpha=-lr).
void bind_scaled_change(TensorClass& c, const char* name, BinaryFunction f, const char* doc) {
  c.def(
      name,
      [name, f](Tensor& x, const Operand& b, Scalar alpha) -> Tensor& {
        return change(name, f, x, b, alpha), x;
      },
      py::arg("other"), py::kw_only(), py::arg("alpha") = 1.0, ReleaseGil(), doc);
}

void bind_changes(TensorClass& c) {
  bind_in_place(c, "add", "+=", &add);
  bind_in_place(c, "sub", "-=", &sub);
  bind_in_place(c, "mul", "*=", &mul);
  bind_in_place(c, "truediv", "/=", &div);
  bind_in_place(c, "floordiv", "//=", &floor_divide);
  bind_in_place(c, "mod", "%=", &remainder);
  bind_in_place(c, "pow", "**=", &normlab::pow);
  bind_scaled_change(c, "add_", &add,
                     "Adds ``alpha * other`` in place. Returns the tensor. GradError for what is "
                     "recorded, and for a leaf that requires a gradient outside ``no_grad()``.");
  bind_scaled_change(c, "sub_", &sub, "Subtracts ``alpha * other`` in place, as ``add_``.");
  bind_change(c, "mul_", &mul, "Multiplies in place, as ``add_``.");
  bind_change(c, "div_", &div, "Divides in place, as ``add_``.");
}

void bind_function(py::module_& m, const char* name, BinaryFunction f, const char* doc) {
  m.def(name, f, py::arg("a"), py::arg("b"), ReleaseGil(), doc);
}

void bind_arithmetic(py::module_& m, TensorClass& c) {
  const auto binary = [&](const char* name, const char* symbol, BinaryFunction f, const char* doc) {
    bind_function(m, name, f, doc);
    bind_operator(c, symbol, f);
  };
  binary("add", "add", &add,
         "a + b, broadcast; a number takes the tensor's dtype.\n\nExample:\n"
         "    >>> nl.add(nl.tensor([[1], [2]]), nl.tensor([10, 20])).tolist()\n"
         "    [[11, 21], [12, 22]]");
  binary("sub", "sub", &sub,
         "a - b, broadcast; a number takes the tensor's dtype.\n\nExample:\n"
         "    >>> nl.sub(1, nl.tensor([0.5, 2.0])).tolist()\n    [0.5, -1.0]");
  binary("mul", "mul", &mul,
         "a * b, broadcast; a number takes the tensor's dtype.\n\nExample:\n"
         "    >>> nl.mul(nl.tensor([1, 2]), 3).tolist()\n    [3, 6]");
  binary("div", "truediv", &div,
         "a / b, broadcast; of integers float32.\n\nExample:\n"
         "    >>> nl.div(nl.tensor([1, 2]), 2).tolist()\n    [0.5, 1.0]");
  binary("floor_divide", "floordiv", &floor_divide,
         R"doc(a // b, broadcast: the greatest whole number not above the exact quotient.

As Python's and NumPy's: ``1.0 // 0.1`` is 9, ``-7 // 2`` is -4; division by 0 gives inf or NaN.
No derivative: backward() through it is a GradError.

Raises:
    ArgumentError: an integer is divided by 0; an element of a tensor on the GPU gives 0 instead.

Example:
    >>> nl.floor_divide(nl.tensor([-7, 7]), 2).tolist()
    [-4, 3]
)doc");
  binary("remainder", "mod", &remainder,
         R"doc(a % b, broadcast: a - b * (a // b), with the sign of b, as Python's and NumPy's.

The gradients are 1 and ``-(a // b)``. ``a % 0.0`` is NaN.

Raises:
    ArgumentError: an integer is divided by 0; an element of a tensor on the GPU gives 0 instead.

Example:
    >>> nl.remainder(nl.tensor([-7, 7]), 3).tolist()
    [2, 1]
)doc");
}

void bind_signs(TensorClass& c) {
  c.def(
      "__neg__", [](const Tensor& x) { return neg(x); }, ReleaseGil());
  c.def("__pos__", [](const Tensor& x) { return x; });
  c.def(
      "__abs__", [](const Tensor& x) { return normlab::abs(x); }, ReleaseGil());
}

void bind_power(py::module_& m, TensorClass& c) {
  m.def("pow", &normlab::pow, py::arg("x"), py::arg("exponent"), ReleaseGil(),
        R"doc(x ** exponent, broadcast; each a tensor or a number.

The gradients are ``exponent * x ** (exponent - 1)``, 0 for an exponent of 0, and
``x ** exponent * log(x)``, 0 where x is 0 and the exponent is not negative, NaN where x is
negative. Integers are exact, and wrap around.

Raises:
    ArgumentError: an integer with a negative exponent; an element of a tensor on the GPU gives
        ``1 / x ** -exponent``, rounded towards zero, instead.

Example:
    >>> nl.pow(2, nl.arange(4)).tolist()
    [1, 2, 4, 8]
)doc");
  bind_operator(c, "pow", &pow);
}

void bind_bounds(py::module_& m, TensorClass& c) {
  bind_function(m, "maximum", &maximum,
                "The greater of two, broadcast, NaN if either is; where equal, the gradient goes "
                "to ``a``. 0 is greater than -0.\n\nExample:\n"
                "    >>> nl.maximum(nl.tensor([1.0, np.nan]), 2).tolist()\n    [2.0, nan]");
  bind_function(m, "minimum", &minimum,
                "The lesser of two, broadcast, NaN if either is; where equal, the gradient goes to "
                "``a``. -0 is less than 0.\n\nExample:\n"
                "    >>> nl.minimum(nl.tensor([1.0, np.nan]), 2).tolist()\n    [1.0, nan]");
  bind_both(m, c, "leaky_relu", &leaky_relu, py::arg("negative_slope") = 0.01,
            "x where x > 0, else negative_slope * x.\n\nExample:\n"
            "    >>> nl.leaky_relu(nl.tensor([-2.0, 2.0]), 0.5).tolist()\n    [-1.0, 2.0]");
  bind_both(m, c, "clamp", &clamp, py::arg("min") = py::none(), py::arg("max") = py::none(),
            "x, but at least ``min`` and at most ``max``, broadcast; None does not bind. The "
            "gradient passes where x is within, bounds included.\n\nExample:\n"
            "    >>> nl.clamp(nl.arange(5), min=1, max=3).tolist()\n    [1, 1, 2, 3, 3]");
}

void bind_comparisons(py::module_& m, TensorClass& c) {
  struct Row {
    const char* name;
    Comparison op;
    const char* example;  // the result for (1, 2, 3) and 2
  };
  constexpr Row kComparisons[] = {
      {"eq", Comparison::eq, "False, True, False"}, {"ne", Comparison::ne, "True, False, True"},
      {"lt", Comparison::lt, "True, False, False"}, {"le", Comparison::le, "True, True, False"},
      {"gt", Comparison::gt, "False, False, True"}, {"ge", Comparison::ge, "False, True, True"}};
  for (const auto& [name, op, example] : kComparisons) {
    const auto f = [op = op](const Tensor& a, const Operand& b) { return compare(a, b, op); };
    const std::string doc =
        joined("Elementwise comparison, broadcast; a bool tensor.\n\nExample:\n    >>> nl.", name,
               "(nl.tensor([1, 2, 3]), 2).tolist()\n    [", example, "]");
    m.def(name, f, py::arg("a"), py::arg("b"), ReleaseGil(), doc.c_str());
    c.def(("__" + std::string(name) + "__").c_str(), f, py::arg("other"), py::is_operator(),
          ReleaseGil());
  }
  bind_both(m, c, "logical_not", &logical_not,
            "True where x is false or zero.\n\nExample:\n"
            "    >>> nl.logical_not(nl.tensor([0.0, 2.0])).tolist()\n    [True, False]");
}

void bind_masks(py::module_& m, TensorClass& c) {
  const auto bind = [&](const char* name, const char* reflected,
                        Tensor (*f)(const Tensor&, const Operand&)) {
    for (const char* each : {name, reflected})
      c.def(each, f, py::arg("other"), py::is_operator(), ReleaseGil());
  };
  bind("__and__", "__rand__", [](const Tensor& a, const Operand& b) { return a & b; });
  bind("__or__", "__ror__", [](const Tensor& a, const Operand& b) { return a | b; });
  bind("__xor__", "__rxor__", [](const Tensor& a, const Operand& b) { return a ^ b; });
  c.def(
      "__invert__", [](const Tensor& x) { return ~x; }, ReleaseGil());
  m.def("where", &where, py::arg("mask"), py::arg("a"), py::arg("b"), ReleaseGil(),
        "``a`` where ``mask`` (bool) is true, else ``b``; all three broadcast. A number takes the "
        "other's dtype, two numbers float32.\n\nExample:\n"
        "    >>> nl.where(nl.tensor([True, False]), nl.tensor([1.0, 2.0]), 0).tolist()\n"
        "    [1.0, 0.0]");
  bind_both(
      m, c, "masked_fill", &masked_fill, py::arg("mask"), py::arg("value"),
      "x with ``value``, a number or a tensor of one element, where ``mask`` (bool, broadcast "
      "to x) is true; x has no gradient there, the value has their sum.\n\nExample:\n"
      "    >>> nl.masked_fill(nl.ones(2), nl.tensor([True, False]), -np.inf).tolist()\n"
      "    [-inf, 1.0]");
}

/// Of each unary op: the numbers that its example is called with, and the result to four digits.
const std::map<std::string_view, std::pair<const char*, const char*>>& unary_examples() {
  static const std::map<std::string_view, std::pair<const char*, const char*>> examples{
      {"neg", {"[1.5, -2.0]", "[-1.5,  2. ]"}},
      {"abs", {"[1.5, -2.0]", "[1.5, 2. ]"}},
      {"exp", {"[0.0, 1.0]", "[1.    , 2.7183]"}},
      {"log", {"[-1.0, 0.0, 2.0]", "[   nan,   -inf, 0.6931]"}},
      {"log1p", {"[-1.0, 0.0, 1.0]", "[  -inf, 0.    , 0.6931]"}},
      {"sqrt", {"[-1.0, 0.0, 2.0]", "[   nan, 0.    , 1.4142]"}},
      {"sin", {"[0.0, np.pi / 2]", "[0., 1.]"}},
      {"cos", {"[0.0, np.pi]", "[ 1., -1.]"}},
      {"relu", {"[-1.0, 2.0]", "[0., 2.]"}},
      {"gelu", {"[-1.0, 0.0, 1.0]", "[-0.1587,  0.    ,  0.8413]"}},
      {"tanh", {"[-100.0, 0.0, 1.0]", "[-1.    ,  0.    ,  0.7616]"}},
      {"sigmoid", {"[-100.0, 0.0, 1.0]", "[0.    , 0.5   , 0.7311]"}},
      {"silu", {"[-1.0, 0.0, 1.0]", "[-0.2689,  0.    ,  0.7311]"}},
      {"softplus", {"[-100.0, 0.0, 100.0]", "[  0.    ,   0.6931, 100.    ]"}},
      {"sign", {"[-1.5, 0.0, 2.0]", "[-1.,  0.,  1.]"}},
      {"floor", {"[-1.5, 1.5]", "[-2.,  1.]"}},
      {"round", {"[0.5, 1.5, 2.5]", "[0., 2., 2.]"}}};
  return examples;
}

void bind_unary(py::module_& m, TensorClass& c) {
  for (const UnaryInfo& info : unary_ops()) {
    const auto& [input, output] = unary_examples().at(info.name);
    const std::string doc =
        joined(info.summary, "\n\nExample:\n    >>> nl.", info.name, "(nl.tensor(", input,
               ")).numpy().round(4)\n    array(", output, ", dtype=float32)");
    bind_both(
        m, c, info.name, [op = info.op](const Tensor& x) { return apply(op, x); }, doc.c_str());
  }
}

}  // namespace

void bind_elementwise(py::module_& m, TensorClass& c) {
  bind_arithmetic(m, c);
  bind_signs(c);
  bind_power(m, c);
  bind_bounds(m, c);
  bind_changes(c);
  bind_comparisons(m, c);
  bind_masks(m, c);
  bind_unary(m, c);
}

}  // namespace normlab::bindings
