#include "normlab/optim.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

using namespace normlab;
using namespace normlab::optim;
using test::contains;
using test::error_of;
using test::same_bits;
using test::with_threads;

namespace {

using Doubles = std::vector<double>;

Tensor normal(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

Tensor parameter(const Shape& shape, unsigned seed) {
  return normal(shape, seed).set_requires_grad();
}

/// Puts a sparse gradient on w, through the tape as an embedding does.
void set_sparse_grad(Tensor& w, const std::vector<int64_t>& rows, const Tensor& values) {
  const SparseRows sparse{Tensor::of({static_cast<int64_t>(rows.size())}, rows), values, w.shape()};
  w.zero_grad();
  record("rows", Tensor::scalar(0), {w}, [sparse](const Tensor&, Needs) -> Grads {
    return {sparse};
  }).backward();
  REQUIRE(w.sparse_grad());
}

bool near(double a, double b, double relative = 1e-9) {
  return std::abs(a - b) <= relative * std::abs(b);
}

/// Adam as the papers state it, in double, for one parameter.
struct PlainAdam {
  double lr;
  AdamOptions o;
  bool decoupled;
  Doubles w, m, v;
  int step = 0;

  void update(Doubles g) {
    ++step;
    m.resize(w.size());
    v.resize(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      if (decoupled)
        w[i] -= lr * o.weight_decay * w[i];
      else
        g[i] += o.weight_decay * w[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g[i];
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g[i] * g[i];
      const double m_hat = m[i] / (1 - std::pow(o.beta1, step));
      const double v_hat = v[i] / (1 - std::pow(o.beta2, step));
      w[i] -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
    }
  }
};

/// SGD as PyTorch states it, in double.
struct PlainSgd {
  double lr;
  SGDOptions o;
  Doubles w, b;

  void update(Doubles g) {
    b.resize(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      g[i] += o.weight_decay * w[i];
      b[i] = o.momentum * b[i] + g[i];
      w[i] -= lr * (o.nesterov ? g[i] + o.momentum * b[i] : o.momentum > 0 ? b[i] : g[i]);
    }
  }
};

/// The greatest difference between an optimizer and its plain form after some steps on parameters
/// of several shapes, one of them longer than a chunk.
template <class Plain>
double error_against(const std::function<std::unique_ptr<Optimizer>(std::vector<Tensor>)>& make,
                     const Plain& plain, Device device = Device::cpu) {
  std::vector<Tensor> w = {parameter({3, 5}, 1), parameter({0, 4}, 2), parameter({}, 3),
                           parameter({513, 17}, 4)};
  // Many, as a network has, and one that is not aligned.
  for (unsigned k = 5; device == Device::cuda && k < 100; ++k) w.push_back(parameter({k}, k));
  for (Tensor& x : w) x = x.detach().to(device).set_requires_grad();
  if (device == Device::cuda)
    w.push_back(normal({2049}, 1).to(device).slice(1, 2049).detach().set_requires_grad());
  std::vector<Plain> expected(w.size(), plain);
  for (size_t k = 0; k < w.size(); ++k) expected[k].w = w[k].to_vector();
  const std::unique_ptr<Optimizer> optimizer = make(w);
  for (unsigned step = 0; step < 7; ++step) {
    for (size_t k = 0; k < w.size(); ++k) {
      w[k].set_grad(normal(w[k].shape(), 100 + 10 * step + static_cast<unsigned>(k)).to(device));
      expected[k].update(w[k].grad().to_vector());
    }
    optimizer->step();
  }
  double worst = 0;
  for (size_t k = 0; k < w.size(); ++k) {
    const Doubles got = w[k].to_vector();
    for (size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(got[i] - expected[k].w[i]) / (1 + std::abs(got[i])));
  }
  return worst;
}

template <class Kind, class Options>
auto maker(double lr, const Options& options) {
  return [=](std::vector<Tensor> w) { return std::make_unique<Kind>(std::move(w), lr, options); };
}

}  // namespace

TEST_CASE("optim: Adam and AdamW follow their papers", "[optim]") {
  const AdamOptions cases[] = {{},
                               {.weight_decay = 0.1},
                               {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3},
                               {.beta1 = 0, .beta2 = 0, .eps = 0.5, .weight_decay = 0.01}};
  for (const AdamOptions& o : cases) {
    CAPTURE(o.beta1, o.beta2, o.eps, o.weight_decay);
    CHECK(error_against(maker<Adam>(0.01, o), PlainAdam{0.01, o, false, {}, {}, {}}) < 1e-6);
    CHECK(error_against(maker<AdamW>(0.01, o), PlainAdam{0.01, o, true, {}, {}, {}}) < 1e-6);
  }
}

TEST_CASE("optim: the GPU's steps follow the papers too", "[optim][cuda]") {
  if (!test::has_device()) return;
  const auto error = [](const auto& make, const auto& plain) {
    return error_against(make, plain, Device::cuda);
  };
  for (const AdamOptions& o : {AdamOptions{}, {.beta1 = 0.8, .eps = 1e-3, .weight_decay = 0.1}}) {
    CHECK(error(maker<Adam>(0.01, o), PlainAdam{0.01, o, false, {}, {}, {}}) < 1e-6);
    CHECK(error(maker<AdamW>(0.01, o), PlainAdam{0.01, o, true, {}, {}, {}}) < 1e-6);
  }
  for (const SGDOptions& o : {SGDOptions{},
                              {.weight_decay = 0.1},
                              {.momentum = 0.9},
                              {.momentum = 0.9, .nesterov = true}})
    CHECK(error(maker<SGD>(0.1, o), PlainSgd{0.1, o, {}, {}}) < 1e-6);
}

TEST_CASE("optim: parameters of one device, their state where they go", "[optim][cuda]") {
  if (!test::has_device()) return;
  Tensor here = parameter({3}, 1), there = normal({3}, 1).to(Device::cuda).set_requires_grad();
  CHECK(contains(error_of<DeviceError>([&] { here.set_grad(there.detach()); }), "must be on cpu"));
  CHECK(contains(error_of<DeviceError>([&] {
                   Adam({here, there}).step();
                 }),
                 "the first is on cpu, parameter 1 on cuda"));
  here.set_grad(Tensor::ones({3}));
  there.set_grad(Tensor::ones({3}, DType::float32, Device::cuda));
  CHECK(contains(error_of<DeviceError>([&] { clip_grad_norm({here, there}, 1); }), "on cuda"));

  Adam unbroken({there}, 0.1), resumed({there.detach().clone().set_requires_grad()}, 0.1);
  unbroken.step();
  resumed.load_state(unbroken.state());
  resumed.parameters()[0].detach().copy_(there);
  for (Adam* adam : {&unbroken, &resumed}) {
    Tensor w = adam->parameters()[0];
    w.set_grad(Tensor::ones({3}, DType::float32, Device::cuda));
    adam->step();
  }
  CHECK(there.to_vector() == resumed.parameters()[0].to_vector());
  CHECK(unbroken.state().at("0.exp_avg").device() == Device::cuda);
}

TEST_CASE("optim: SGD follows PyTorch's formula", "[optim]") {
  const SGDOptions cases[] = {{},
                              {.weight_decay = 0.1},
                              {.momentum = 0.9},
                              {.momentum = 0.9, .weight_decay = 0.1},
                              {.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}};
  for (const SGDOptions& o : cases) {
    CAPTURE(o.momentum, o.nesterov, o.weight_decay);
    CHECK(error_against(maker<SGD>(0.01, o), PlainSgd{0.01, o, {}, {}}) < 1e-6);
  }
}

TEST_CASE("optim: a sparse gradient gives the dense one's numbers, bit for bit", "[optim]") {
  const Shape shape{101, 130};  // rows straddle chunks
  const auto run = [&](bool sparse, const auto& make) {
    Tensor w = parameter(shape, 1);
    const std::unique_ptr<Optimizer> optimizer = make({w});
    const std::vector<std::vector<int64_t>> steps = {{0, 1, 31, 63, 100}, {}, {31}, {5, 100}};
    for (unsigned step = 0; step < steps.size(); ++step) {
      const int64_t n = static_cast<int64_t>(steps[step].size());
      set_sparse_grad(w, steps[step], normal({n, 130}, 50 + step));
      if (!sparse) w.set_grad(w.grad());
      REQUIRE(sparse == (w.sparse_grad() != nullptr));
      optimizer->step();
    }
    return w;
  };
  const auto check_both = [&](const auto& make) {
    CHECK(same_bits(run(true, make), run(false, make)));
  };
  check_both(maker<Adam>(0.1, AdamOptions{}));
  check_both(maker<Adam>(0.1, AdamOptions{.weight_decay = 0.1}));
  check_both(maker<AdamW>(0.1, AdamOptions{.weight_decay = 0.1}));
  check_both(maker<SGD>(0.1, SGDOptions{}));
  check_both(maker<SGD>(0.1, SGDOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}));
}

TEST_CASE("optim: rows without a gradient still move", "[optim]") {
  Tensor w = parameter({3, 2}, 1);
  Adam adam({w}, 0.1);
  set_sparse_grad(w, {1}, Tensor::ones({1, 2}));
  adam.step();
  const Doubles first = w.to_vector();
  set_sparse_grad(w, {0}, Tensor::ones({1, 2}));
  adam.step();
  CHECK(w.to_vector()[2] < first[2]);
  CHECK(w.to_vector()[4] == first[4]);
}

TEST_CASE("optim: the number of threads does not matter", "[optim]") {
  const auto run = [] {
    std::vector<Tensor> w = {parameter({70000}, 1), parameter({33, 7}, 2)};
    AdamW adam(w, 0.1);
    for (unsigned step = 0; step < 3; ++step) {
      for (Tensor& p : w) p.set_grad(normal(p.shape(), step));
      clip_grad_norm(w, 1.0);
      adam.step();
    }
    return w;
  };
  const std::vector<Tensor> one = with_threads(1, run), three = with_threads(3, run);
  CHECK(same_bits(one[0], three[0]));
  CHECK(same_bits(one[1], three[1]));
}

TEST_CASE("optim: parameters without a gradient are left alone", "[optim]") {
  Tensor w = parameter({4}, 1), other = parameter({4}, 2);
  const Tensor before = other.detach().clone();
  Adam adam({w, other}, 0.1, {.weight_decay = 0.5});
  w.set_grad(Tensor::ones({4}));
  const uint64_t version = w.version(), other_version = other.version();
  adam.step();
  CHECK(same_bits(other, before));
  CHECK(other.version() == other_version);
  CHECK(w.version() > version);
  adam.zero_grad();
  CHECK(!w.grad());
}

TEST_CASE("optim: a resumed run is the unbroken one", "[optim]") {
  const auto advance = [](Optimizer& optimizer, Tensor& w, unsigned from, unsigned to) {
    for (unsigned step = from; step < to; ++step) {
      w.set_grad(normal(w.shape(), step));
      optimizer.step();
    }
  };
  const auto check_resume = [&](const auto& make) {
    Tensor whole = parameter({5, 5}, 1);
    const std::unique_ptr<Optimizer> optimizer = make({whole});
    advance(*optimizer, whole, 0, 3);
    TensorMap kept;
    for (const auto& [name, x] : optimizer->state()) kept[name] = x.clone();
    Tensor resumed = whole.detach().clone().set_requires_grad();
    const std::unique_ptr<Optimizer> other = make({resumed});
    other->load_state(kept);
    advance(*optimizer, whole, 3, 6);
    advance(*other, resumed, 3, 6);
    CHECK(same_bits(whole, resumed));
    // What was loaded is a copy: running on leaves the checkpoint as it was.
    Tensor again = parameter({5, 5}, 1);
    const std::unique_ptr<Optimizer> third = make({again});
    third->load_state(kept);
    for (const auto& [name, x] : third->state()) CHECK(same_bits(x, kept.at(name)));
  };
  check_resume(maker<Adam>(0.1, AdamOptions{}));
  check_resume(maker<AdamW>(0.1, AdamOptions{.weight_decay = 0.1}));
  check_resume(maker<SGD>(0.1, SGDOptions{.momentum = 0.9}));
  check_resume(maker<SGD>(0.1, SGDOptions{}));
}

TEST_CASE("optim: names of the state, and what load_state refuses", "[optim]") {
  Adam adam({parameter({2}, 1), parameter({3}, 2)});
  TensorMap state = adam.state();
  std::vector<std::string> names;
  for (const auto& [name, x] : state) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.exp_avg", "0.exp_avg_sq", "0.step", "1.exp_avg",
                                          "1.exp_avg_sq", "1.step"});
  CHECK(SGD({parameter({2}, 1)}, 0.1, {.momentum = 0.5}).state().count("0.momentum") == 1);
  CHECK(SGD({parameter({2}, 1)}, 0.1).state().empty());

  TensorMap wrong = state;
  wrong.erase("1.step");
  wrong["more"] = Tensor::zeros({1});
  CHECK(contains(error_of<ArgumentError>([&] { adam.load_state(wrong); }),
                 "missing \"1.step\"; unexpected \"more\""));
  wrong = state;
  wrong["0.exp_avg"] = Tensor::zeros({3});
  CHECK(contains(error_of<ShapeError>([&] { adam.load_state(wrong); }),
                 "\"0.exp_avg\" must have shape [2], got [3]"));
  wrong = state;
  wrong["1.step"] = Tensor::scalar(1);
  CHECK_THROWS_AS(adam.load_state(wrong), DtypeError);
  wrong["1.step"] = Tensor::of<int64_t>({}, {-1});
  CHECK(contains(error_of<ArgumentError>([&] { adam.load_state(wrong); }), "step"));
  CHECK(adam.state().at("1.step").item() == 0);
}

