#pragma once

#include "op_table_packed.h"

// The table of ops: a row buys float64 gradients, the float32 kernels against the float64 ones, the
// GPU against the CPU, equal bits for every call and number of threads, and the refusal of dtypes
// (op_table_test.cpp).

namespace normlab::test {

/// Numbers that a function of one element takes.
enum class Domain { all, positive, integers_too };

/// A function of one element.
struct UnaryRow {
  std::string name;
  Tensor (*op)(const Tensor&);
  double (*formula)(double);
  double ulps = 3;  ///< greatest error of float32
  Domain domain = Domain::all;
  bool smooth = true;
};

inline double plain_sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
inline double plain_softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

inline const std::vector<UnaryRow> kUnaryRows = {
    {"neg", neg, [](double x) { return -x; }, 0, Domain::integers_too},
    {"abs", abs, [](double x) { return std::abs(x); }, 0, Domain::integers_too},
    {"exp", exp, [](double x) { return std::exp(x); }},
    {"log", log, [](double x) { return std::log(x); }, 3, Domain::positive},
    {"log1p", log1p, [](double x) { return std::log1p(x); }, 3, Domain::positive},
    {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0.5, Domain::positive},
    {"square", [](const Tensor& x) { return pow(x, 2); }, [](double x) { return x * x; }, 0.5,
     Domain::integers_too},
    {"cube", [](const Tensor& x) { return pow(x, 3); }, [](double x) { return x * x * x; }, 1.5,
     Domain::integers_too},
    {"sin", sin, [](double x) { return std::sin(x); }, 0.51},
    {"cos", cos, [](double x) { return std::cos(x); }, 0.51},
    {"relu", relu, [](double x) { return x < 0 ? 0 : x; }, 0},
    // A limit, 0, at -infinity. The tail of gelu is bounded absolutely, by gelu's own test.
    {"gelu", gelu,
     [](double x) { return x == -INFINITY ? 0 : x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }, 1e9},
    {"tanh", tanh, [](double x) { return std::tanh(x); }},
    {"sigmoid", sigmoid, plain_sigmoid},
    {"silu", silu, [](double x) { return x == -INFINITY ? 0 : x * plain_sigmoid(x); }},
    {"softplus", softplus, plain_softplus},
    {"sign", sign, [](double x) { return x > 0   ? 1
                                         : x < 0 ? -1
                                                 : x; }, 0, Domain::all, false},
    {"floor", floor, [](double x) { return std::floor(x); }, 0, Domain::all, false},
    {"round", round, [](double x) { return std::nearbyint(x); }, 0, Domain::all, false},
};

namespace rows {

constexpr DType kIntegers[] = {DType::int32, DType::int64, DType::uint8};
constexpr DType kMoved[] = {DType::int32, DType::int64, DType::uint8, DType::boolean};

inline OpRow unary(const UnaryRow& row) {
  OpRow r{row.name, [op = row.op](const Inputs& in) { return op(in[0]); }, {}};
  const bool integers = row.domain == Domain::integers_too;
  std::vector<Shape> shapes{{}, {0, 3}, {1}, {3, 5}, {37}, {513}, {4096}};
  if (row.name == "tanh") shapes.push_back({300001});  // the GPU's threads go round
  for (const Shape& shape : shapes) {
    const Tensor x = row.domain == Domain::positive ? positive(shape, 7) : leaf(shape, 7);
    r.inputs.push_back({row.smooth ? x : x.detach()});
  }
  r.edges = {{special()}};
  if (row.smooth) r.edges.push_back({special().set_requires_grad()});
  r.refuses_integers = !integers;
  for (const DType dtype : kIntegers)
    if (integers) r.exact.push_back({Tensor::of<int64_t>({5}, {0, 1, 127, 200, 255}).to(dtype)});
  return r;
}

using Binary = BinaryFunction;
inline OpRow binary(const std::string& name, Binary op, bool integers, bool positive_base = false) {
  OpRow r{name, [op](const Inputs& in) { return op(in[0], in[1]); }, {}, 1e-4};
  std::vector<std::pair<Shape, Shape>> shapes = kBroadcasts;
  shapes.insert(shapes.end(), {{{4, 5}, {4, 5}},
                               {{4, 5}, {5}},
                               {{4, 1}, {3}},
                               {{}, {2, 3}},
                               {{2, 1, 3}, {4, 1}},
                               {{6, 64}, {64}},
                               {{6, 64}, {6, 1}},
                               {{5, 1, 8}, {1, 3, 8}},
                               {{3, 70000}, {1}}});
  for (const auto& [a, b] : shapes) {
    const Tensor x = positive_base ? positive(a, 1) : leaf(a, 1), y = leaf(b, 2, 3, 0.5);
    r.inputs.push_back({x, y});
    if (a.numel() > 1000) continue;
    r.inputs.push_back({x, y.detach()});
    r.inputs.push_back({x.detach(), y});
    for (const DType dtype : kIntegers)
      if (integers)
        r.exact.push_back({mul(dtype == DType::uint8 ? abs(x.detach()) : x.detach(), 9).to(dtype),
                           (mul(abs(leaf(b, 2)), 9) + 1).to(dtype)});
  }
  const Tensor across = special().reshape({22, 1});  // all pairs
  r.edges = {{special(), across},
             {special().set_requires_grad(), across},
             {special(), special().reshape({22, 1}).set_requires_grad()}};
  r.refuses_integers = !integers;
  return r;
}

inline void add_elementwise(std::vector<OpRow>& all) {
  for (const UnaryRow& row : kUnaryRows) all.push_back(unary(row));
  all.push_back(binary("add", add, true));
  all.push_back(binary("sub", sub, true));
  all.push_back(binary("mul", mul, true));
  all.push_back(binary("div", div, false));
  all.back().refuses_integers = false;
  all.push_back(binary("maximum", maximum, true));
  all.push_back(binary("minimum", minimum, true));
  all.push_back(binary("pow", pow, true, true));
  all.back().edges.resize(1);  // its gradients overflow
  all.push_back(binary("leaky_relu", leaky_relu, false));
  all.push_back(binary("remainder", remainder, true));
  const auto number = [&](const std::string& name, const Op& call, const Tensor& x) {
    all.push_back({.name = name,
                   .call = call,
                   .inputs = {{x}, {leaf({0, 2}, 1)}},
                   .edges = {{special()}},
                   .refuses_integers = false});
  };
  const Tensor x = positive({3, 57}, 3);
  number(
      "x * number", [](const Inputs& in) { return in[0] * 2.5; }, x);
  number(
      "x + number", [](const Inputs& in) { return in[0] + 0.1; }, x);
  number(
      "number - x", [](const Inputs& in) { return 3.0 - in[0]; }, x);
  number(
      "x / number", [](const Inputs& in) { return in[0] / 3.0; }, x);
  number(
      "number / x", [](const Inputs& in) { return 2.0 / in[0]; }, x);
  number(
      "x ** 2.5", [](const Inputs& in) { return pow(in[0], 2.5); }, x);
  number(
      "x ** 0", [](const Inputs& in) { return pow(in[0], 0); }, x);
  number(
      "x ** -1", [](const Inputs& in) { return pow(in[0], -1); }, x);
  number(
      "1.7 ** x", [](const Inputs& in) { return pow(1.7, in[0]); }, x);
  number(
      "leaky_relu(x, 0.2)", [](const Inputs& in) { return leaky_relu(in[0], 0.2); },
      leaf({3, 57}, 3));
  number(
      "clamp(x, -0.5, 0.7)", [](const Inputs& in) { return clamp(in[0], -0.5, 0.7); },
      leaf({3, 57}, 3));
  all.push_back({.name = "clamp between tensors",
                 .call = [](const Inputs& in) { return clamp(in[0], in[1], in[2]); },
                 .inputs = {{leaf({4, 5}, 1), leaf({5}, 2, -0.5, 0.1), leaf({4, 1}, 3, 0.5, 0.1)}},
                 .refuses_integers = false});
}

inline void add_masking(std::vector<OpRow>& all) {
  OpRow pick{"where", [](const Inputs& in) { return where(in[0], in[1], in[2]); }, {}, 2e-5};
  const std::vector<std::vector<Shape>> shapes = {
      {{}, {}, {}},          {{0}, {1}, {0}},         {{4, 5}, {4, 5}, {4, 5}},
      {{4, 5}, {5}, {4, 1}}, {{4, 5}, {}, {3, 4, 5}}, {{513}, {513}, {513}},
      {{64}, {64}, {64}},    {{6, 1}, {64}, {6, 64}}, {{3, 1, 4}, {5, 1}, {1, 5, 4}},
      {{70000}, {}, {70000}}};
  for (const std::vector<Shape>& s : shapes) {
    pick.inputs.push_back({coins(s[0], 1), leaf(s[1], 2), leaf(s[2], 3)});
    for (const DType dtype : kMoved)
      pick.exact.push_back({coins(s[0], 1), coins(s[1], 2).to(dtype), coins(s[2], 3).to(dtype)});
  }
  pick.refuses_integers = false;
  all.push_back(pick);
  OpRow fill{"masked_fill", [](const Inputs& in) { return masked_fill(in[1], in[0], 7); }, {}};
  for (const Shape& mask : {Shape{4, 33}, Shape{33}, Shape{4, 1}, Shape{}}) {
    fill.inputs.push_back({coins(mask, 3), leaf({4, 33}, 1)});
    fill.exact.push_back({coins(mask, 3), leaf({4, 33}, 1)});
    fill.inputs.push_back({coins(mask, 3), leaf({3, 4, 33}, 1)});
  }
  fill.exact.push_back({coins({5}, 2), coins({5}, 1).to(DType::uint8)});
  fill.refuses_integers = false;
  all.push_back(fill);
  OpRow tensor{"masked_fill with a tensor",
               [](const Inputs& in) { return masked_fill(in[1], in[0], in[2]); },
               {}};
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1}})
    tensor.inputs.push_back({coins({3, 4}, 9), leaf({3, 4}, 1), leaf(shape, 2)});
  tensor.refuses_integers = false;
  all.push_back(tensor);
}

