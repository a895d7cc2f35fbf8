// What optimizers, modules and files keep: steps by parameter, names, groups, float64, finite
// weights.

#include <cmath>
#include <filesystem>
#include <limits>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"
#include "normlab/normlab.h"

using namespace normlab;
using namespace normlab::optim;
using test::contains;
using test::error_of;

namespace {

using Doubles = std::vector<double>;

Tensor leaf(const Doubles& values, DType dtype = DType::float32, Device device = Device::cpu) {
  return Tensor::of({static_cast<int64_t>(values.size())}, values)
      .to(dtype)
      .to(device)
      .set_requires_grad();
}

void give(Tensor w, double gradient) {
  w.set_grad(Tensor::full(w.shape(), gradient, w.dtype(), w.device()));
}

/// Adam as Kingma & Ba state it, for one number, with steps of its own.
struct PlainAdam {
  double lr, w, m = 0, v = 0;
  int step = 0;
  void update(double g) {
    ++step;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    w -= lr * (m / (1 - std::pow(0.9, step))) / (std::sqrt(v / (1 - std::pow(0.999, step))) + 1e-8);
  }
};

std::vector<Device> devices() {
  return test::has_device() ? std::vector{Device::cpu, Device::cuda} : std::vector{Device::cpu};
}

}  // namespace

// --- steps by parameter -----------------------------------------------------------------------

TEST_CASE("state: Adam counts steps for each parameter", "[state][optim][cuda]") {
  for (const Device device : devices()) {
    Tensor early = leaf({1, 2}, DType::float64, device), late = leaf({3}, DType::float64, device);
    PlainAdam one{0.001, 1}, two{0.001, 2}, three{0.001, 3};
    Adam adam({early, late}, 0.001);
    for (int step = 0; step < 1010; ++step) {
      adam.zero_grad();
      const double g = std::sin(step) + 1.5;
      give(early, g);
      one.update(g);
      two.update(g);
      if (step >= 1000) {
        give(late, g);
        three.update(g);
      }
      adam.step();
      if (step == 1000) CHECK(std::abs(late.item() - (3 - 0.001)) < 1e-9);
    }
    CHECK(std::abs(early.to_vector()[0] - one.w) < 1e-12);
    CHECK(std::abs(early.to_vector()[1] - two.w) < 1e-12);
    CHECK(std::abs(late.item() - three.w) < 1e-12);
    CHECK(adam.state().at("0.step").item() == 1010);
    CHECK(adam.state().at("1.step").item() == 10);
  }
}

TEST_CASE("state: SGD's first momentum is the first gradient", "[state][optim][cuda]") {
  for (const Device device : devices()) {
    Tensor early = leaf({1}, DType::float32, device), late = leaf({1}, DType::float32, device);
    SGD sgd({early, late}, 0.5, {.momentum = 0.9});
    for (int step = 0; step < 5; ++step) {
      give(early, 1);
      sgd.step();
    }
    give(late, 1);
    sgd.step();
    CHECK(late.item() == 0.5);
  }
}