TEST_CASE("optim: what the constructors refuse", "[optim]") {
  const Tensor w = parameter({2}, 1);
  CHECK_THROWS_AS(Adam({}), ArgumentError);
  CHECK(contains(error_of<ArgumentError>([&] { Adam({w, w}); }), "parameter 1 is given twice"));
  CHECK_THROWS_AS(Adam({normal({2}, 1)}), ArgumentError);
  CHECK_THROWS_AS(Adam({Tensor()}), ArgumentError);
  CHECK_THROWS_AS(Adam({Tensor::zeros({2}, DType::bfloat16).set_requires_grad()}), DtypeError);
  CHECK_THROWS_AS(Adam({w}, -1), ArgumentError);
  CHECK_THROWS_AS(Adam({w}, NAN), ArgumentError);
  CHECK_THROWS_AS(Adam({w}, 0.1, {.beta1 = 1}), ArgumentError);
  CHECK_THROWS_AS(Adam({w}, 0.1, {.eps = -1}), ArgumentError);
  CHECK_THROWS_AS(AdamW({w}, 0.1, {.weight_decay = INFINITY}), ArgumentError);
  CHECK_THROWS_AS(SGD({w}, 0.1, {.momentum = 1}), ArgumentError);
  CHECK_THROWS_AS(SGD({w}, 0.1, {.weight_decay = -1}), ArgumentError);
  CHECK_THROWS_AS(SGD({w}, 0.1, {.nesterov = true}), ArgumentError);
  SGD sgd({w}, 0.1);
  CHECK_THROWS_AS(sgd.set_lr(INFINITY), ArgumentError);
  CHECK(sgd.lr() == 0.1);
}