/// A row for each of the axes, as their number is part of the call.
template <class Call>
void add_reduction(std::vector<OpRow>& all, const std::string& name, double float32,
                   const Call& call, bool of_one = true, bool of_none = false) {
  std::vector<ReducedAxes> cases = kReducedAxes;
  for (const std::vector<int>& axes :
       std::vector<std::vector<int>>{{}, {0}, {1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}, {1, 0, 2}})
    cases.push_back({{3, 4, 5}, axes});
  cases.insert(cases.end(), {{{100000}, {}},
                             {{2, 40000, 3}, {1}},
                             {{3000, 40}, {0}},
                             {{300, 9}, {1}},
                             {{5, 33}, {1}},
                             {{2, 3, 1025}, {2}},
                             {{6, 5, 4, 3}, {0, 2}}});
  if (of_none) cases.insert(cases.end(), {{{0, 3}, {0}}, {{3, 0}, {0}}});
  for (const ReducedAxes& c : cases)
    for (const bool keepdim : {false, true}) {
      if (keepdim && c.shape != Shape{3, 4, 5}) continue;
      if (!of_one && sum(Tensor::ones(c.shape), c.axes).numel() == c.shape.numel()) continue;
      OpRow row{name + " of " + c.shape.str(),
                [=, axes = c.axes](const Inputs& in) { return call(in[0], axes, keepdim); },
                {{leaf(c.shape, 8, 0.5)}},
                float32};
      row.refuses_integers = false;
      if (name == "sum")
        for (const DType dtype : kMoved)
          row.exact.push_back({mul(abs(leaf(c.shape, 8, 0.5).detach()), 5).to(dtype)});
      all.push_back(row);
    }
}

