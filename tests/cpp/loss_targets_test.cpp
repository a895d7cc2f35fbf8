#include <cmath>
#include <limits>

#include "catch.h"
#include "kernel_checks.h"

// Class weights and targets that are probabilities; the rest of cross_entropy is in loss_test.cpp.

using namespace normlab;
using namespace normlab::test;

namespace {

using Inputs = std::vector<Tensor>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Positive numbers; one of them is 0.
Tensor weights(int64_t n, uint64_t seed, DType dtype = DType::float32) {
  Generator generator(seed);
  Tensor w = rand({n}, 0.2, 3, DType::float64, generator);
  if (n > 2) w.data<double>()[1] = 0;
  return w.to(dtype);
}

/// Rows that add up to 1; every third class has 0.
Tensor probabilities(const Shape& shape, uint64_t seed, DType dtype = DType::float32) {
  Generator generator(seed);
  Tensor p = rand(shape, 0.1, 1, DType::float64, generator);
  const int64_t n = shape[shape.rank() - 1];
  for (int64_t i = 0; n > 2 && i < p.numel(); ++i)
    if (i % n % 3 == 1) p.data<double>()[i] = 0;
  return (p / sum(p, {-1}, true)).to(dtype);
}

Tensor classes(const Shape& shape, int64_t n, uint64_t seed) {
  Generator generator(seed);
  return randint(0, n, shape, generator);
}

/// The formula, row by row, in float64: -sum_c w[c] (t[c] (1 - s) + s / n) log softmax(x)[c].
std::vector<double> plain_losses(const Tensor& logits, const Tensor& t, const Tensor& w,
                                 double smoothing) {
  const std::vector<double> x = log_softmax(logits.to(DType::float64)).to_vector();
  const std::vector<double> target = t.to_vector(), weight = w.to_vector();
  const size_t n = weight.size();
  std::vector<double> losses;
  for (size_t row = 0; row < x.size() / n; ++row) {
    double loss = 0;
    for (size_t c = 0; c < n; ++c) {
      const double share = target[row * n + c] * (1 - smoothing) + smoothing / n;
      if (weight[c] * share != 0) loss -= weight[c] * share * x[row * n + c];
    }
    losses.push_back(loss);
  }
  return losses;
}

Tensor one_hot(const Tensor& classes, int64_t n) {
  Shape shape = classes.shape();
  shape.push_back(n);
  Tensor t = Tensor::zeros(shape, DType::float64);
  for (int64_t r = 0; r < classes.numel(); ++r)
    t.data<double>()[r * n + classes.data<int64_t>()[r]] = 1;
  return t;
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum;
}

}  // namespace

TEST_CASE("cross_entropy with class weights is its formula", "[loss]") {
  const Shape shape =
      GENERATE(Shape{1, 1}, Shape{7, 3}, Shape{5, 16}, Shape{2, 3, 37}, Shape{3, 30011}, Shape{10});
  const double smoothing = GENERATE(0.0, 0.1);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(shape, smoothing, dtype);
  const int64_t n = shape[shape.rank() - 1];
  const Tensor x = random(shape, 1, dtype), w = weights(n, 2, dtype);
  const Tensor t = classes(shape.sub(0, shape.rank() - 1), n, 3);
  const std::vector<double> want = plain_losses(x, one_hot(t, n), w, smoothing);
  const double tolerance = dtype == DType::float32 ? 5e-6 : 1e-11;
  const auto loss = [&](Reduction reduction) {
    return cross_entropy(x, t, {.label_smoothing = smoothing, .reduction = reduction, .weight = w});
  };
  CHECK(worst(loss(Reduction::none).to_vector(), want) < tolerance);
  CHECK(std::abs(loss(Reduction::sum).item() - total(want)) < 10 * tolerance);
  double divisor = 0;
  for (const double c : t.to_vector()) divisor += w.to_vector()[static_cast<size_t>(c)];
  const double mean = loss(Reduction::mean).item();
  if (divisor > 0)
    CHECK(std::abs(mean - total(want) / divisor) < tolerance);
  else
    CHECK(std::isnan(mean));
}