TEST_CASE("optim: clip_grad_norm", "[optim]") {
  Tensor a = parameter({9000}, 1), b = parameter({2, 3}, 2), rows = parameter({10, 4}, 3);
  Tensor d = Tensor::zeros({3}, DType::float64).set_requires_grad(), idle = parameter({5}, 4);
  const std::vector<Tensor> all = {a, b, rows, d, idle};
  a.set_grad(normal(a.shape(), 11));
  b.set_grad(normal(b.shape(), 12));
  set_sparse_grad(rows, {2, 7}, normal({2, 4}, 13));
  d.set_grad(Tensor::of<double>({3}, {1, 2, 3}));
  const auto length = [&] {
    double sum = 0;
    for (const Tensor& p : all)
      if (p.grad())
        for (const double g : p.grad().to_vector()) sum += g * g;
    return std::sqrt(sum);
  };
  const double before = length();
  const Doubles direction = a.grad().to_vector();

  SECTION("leaves short gradients alone") {
    CHECK(near(clip_grad_norm(all, 1e6).item(), before, 1e-12));
    CHECK(a.grad().to_vector() == direction);
  }
  SECTION("shortens long ones") {
    CHECK(near(clip_grad_norm(all, 2.0).item(), before, 1e-12));
    CHECK(near(length(), 2.0, 1e-6));
    CHECK(near(a.grad().to_vector()[8999], direction[8999] * 2 / before, 1e-6));
    CHECK(rows.sparse_grad());
    CHECK(!idle.grad());
  }
  SECTION("changes nothing if the length is not finite") {
    b.set_grad(Tensor::full({2, 3}, NAN));
    CHECK_THROWS_AS(clip_grad_norm(all, 1.0), GradError);
    CHECK(a.grad().to_vector() == direction);
  }
  SECTION("squares of large numbers do not overflow") {
    CHECK(clip_grad_norm({a}, 1.0).item() > 0);
    a.set_grad(Tensor::full(a.shape(), 1e30));
    CHECK(near(clip_grad_norm({a}, 1.0).item(), 1e30 * std::sqrt(9000.0), 1e-6));
  }
  SECTION("nothing to clip") {
    CHECK(clip_grad_norm({idle}, 1.0).item() == 0);
  }
  SECTION("a length that makes no sense") {
    for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
      CHECK_THROWS_AS(clip_grad_norm(all, bad), ArgumentError);
  }
}