inline void add_reductions(std::vector<OpRow>& all) {
  using Axes = std::vector<int>;
  add_reduction(
      all, "sum", 2e-6, [](const Tensor& x, const Axes& a, bool keep) { return sum(x, a, keep); },
      true, true);
  add_reduction(all, "mean", 1e-6,
                [](const Tensor& x, const Axes& a, bool keep) { return mean(x, a, keep); });
  add_reduction(all, "var", 1e-5,
                [](const Tensor& x, const Axes& a, bool keep) { return var(x, a, keep); });
  add_reduction(
      all, "var with correction", 1e-5,
      [](const Tensor& x, const Axes& a, bool keep) { return var(x, a, keep, 1); }, false);
  for (const auto& axes : std::vector<Axes>{{}, {0}, {-1}, {0, 2}, {1, 0, 2}})
    for (const bool keep : {false, true})
      all.push_back({.name = "logsumexp",
                     .call = [=](const Inputs& in) { return logsumexp(in[0], axes, keep); },
                     .inputs = {{leaf({3, 4, 5}, 1, 0, 3)}, {leaf({2, 1, 1}, 2)}},
                     .bfloat16 = 3e-2});
  for (const auto& [shape, axis] : std::vector<std::pair<Shape, int>>{{{1}, 0},
                                                                      {{3, 5}, 1},
                                                                      {{3, 5}, 0},
                                                                      {{7, 513}, -1},
                                                                      {{513, 7}, 0},
                                                                      {{2, 9, 4}, 1},
                                                                      {{2, 1500}, 1},
                                                                      {{40000, 2}, 0},
                                                                      {{1, 40000}, 1},
                                                                      {{0, 3}, 1},
                                                                      {{33, 1, 2}, 1}}) {
    const Tensor x = leaf(shape, 4), equals = round(x.detach());
    const Tensor with_nan = where(compare(x.detach(), 1.5, Comparison::gt),
                                  Tensor::scalar(NAN, DType::float64), x.detach());
    std::vector<Inputs> others{{with_nan}, {equals}};
    for (const DType dtype : kMoved) others.push_back({abs(equals).to(dtype)});
    OpRow greatest{"max", [axis = axis](const Inputs& in) { return max(in[0], axis); }, {{x}}};
    greatest.exact = others;
    greatest.exact.push_back({equals.clone().set_requires_grad()});
    greatest.exact.push_back({x});
    greatest.refuses_integers = false;
    all.push_back(greatest);
    OpRow place{"argmax", [axis = axis](const Inputs& in) { return argmax(in[0], axis); }, {}};
    place.exact = others;
    place.refuses_integers = false;
    all.push_back(place);
    if (shape.numel() > 0)
      all.push_back({.name = "max of all",
                     .call = [](const Inputs& in) { return max(in[0]); },
                     .inputs = {{x}},
                     .refuses_integers = false});
  }
  all.push_back({.name = "argmax",
                 .call = [](const Inputs& in) { return argmax(in[0], 1); },
                 .exact = {{Tensor::full({3, 40}, -INFINITY, DType::float64)}},
                 .refuses_integers = false});
  for (const int axis : {0, 1, 2})
    all.push_back({.name = "max with keepdim",
                   .call = [=](const Inputs& in) { return max(in[0], axis, true); },
                   .inputs = {{leaf({3, 4, 5}, 8, 1)}},
                   .refuses_integers = false});
  for (const int axis : {-1, 0, 1})
    all.push_back({.name = "l2_normalize",
                   .call = [=](const Inputs& in) { return l2_normalize(in[0], axis); },
                   .inputs = {{leaf({3, 4, 5}, 1, 0, 3)}, {leaf({0, 3}, 1)}, {leaf({3, 0}, 1)}},
                   .bfloat16 = 3e-2});
  all.push_back({.name = "l2_normalize below eps",
                 .call = [](const Inputs& in) { return l2_normalize(in[0], -1, 100); },
                 .inputs = {{leaf({3, 4, 5}, 1, 0, 3)}}});
}