TEST_CASE("cross_entropy of probabilities is its formula", "[loss]") {
  const Shape shape =
      GENERATE(Shape{1, 1}, Shape{7, 3}, Shape{5, 16}, Shape{2, 3, 37}, Shape{3, 30011}, Shape{10});
  const double smoothing = GENERATE(0.0, 0.1);
  const bool weighted = GENERATE(false, true);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(shape, smoothing, weighted, dtype);
  const int64_t n = shape[shape.rank() - 1];
  const Tensor x = random(shape, 1, dtype), t = probabilities(shape, 2, dtype);
  const Tensor w = weighted ? weights(n, 3, dtype) : Tensor::ones({n}, dtype);
  const std::vector<double> want = plain_losses(x, t, w, smoothing);
  const double tolerance = dtype == DType::float32 ? 5e-6 : 1e-11;
  const auto loss = [&](Reduction reduction) {
    return cross_entropy(
        x, t,
        {.label_smoothing = smoothing, .reduction = reduction, .weight = weighted ? w : Tensor()});
  };
  CHECK(worst(loss(Reduction::none).to_vector(), want) < tolerance);
  CHECK(loss(Reduction::none).shape() == shape.sub(0, shape.rank() - 1));
  CHECK(std::abs(loss(Reduction::sum).item() - total(want)) < 10 * tolerance);
  // By rows, not by weights.
  CHECK(std::abs(loss(Reduction::mean).item() - total(want) / want.size()) < tolerance);
}

TEST_CASE("gradient of cross_entropy with weights and of probabilities", "[loss][grad]") {
  const double smoothing = GENERATE(0.0, 0.2);
  const Reduction reduction = GENERATE(Reduction::none, Reduction::sum, Reduction::mean);
  CAPTURE(smoothing, static_cast<int>(reduction));
  Tensor t = classes({2, 3}, 5, 4);
  t.data<int64_t>()[2] = -100;
  const Tensor w = weights(5, 1, DType::float64);
  const auto by_class = [&](const Inputs& in) {
    return cross_entropy(in[0], t, {smoothing, -100, reduction, w});
  };
  CHECK(gradient_error(by_class, {leaf({2, 3, 5}, 3)}) < 1e-6);
  for (const Tensor& weight : {Tensor(), w}) {
    const auto op = [&](const Inputs& in) {
      return cross_entropy(in[0], in[1], {smoothing, std::nullopt, reduction, weight});
    };
    Tensor p = probabilities({2, 3, 5}, 2, DType::float64);
    CHECK(gradient_error(op, {leaf({2, 3, 5}, 3), p}) < 1e-6);
    p.set_requires_grad();
    CHECK(gradient_error(op, {leaf({2, 3, 5}, 3), p}) < 1e-6);
    CHECK(gradient_error(op, {leaf({2, 3, 5}, 3).detach(), p}) < 1e-6);
  }
}

TEST_CASE("float32 gradients with weights and of probabilities are those of float64",
          "[loss][grad]") {
  const int64_t n = GENERATE(1, 3, 16, 37, 513);
  const double smoothing = GENERATE(0.0, 0.1);
  CAPTURE(n, smoothing);
  const auto gradients = [&](DType dtype, bool by_class) {
    Tensor x = random({6, n}, 5).to(dtype), p = probabilities({6, n}, 6).to(dtype);
    x.set_requires_grad();
    p.set_requires_grad();
    const CrossEntropyOptions options{.label_smoothing = smoothing,
                                      .weight = weights(n, 7).to(dtype)};
    cross_entropy(x, by_class ? classes({6}, n, 8) : p, options)
        .backward(Tensor::scalar(2.5, dtype));
    return joined({x.grad(), by_class ? Tensor() : p.grad()});
  };
  for (const bool by_class : {false, true})
    CHECK(worst(gradients(DType::float32, by_class), gradients(DType::float64, by_class)) < 3e-6);
}