TEST_CASE("optim: the GPU clips without looking", "[optim][cuda]") {
  if (!test::has_device()) return;
  std::vector<Tensor> here, there;
  const auto add = [&](const Tensor& gradient) {
    for (auto [all, device] : {std::pair(&here, Device::cpu), std::pair(&there, Device::cuda)}) {
      const Shape shape = gradient.shape();
      all->push_back(Tensor::zeros(shape, gradient.dtype(), device).set_requires_grad());
      all->back().set_grad(gradient.clone().to(device));
    }
  };
  CHECK(clip_grad_norm({Tensor::ones({2}, DType::float32, Device::cuda)}, 1).item() == 0);
  for (unsigned k = 0; k < 90; ++k) add(normal({k}, k));
  add(normal({300, 1000}, 1));  // more chunks than blocks
  add(normal({3, 1001}, 2).to(DType::float64));
  for (const double most : {1e6, 2.0}) {
    const Tensor length = clip_grad_norm(there, most);
    CHECK(length.device() == Device::cuda);
    CHECK(near(length.item(), clip_grad_norm(here, most).item(), 1e-12));
    for (size_t k = 0; k < here.size(); ++k)
      CHECK(test::max_difference(here[k].grad(), there[k].grad()) < 1e-7);
  }
  const Doubles before = there[1].grad().to_vector();
  there[5].set_grad(Tensor::full({5}, NAN, DType::float32, Device::cuda));
  CHECK(std::isnan(clip_grad_norm(there, 1).item()));
  there[5].set_grad(Tensor::full({5}, INFINITY, DType::float32, Device::cuda));
  CHECK(std::isinf(clip_grad_norm(there, 1).item()));
  CHECK(there[1].grad().to_vector() == before);
  for (const Device device : {Device::cpu, Device::cuda}) {
    Tensor w = Tensor::zeros({3}, DType::bfloat16, device).set_requires_grad();
    w.set_grad(Tensor::ones({3}, DType::bfloat16, device));
    CHECK(error_of<DtypeError>([&] { clip_grad_norm({w}, 1); }) ==
          "clip_grad_norm: gradients must be float32 or float64, got bfloat16");
  }
}