inline void add_softmax(std::vector<OpRow>& all) {
  const Tensor extreme = Tensor::of<double>(
      {5, 3},
      {1e4, -1e4, 0, NAN, 1, 2, INFINITY, 0, 1, -INFINITY, 0, 1, -INFINITY, -INFINITY, -INFINITY});
  for (const bool log : {false, true}) {
    OpRow row{log ? "log_softmax" : "softmax",
              [=](const Inputs& in) { return log ? log_softmax(in[0]) : softmax(in[0]); },
              {},
              1e-5,
              0.03};
    for (const Shape& shape :
         {Shape{1}, Shape{3, 1}, Shape{7, 3}, Shape{9, 33}, Shape{3, 513}, Shape{2, 3, 129},
          Shape{2, 8192}, Shape{2, 8200}, Shape{0, 5}, Shape{3, 0}, Shape{3, 4, 5}})
      row.inputs.push_back({leaf(shape, 1, 0, 3)});
    row.edges = {{extreme}};
    all.push_back(row);
    for (const int axis : {0, 1})
      all.push_back({.name = row.name,
                     .call =
                         [=](const Inputs& in) {
                           return log ? log_softmax(in[0], axis) : softmax(in[0], axis);
                         },
                     .inputs = {{leaf({3, 4, 5}, 4)}}});
  }
}