TEST_CASE("weights of one change nothing, nor do probabilities that are classes", "[loss]") {
  for (const double smoothing : {0.0, 0.1}) {
    const Tensor x = random({9, 33}, 1, DType::float64), t = classes({9}, 33, 2);
    const double want = cross_entropy(x, t, {.label_smoothing = smoothing}).item();
    const CrossEntropyOptions ones{.label_smoothing = smoothing,
                                   .weight = Tensor::ones({33}, DType::float64)};
    CHECK(std::abs(cross_entropy(x, t, ones).item() - want) < 1e-14);
    CHECK(std::abs(cross_entropy(x, one_hot(t, 33), {.label_smoothing = smoothing}).item() - want) <
          1e-14);
  }
}

TEST_CASE("classes that count nothing may have infinite logits", "[loss]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor x = Tensor::zeros({1, 40});
    x.data<float>()[39] = -kInf;
    const Tensor logits = x.to(dtype);
    Tensor p = Tensor::full({1, 40}, 1.0 / 39, dtype);
    Tensor hot = one_hot(Tensor::of<int64_t>({1}, {0}), 40).to(dtype);
    CHECK(std::abs(cross_entropy(logits, hot).item() - std::log(39.0)) < 1e-6);
    CHECK(cross_entropy(logits, p).item() == kInf);
    Tensor w = Tensor::ones({40});
    w.data<float>()[39] = 0;
    const CrossEntropyOptions options{.label_smoothing = 0.1, .weight = w.to(dtype)};
    CHECK(std::isfinite(cross_entropy(logits, p, options).item()));
    CHECK(std::isfinite(cross_entropy(logits, Tensor::of<int64_t>({1}, {0}), options).item()));
    // A row whose class has no weight: 0 of 0.
    const CrossEntropyOptions each{.reduction = Reduction::none, .weight = w.to(dtype)};
    CHECK(cross_entropy(logits, Tensor::of<int64_t>({1}, {39}), each).item() == 0);
    hot.set_requires_grad();
    cross_entropy(logits, hot).backward();
    const std::vector<double> g = hot.grad().to_vector();
    CHECK(g[39] == kInf);  // -log 0
    CHECK(std::abs(g[0] - std::log(39.0)) < 1e-6);
  }
}

TEST_CASE("a mean over classes without weight is NaN with gradient 0", "[loss]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor x = random({2, 3}, 1, dtype);
    x.set_requires_grad();
    const Tensor w = Tensor::of<float>({3}, {0, 1, 1}).to(dtype);
    const Tensor loss = cross_entropy(x, Tensor::of<int64_t>({2}, {0, 0}), {.weight = w});
    CHECK(std::isnan(loss.item()));
    loss.backward();
    CHECK(max_difference(x.grad(), Tensor::zeros({2, 3}, dtype)) == 0);
    const Tensor none = cross_entropy(Tensor::zeros({0, 3}, dtype), Tensor::zeros({0, 3}, dtype));
    CHECK(std::isnan(none.item()));
  }
}

TEST_CASE("rows that are ignored count nothing beside weights", "[loss]") {
  Tensor x = random({3, 20}, 7);
  x.data<float>()[25] = kNan;
  x.set_requires_grad();
  const Tensor w = weights(20, 1), t = Tensor::of<int64_t>({3}, {4, -1, 19});
  const Tensor loss = cross_entropy(x, t, {.ignore_index = -1, .weight = w});
  const Tensor rest = concat({x.detach().slice(0, 1), x.detach().slice(2, 3)});
  CHECK(std::abs(loss.item() -
                 cross_entropy(rest, Tensor::of<int64_t>({2}, {4, 19}), {.weight = w}).item()) <
        1e-6);
  loss.backward();
  for (int64_t i = 20; i < 40; ++i) CHECK(x.grad().to_vector()[static_cast<size_t>(i)] == 0);
}