TEST_CASE("state: a captured step counts each parameter's own", "[state][optim][cuda]") {
  if (!test::has_device()) return;
  const auto train = [](bool captured) {
    Tensor a = leaf({1, 2}, DType::float32, Device::cuda),
           b = leaf({3}, DType::float32, Device::cuda);
    AdamW adam({a, b}, 0.1);
    give(a, 1);
    adam.step();  // a is a step ahead
    const auto step = [&] {
      adam.zero_grad();
      (sum(a * a) + sum(b * b)).backward();
      adam.step();
    };
    if (captured) {
      cuda::Graph graph;
      graph.capture(step);
      for (int i = 0; i < 4; ++i) graph.replay();
    } else {
      for (int i = 0; i < 4; ++i) step();
    }
    Doubles all = a.to_vector();
    all.push_back(b.item());
    all.push_back(adam.state().at("0.step").item());
    all.push_back(adam.state().at("1.step").item());
    return all;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("state: a graph whose parameters' steps drift apart says so", "[state][optim][cuda]") {
  if (!test::has_device()) return;
  Tensor a = leaf({1}, DType::float32, Device::cuda), b = leaf({3}, DType::float32, Device::cuda);
  Adam adam({a, b}, 0.1);
  cuda::Graph graph;
  graph.capture([&] {
    adam.zero_grad();
    (sum(a * a) + sum(b * b)).backward();
    adam.step();
  });
  graph.replay();
  adam.zero_grad();
  give(a, 1);
  adam.step();
  CHECK(contains(error_of<ArgumentError>([&] { graph.replay(); }), "capture again"));
}

// --- files of earlier versions ----------------------------------------------------------------

TEST_CASE("state: what earlier versions saved still loads", "[state][optim]") {
  nn::Linear linear(2, 1);
  Adam adam(linear.parameters(), 0.1);
  const TensorMap old = {{"step", Tensor::of<int64_t>({}, {7})},
                         {"0.exp_avg", Tensor::full({1, 2}, 0.5)},
                         {"0.exp_avg_sq", Tensor::full({1, 2}, 0.25)},
                         {"1.exp_avg", Tensor::full({1}, 0.125)},
                         {"1.exp_avg_sq", Tensor::full({1}, 4)}};
  adam.load_state(old);
  const TensorMap now = adam.state();
  CHECK(now.at("weight.step").item() == 7);
  CHECK(now.at("bias.step").item() == 7);
  CHECK(now.at("weight.exp_avg").to_vector() == Doubles{0.5, 0.5});
  CHECK(now.at("bias.exp_avg_sq").item() == 4);

  SGD sgd(linear.parameters(), 0.1, {.momentum = 0.9});
  sgd.load_state({{"0.momentum", Tensor::full({1, 2}, 3)}, {"1.momentum", Tensor::full({1}, 2)}});
  CHECK(sgd.state().at("weight.momentum").to_vector() == Doubles{3, 3});

  TensorMap wrong = old;
  wrong.erase("1.exp_avg");
  wrong["2.exp_avg"] = Tensor::zeros({1});
  const std::string said = error_of<ArgumentError>([&] { adam.load_state(wrong); });
  CHECK(contains(said, "missing \"bias.exp_avg\""));
  CHECK(contains(said, "unexpected \"2.exp_avg\""));
  wrong = old;
  wrong["step"] = Tensor::of<int64_t>({}, {-1});
  CHECK_THROWS_AS(adam.load_state(wrong), ArgumentError);
  wrong["step"] = Tensor::scalar(1);
  CHECK_THROWS_AS(adam.load_state(wrong), DtypeError);
}

// --- names ------------------------------------------------------------------------------------

TEST_CASE("state: an optimizer's state goes by the parameters' names", "[state][optim]") {
  nn::Sequential net({std::make_shared<nn::Linear>(2, 2), std::make_shared<nn::Linear>(2, 2)});
  std::vector<Tensor> forward = net.parameters(), backward(forward.rbegin(), forward.rend());
  Adam adam(forward, 0.1), other(backward, 0.1);
  CHECK(adam.names() == std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias"});
  CHECK(other.names() == std::vector<std::string>{"1.bias", "1.weight", "0.bias", "0.weight"});
  give(forward[0], 1);
  give(forward[2], 2);
  adam.step();
  other.load_state(adam.state());
  CHECK(other.state().at("0.weight.exp_avg").to_vector() ==
        adam.state().at("0.weight.exp_avg").to_vector());
  CHECK(other.state().at("1.bias.step").item() == 0);

  Adam part({forward[0]}, 0.1);
  CHECK(contains(error_of<ArgumentError>([&] { part.load_state(adam.state()); }),
                 "unexpected \"0.bias.exp_avg\""));
  Adam nameless({leaf({1}), leaf({1})}, 0.1);
  CHECK(nameless.names() == std::vector<std::string>{"0", "1"});
  CHECK_THROWS_AS(nameless.load_state(adam.state()), ArgumentError);

  nn::Linear first(1, 1), second(1, 1);
  std::vector<Tensor> both = first.parameters();
  for (const Tensor& w : second.parameters()) both.push_back(w);
  CHECK(SGD(both, 0.1).names() == std::vector<std::string>{"weight", "bias", "weight#2", "bias#2"});
}

TEST_CASE("state: copies stay as they are", "[state][nn][optim]") {
  nn::Linear linear(2, 1);
  Adam adam(linear.parameters(), 0.1);
  const TensorMap view = linear.state(), copy = linear.state(true);
  const TensorMap moments = adam.state(true);
  const Doubles before = linear.weight.to_vector();
  for (Tensor w : linear.parameters()) give(w, 1);
  adam.step();
  CHECK(view.at("weight").is(linear.weight));
  CHECK(copy.at("weight").to_vector() == before);
  CHECK(!copy.at("weight").requires_grad());
  CHECK(linear.weight.to_vector() != before);
  CHECK(moments.at("weight.exp_avg").to_vector() == Doubles{0, 0});
  CHECK(moments.at("weight.step").item() == 0);
}

// --- groups -----------------------------------------------------------------------------------

TEST_CASE("state: groups have options and rates of their own", "[state][optim][cuda]") {
  for (const Device device : devices()) {
    Tensor a = leaf({1}, DType::float64, device), b = leaf({1}, DType::float64, device),
           c = leaf({1}, DType::float64, device);
    SGD sgd({a}, 0.5);
    sgd.add_group({b}, {.weight_decay = 1}, 0.25);
    sgd.add_group({c}, {.momentum = 0.5});
    CHECK(sgd.groups() == 3);
    CHECK(sgd.lr(1) == 0.25);
    CHECK(sgd.lr(2) == 0.5);
    for (int step = 0; step < 2; ++step) {
      for (const Tensor& w : {a, b, c}) give(w, 1);
      sgd.step();
    }
    CHECK(a.item() == 0);
    CHECK(b.item() == 0.125);  // 1 - (1 + 1) / 4 = 1/2, then 1/2 - (1 + 1/2) / 4
    CHECK(c.item() == -0.25);  // 1 - 1/2, then 1/2 - (1/2 + 1) / 2
    CHECK(sgd.state().size() == 1);
    sgd.set_lr(0.25);
    CHECK(sgd.lr(1) == 0.125);
    CHECK(sgd.lr(2) == 0.25);
    sgd.set_lr(1, 1.0);
    sgd.set_lr(0.125);
    CHECK(sgd.lr(1) == 0.5);
    CHECK(sgd.parameters(1)[0].is(b));
    CHECK_THROWS_AS(sgd.lr(3), RangeError);
    CHECK(contains(error_of<ArgumentError>([&] { sgd.add_group({a}, {}); }), "given twice"));
    CHECK_THROWS_AS(sgd.add_group({leaf({1}, DType::float32, device)}, {.momentum = 1}),
                    ArgumentError);
    CHECK(sgd.groups() == 3);
  }
}

TEST_CASE("state: a rate set beside 0 has no ratio", "[state][optim]") {
  SGD sgd({leaf({1})}, 0.0);
  sgd.add_group({leaf({1})}, {}, 0.5);
  CHECK(contains(error_of<ArgumentError>([&] { sgd.set_lr(1); }), "group 1"));
  CHECK(sgd.lr() == 0);
  SGD alone({leaf({1})}, 0.0);
  alone.set_lr(0, 0.5);
  CHECK(alone.lr() == 0.5);
}

// --- float64 ----------------------------------------------------------------------------------

TEST_CASE("state: modules become float64 and back, with what trains them",
          "[state][nn][optim][cuda]") {
  for (const Device device : devices()) {
    nn::Sequential net({std::make_shared<nn::Linear>(3, 4),
                        std::make_shared<nn::Norm>("batchnorm", Shape{4}),
                        std::make_shared<nn::Linear>(4, 1)});
    net.to(device);
    Adam adam(net.parameters(), 0.1);
    const auto train = [&](DType dtype) {
      adam.zero_grad();
      const Tensor x = randn({8, 3}).to(dtype).to(device);
      sum(net(x)).backward();
      adam.step();
    };
    train(DType::float32);
    const Tensor weight = net.parameters()[0];
    const Doubles before = weight.to_vector();
    net.to(DType::float64);
    CHECK(weight.dtype() == DType::float64);
    CHECK(weight.grad().dtype() == DType::float64);
    CHECK(weight.to_vector() == before);
    for (const auto& [name, x] : net.state()) CHECK(x.dtype() == DType::float64);
    train(DType::float64);
    CHECK(adam.state().at("0.weight.exp_avg").dtype() == DType::float64);
    CHECK(adam.state().at("0.weight.step").item() == 2);
    net.to(DType::float32);
    train(DType::float32);
    CHECK_THROWS_AS(net.to(DType::int32), DtypeError);
  }
}

TEST_CASE("state: a tape from before a conversion is refused", "[state][nn]") {
  nn::Linear linear(2, 2);
  const Tensor loss = sum(linear(Tensor::ones({1, 2})));
  linear.to(DType::float64);
  CHECK(contains(error_of<GradError>([&] { loss.backward(); }),
                 "is float64 on cpu, but was float32 on cpu when it was used"));
  CHECK(!linear.weight.grad());
}

TEST_CASE("state: sparse gradients of float64", "[state][optim]") {
  const auto train = [](DType dtype) {
    manual_seed(1);
    nn::Embedding table(5, 3);
    table.to(dtype);
    Adam adam(table.parameters(), 0.1);
    for (int step = 0; step < 3; ++step) {
      adam.zero_grad();
      sum(table(Tensor::of<int64_t>({2}, {step, 4}))).backward();
      REQUIRE(table.weight.sparse_grad());
      adam.step();
    }
    return table.weight;
  };
  CHECK(test::max_difference(train(DType::float64).to(DType::float32), train(DType::float32)) <
        1e-5);
}

// --- parts that are replaced ------------------------------------------------------------------

TEST_CASE("state: a layer computes with what is registered anew", "[state][nn]") {
  nn::Linear linear(2, 1, false);
  linear.register_parameter("weight", Tensor::full({1, 2}, 3));
  CHECK(linear(Tensor::ones({1, 2})).item() == 6);
  CHECK_THROWS_AS(linear.register_parameter("weight", Tensor::zeros({2, 2})), ShapeError);
  CHECK(linear(Tensor::ones({1, 2})).item() == 6);

  nn::Sequential net({std::make_shared<nn::Activate>(Activation::relu)});
  net.register_module("0", std::make_shared<nn::Activate>(Activation::none));
  CHECK(net(Tensor::full({1}, -2)).item() == -2);
  net.register_module("1", std::make_shared<nn::Activate>(Activation::relu));
  CHECK(net(Tensor::full({1}, -2)).item() == 0);

  nn::Norm norm("layernorm", Shape{2});
  norm.register_parameter("gain", Tensor::zeros({2}));
  norm.register_parameter("bias", Tensor::full({2}, 5));
  CHECK(norm(Tensor::of<float>({1, 2}, {1, 2})).to_vector() == Doubles{5, 5});

  nn::TransformerEncoder encoder({.size = 4, .heads = 2, .hidden = 8, .layers = 1});
  encoder.eval();
  const auto last = std::make_shared<nn::Norm>("bias_only", Shape{4});
  encoder.register_module("norm", last);
  const Tensor x = randn({3, 4});
  const Tensor before = encoder(x);
  last->register_parameter("bias", Tensor::full({4}, 1));
  CHECK(test::max_difference(encoder(x), before + 1) < 1e-6);
  CHECK_THROWS_AS(encoder.register_module("norm", std::make_shared<nn::Linear>(4, 4)), DtypeError);
  CHECK_THROWS_AS(encoder.register_module("0", std::make_shared<nn::Linear>(4, 4)), DtypeError);
}

// --- finite weights ---------------------------------------------------------------------------

TEST_CASE("state: weights that are not finite are neither saved nor loaded", "[state][io]") {
  const test::Folder folder;
  const std::string path = folder.file();
  for (const DType dtype : {DType::float32, DType::float64})
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      nn::Linear linear(3, 700);
      linear.to(dtype);
      TensorMap state = linear.state(true);
      Doubles values = state.at("weight").to_vector();
      values[2000] = bad;
      state["weight"].copy_(Tensor::of({700, 3}, values).to(dtype));
      const std::string said = error_of<ArgumentError>([&] { linear.load_state(state); });
      CHECK(contains(said, "load_state: \"weight\" must be finite, has "));
      CHECK(contains(said, " at [666, 2]"));
      save(path, state);  // plain tensors may hold what they like
      linear.load_state(state, true);
      CHECK(contains(error_of<ArgumentError>([&] { save(path, linear.state()); }),
                     "save: \"weight\" must be finite"));
      CHECK(load(path).tensors.size() == 2);  // the file before
      save(path, linear.state(), {}, true);
    }
  nn::Norm norm("batchnorm", Shape{2});
  TensorMap state = norm.state(true);
  state["running_var"].fill_(HUGE_VAL);
  CHECK(contains(error_of<ArgumentError>([&] { norm.load_state(state); }), "\"running_var\""));
  state["running_var"].fill_(std::numeric_limits<float>::max());
  state["running_mean"].fill_(std::numeric_limits<float>::denorm_min());
  norm.load_state(state);
}

TEST_CASE("state: models with weights that are not finite", "[state][io][text]") {
  const test::Folder folder;
  const std::string path = folder.file();
  text::ClassifierOptions options{.vocabulary = 2};
  options.encoder = {.size = 4, .heads = 2, .hidden = 4, .layers = 1};
  text::Model model{std::make_shared<text::Classifier>(options),
                    text::Vocabulary(std::vector<std::string>{"a"}),
                    {"x", "y"}};
  save_model(path, model);
  TensorFile file = load(path);
  file.tensors["output.bias"].fill_(std::nan(""));
  save(path, file.tensors, file.metadata);
  const std::string said = error_of<FileError>([&] { text::load_model(path); });
  CHECK(contains(said, path));
  CHECK(contains(said, "\"output.bias\" must be finite, has nan at [0]"));
  model.classifier->load_state(file.tensors, true);
  CHECK(contains(error_of<ArgumentError>([&] { save_model(path, model); }),
                 "save_model: \"output.bias\" must be finite"));
}