/// Ops that move elements: equal bits in every dtype.
inline OpRow moving(const std::string& name, const Op& call, const Shape& shape) {
  OpRow row{name, call, {{leaf(shape, 1)}}};
  row.exact = {{leaf(shape, 1)},
               {remainder(Tensor::arange(shape.numel()), 251).reshape(shape).to(DType::uint8)},
               {coins(shape, 2)}};
  row.refuses_integers = false;
  return row;
}

inline void add_shapes(std::vector<OpRow>& all) {
  const std::vector<std::pair<Shape, std::vector<int>>> orders{
      {{5}, {0}},
      {{3, 7}, {1, 0}},
      {{33, 65}, {1, 0}},
      {{9, 8}, {1, 0}},
      {{200, 130}, {1, 0}},
      {{3, 4, 5}, {2, 0, 1}},
      {{3, 4, 5}, {}},
      {{2, 33, 18}, {0, 2, 1}},
      {{4, 5, 3, 16}, {0, 2, 1, 3}},
      {{2, 3, 17, 19}, {0, 2, 3, 1}},
      {{2, 17, 19, 3}, {0, 3, 1, 2}},
      {{40, 2, 3, 50}, {3, 1, 0, 2}},
      {{3, 1, 4, 1, 5}, {4, 3, 2, 1, 0}},
      {{2, 3, 2, 3, 2, 3}, {5, 0, 3, 2, -2, 1}},
      {{0, 4}, {1, 0}}};
  for (const auto& [shape, order] : orders)
    all.push_back(moving(
        "transpose", [order = order](const Inputs& in) { return transpose(in[0], order); }, shape));
  const std::vector<std::pair<Shape, Shape>> targets{
      {{}, {1000}},          {{}, {3, 4}},
      {{1}, {0, 3}},         {{5, 1}, {5, 64}},
      {{5, 1}, {5, 7}},      {{64}, {9, 64}},
      {{3}, {9, 3}},         {{2, 1, 8}, {4, 2, 3, 8}},
      {{70000}, {2, 70000}}, {{3, 1, 2}, {2, 3, 4, 2}}};
  for (const auto& [from, to] : targets) {
    all.push_back(moving(
        "broadcast_to", [to = to](const Inputs& in) { return broadcast_to(in[0], to); }, from));
    all.back().exact.erase(all.back().exact.begin());  // gradients are sums
  }
  for (const Shape& shape :
       {Shape{1}, Shape{33}, Shape{12, 64}, Shape{7, 5, 6}, Shape{3, 0, 2}, Shape{3, 4, 5}}) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int64_t n = shape[axis];
      Shape longer = shape;
      longer[axis] += 3;
      OpRow joined{"concat",
                   [=](const Inputs& in) {
                     return concat({in[0], in[1], in[0]}, axis);
                   },
                   {{leaf(shape, 1), leaf(longer, 2)}, {leaf(shape, 1), leaf(longer, 2).detach()}}};
      joined.exact = {{Tensor::ones(shape, DType::boolean), Tensor::zeros(longer, DType::boolean)}};
      joined.float32 = 1e-6;
      joined.refuses_integers = false;
      all.push_back(joined);
      for (const int64_t step : {int64_t{1}, int64_t{2}, int64_t{5}, int64_t{1} << 60})
        all.push_back(moving(
            "slice", [=](const Inputs& in) { return slice(in[0], axis, n > 2 ? 1 : 0, n, step); },
            shape));
    }
    all.push_back(moving(
        "flatten", [](const Inputs& in) { return flatten(in[0]); }, shape));
    all.push_back(moving(
        "clone", [](const Inputs& in) { return in[0].clone(); }, shape));
  }
}

}  // namespace rows

inline const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> table = [] {
    std::vector<OpRow> all;
    rows::add_elementwise(all);
    rows::add_masking(all);
    rows::add_reductions(all);
    rows::add_softmax(all);
    rows::add_shapes(all);
    rows::add_indexing(all);
    rows::add_packed(all);
    return all;
  }();
  return table;
}

}  // namespace normlab::test