TEST_CASE("what a loss was given must not change before backward", "[loss][grad]") {
  for (const int changed : {0, 1, 2}) {
    Tensor x = random({2, 3}, 1), t = probabilities({2, 3}, 2), w = weights(3, 3);
    x.set_requires_grad();
    const Tensor loss = cross_entropy(x, t, {.weight = w});
    (changed == 0 ? x : changed == 1 ? t : w).fill_(0.5);
    CHECK(error_of<GradError>([&] { loss.backward(); }) != "");
  }
}

TEST_CASE("weighted losses do not depend on the number of threads", "[loss]") {
  for (const bool by_class : {false, true}) {
    CHECK(same_for_any_threads([&] {
      Tensor x = random({300, 1000}, 10), p = probabilities({300, 1000}, 12);
      x.set_requires_grad();
      p.set_requires_grad();
      const CrossEntropyOptions options{.label_smoothing = 0.1, .weight = weights(1000, 2)};
      const Tensor loss = cross_entropy(x, by_class ? classes({300}, 1000, 11) : p, options);
      loss.backward();
      return joined({loss, x.grad(), by_class ? Tensor() : p.grad()});
    }));
  }
}

TEST_CASE("cross_entropy says what is wrong with weights and probabilities", "[loss][error]") {
  const Tensor x = random({2, 3}, 12), t = Tensor::of<int64_t>({2}, {0, 1});
  const auto weighted = [&](const Tensor& w) { cross_entropy(x, t, {.weight = w}); };
  CHECK(error_of<ShapeError>([&] { weighted(Tensor::ones({2})); }) ==
        "cross_entropy: weight must be [3], one number for each class of logits [2, 3], got [2]");
  CHECK(error_of<DtypeError>([&] { weighted(Tensor::ones({3}, DType::float64)); }) ==
        "cross_entropy: weight must be float32 as logits, got float64; to('float32') converts");
  CHECK(error_of<GradError>([&] { weighted(Tensor::ones({3}).set_requires_grad()); }) ==
        "cross_entropy: weight is a constant here and gets no gradient; pass weight.detach()");
  {
    const NoGrad no_grad;
    CHECK_NOTHROW(weighted(Tensor::ones({3}).set_requires_grad()));
  }
  CHECK(error_of<ShapeError>([&] { cross_entropy(x, Tensor::zeros({2})); }) ==
        "cross_entropy: targets that are floating are probabilities: they must be [2, 3] as "
        "logits, got float32 [2]; class indices must be int32 or int64");
  CHECK(error_of<DtypeError>([&] {
          cross_entropy(x, Tensor::zeros({2, 3}, DType::float64));
        }) ==
        "cross_entropy: targets must be float32 as logits, got float64; to('float32') converts");
  CHECK(error_of<DtypeError>([&] { cross_entropy(x, Tensor::zeros({2}, DType::uint8)); }) ==
        "cross_entropy: targets must be int32 or int64 class indices of shape [2], or "
        "probabilities of logits' shape and dtype, got uint8 [2]");
  CHECK(error_of<ShapeError>([&] {
          cross_entropy(x, Tensor::zeros({2, 3}, DType::int64));
        }) ==
        "cross_entropy: targets must be [2], one class for each row of logits [2, 3], got [2, 3]");
  CHECK(error_of<ArgumentError>([&] {
          cross_entropy(x, Tensor::zeros({2, 3}), {.ignore_index = 0});
        }) == "cross_entropy: ignore_index is for target classes, not for probabilities");
}