TEST_CASE("optim: schedules", "[optim]") {
  CHECK(constant(0.5)(1) == 0.5);

  const Schedule warmup = linear_warmup(1.0, 4);
  CHECK(warmup(1) == 0.25);
  CHECK(warmup(4) == 1.0);
  CHECK(warmup(100) == 1.0);
  CHECK(linear_warmup(1.0, 0)(1) == 1.0);

  const Schedule root = inverse_sqrt(1.0, 4, 0.2);
  CHECK(near(root(1), 0.4));
  CHECK(root(4) == 1.0);
  CHECK(near(root(16), 0.5));
  CHECK(near(inverse_sqrt(1.0, 0)(4), 0.5));

  const Schedule half = cosine(1.0, 14, 4, 0.1);
  CHECK(half(2) == 0.5);
  CHECK(half(4) == 1.0);
  CHECK(near(half(9), 0.55));
  CHECK(half(14) == 0.1);
  CHECK(half(99) == 0.1);
  CHECK(near(cosine(1.0, 10)(5), 0.5));

  CHECK_THROWS_AS(constant(-1), ArgumentError);
  CHECK_THROWS_AS(linear_warmup(NAN, 1), ArgumentError);
  CHECK_THROWS_AS(linear_warmup(1, -1), ArgumentError);
  CHECK_THROWS_AS(inverse_sqrt(1, 1, -0.1), ArgumentError);
  CHECK_THROWS_AS(cosine(1, -1), ArgumentError);
  CHECK_THROWS_AS(cosine(1, 5, 6), ArgumentError);
  for (const Schedule& schedule : {constant(1), warmup, root, half})
    CHECK_THROWS_AS(schedule(-1), ArgumentError);
}