TEST_CASE("weighted losses on the GPU agree with the CPU", "[loss][cuda]") {
  const Shape shape = GENERATE(Shape{1, 1}, Shape{3, 5}, Shape{2, 9, 33}, Shape{1100, 4},
                               Shape{3, 513}, Shape{2, 9001});
  const Reduction reduction = GENERATE(Reduction::none, Reduction::sum, Reduction::mean);
  const double smoothing = GENERATE(0.0, 0.3);
  CAPTURE(shape, static_cast<int>(reduction), smoothing);
  const int64_t n = shape[shape.rank() - 1];
  const Tensor t = classes(shape.sub(0, shape.rank() - 1), n, 1);
  const Tensor w = weights(n, 2, DType::float64);
  const auto stored = [](const Tensor& v, const Tensor& like) {
    return v.to(like.dtype()).to(like.device());
  };
  const auto by_class = [&](const Inputs& in) {
    return cross_entropy(in[0], t.to(in[0].device()), {smoothing, 0, reduction, stored(w, in[0])});
  };
  const auto shares = [&](const Inputs& in) {
    return cross_entropy(in[0], in[1], {smoothing, std::nullopt, reduction, stored(w, in[0])});
  };
  const auto bare = [&](const Inputs& in) {
    return cross_entropy(in[0], in[1], {smoothing, std::nullopt, reduction});
  };
  const Tensor x = leaf(shape, 2, 0, 2);
  Tensor p = probabilities(shape, 3, DType::float64);
  p.set_requires_grad();
  const double most = reduction == Reduction::sum ? 3e-4 : 2e-5;
  CHECK(cuda_difference(by_class, {x}) < 1e-12);
  CHECK(cuda_difference(by_class, {x}, DType::float32) < most);
  CHECK(cuda_difference(shares, {x, p}) < 1e-12);
  CHECK(cuda_difference(shares, {x, p}, DType::float32) < most);
  CHECK(cuda_difference(bare, {x, p}) < 1e-12);
  CHECK(cuda_difference(bare, {x.detach(), p}) < 1e-12);
  CHECK(cuda_difference(bare, {x, p.detach()}) < 1e-12);
}

TEST_CASE("bfloat16 losses of probabilities on the GPU", "[loss][cuda]") {
  const auto op = [](const Inputs& in) { return cross_entropy(in[0], in[1]); };
  Tensor p = probabilities({5, 33}, 3, DType::float64);
  p.set_requires_grad();
  CHECK(cuda_difference(op, {leaf({5, 33}, 2, 0, 2), p}, DType::bfloat16) < 0.03);
}

TEST_CASE("extreme weighted losses on the GPU are the CPU's", "[loss][cuda]") {
  const Tensor w = Tensor::of<double>({2}, {0, 1});
  for (const Reduction reduction : {Reduction::none, Reduction::sum, Reduction::mean}) {
    CAPTURE(static_cast<int>(reduction));
    const auto of_class = [&](int64_t c) {
      return [&, c](const Inputs& in) {
        const Tensor t =
            Tensor::full({in[0].size(0)}, static_cast<double>(c), DType::int64, in[0].device());
        return cross_entropy(in[0], t,
                             {0.0, -1, reduction, w.to(in[0].dtype()).to(in[0].device())});
      };
    };
    const auto shares = [&](const Inputs& in) {
      return cross_entropy(in[0], in[1], {.reduction = reduction});
    };
    const Tensor extreme =
        Tensor::of<double>({3, 2}, {0, -kInf, -kInf, 0, 1e4f, -1e4f}).set_requires_grad();
    for (const int64_t c : {-1, 0, 1}) {
      CHECK(cuda_difference(of_class(c), {leaf({0, 2}, 1)}) == 0);
      CHECK(cuda_difference(of_class(c), {extreme}) < 1e-12);
    }
    const Tensor p = Tensor::of<double>({3, 2}, {1, 0, 0, 1, 0.5, 0.5}).set_requires_grad();
    CHECK(cuda_difference(shares, {extreme, p}) < 1e-12);
    CHECK(cuda_difference(shares, {leaf({0, 2}, 1), leaf({0, 2}, 2)}) == 0);
  }
}
