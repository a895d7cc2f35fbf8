#include "normlab/nn.h"

#include <cmath>
#include <memory>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using namespace normlab::nn;
using test::contains;
using test::error_of;
using test::same_bits;

namespace {

using Names = std::vector<std::string>;

template <class Named>
Names names_of(const Named& list) {
  Names names;
  for (const auto& [name, value] : list) names.push_back(name);
  return names;
}

/// A module as an application would write it.
struct Block : Module {
  std::shared_ptr<Linear> first, second;
  std::shared_ptr<Norm> norm;
  Tensor scale, count;

  Block() {
    scale = register_parameter("scale", Tensor::ones({1}));
    count = register_buffer("count", Tensor::zeros({}, DType::int64));
    first = std::make_shared<Linear>(4, 8, true, Activation::relu);
    second = std::make_shared<Linear>(8, 2, false);
    norm = std::make_shared<Norm>("layernorm", Shape{8});
    register_module("first", first);
    register_module("norm", norm);
    register_module("second", second);
  }
  Tensor forward(const Tensor& x) override {
    return second->forward(norm->forward(first->forward(x))) * scale;
  }
};

}  // namespace

TEST_CASE("nn: dotted names, in order of registration", "[nn]") {
  const auto block = std::make_shared<Block>();
  const Sequential net({block, std::make_shared<Dropout>(0.5)});
  CHECK(names_of(net.named_parameters()) == Names{"0.scale", "0.first.weight", "0.first.bias",
                                                  "0.norm.gain", "0.norm.bias", "0.second.weight"});
  CHECK(names_of(net.named_buffers()) == Names{"0.count"});
  CHECK(names_of(net.named_modules()) == Names{"0", "0.first", "0.norm", "0.second", "1"});
  CHECK(names_of(net.children()) == Names{"0", "1"});
  CHECK(net.num_parameters() == 1 + 32 + 8 + 8 + 8 + 16);
  CHECK(net.state().size() == 7);
  for (const Tensor& p : net.parameters()) CHECK(p.requires_grad());
}

TEST_CASE("nn: what two modules share counts once", "[nn]") {
  const auto shared = std::make_shared<Linear>(3, 3);
  const auto tied = std::make_shared<Linear>(3, 3, false);
  tied->weight = tied->register_parameter("weight", shared->weight);
  const Sequential net({shared, shared, tied});
  CHECK(names_of(net.named_parameters()) == Names{"0.weight", "0.bias"});
  CHECK(names_of(net.named_modules()) == Names{"0", "2"});
}

TEST_CASE("nn: registering replaces, unregistering removes", "[nn]") {
  Block block;
  const Tensor other = Tensor::zeros({2});
  block.register_parameter("scale", other);
  CHECK(names_of(block.named_parameters())[0] == "scale");
  CHECK(block.parameters()[0].is(other));
  CHECK(other.requires_grad());
  block.register_buffer("scale", Tensor::zeros({3}));
  CHECK(names_of(block.named_parameters())[0] == "first.weight");
  CHECK(names_of(block.named_buffers()) == Names{"count", "scale"});
  CHECK(block.unregister("scale"));
  CHECK(!block.unregister("scale"));
  CHECK(block.unregister("first"));
  CHECK(names_of(block.named_modules()) == Names{"norm", "second"});
}

TEST_CASE("nn: what cannot be registered", "[nn]") {
  const auto block = std::make_shared<Block>();
  const Tensor x = Tensor::zeros({1});
  CHECK(contains(error_of<ArgumentError>([&] { block->register_parameter("", x); }), "got \"\""));
  CHECK(
      contains(error_of<ArgumentError>([&] { block->register_buffer("a.b", x); }), "got \"a.b\""));
  CHECK_THROWS_AS(block->register_module(".", block->first), ArgumentError);
  CHECK(contains(error_of<ArgumentError>([&] { block->register_parameter("w", {}); }),
                 "\"w\" is undefined"));
  CHECK_THROWS_AS(block->register_buffer("w", {}), ArgumentError);
  CHECK_THROWS_AS(block->register_module("w", nullptr), ArgumentError);
  CHECK_THROWS_AS(block->register_parameter("w", Tensor::zeros({1}, DType::int32)), DtypeError);
  CHECK(contains(error_of<ArgumentError>([&] {
                   block->register_module("loop", std::make_shared<Sequential>(
                                                      std::vector<std::shared_ptr<Module>>{block}));
                 }),
                 "must not contain the module"));
  CHECK(block->named_modules().size() == 3);
}

TEST_CASE("nn: train and eval reach every submodule", "[nn]") {
  const auto dropout = std::make_shared<Dropout>(0.9);
  Sequential net({std::make_shared<Sequential>(std::vector<std::shared_ptr<Module>>{dropout})});
  const Tensor x = Tensor::ones({100});
  CHECK(dropout->training());
  CHECK(!same_bits(net(x), x));
  net.eval();
  CHECK(!dropout->training());
  CHECK(same_bits(net(x), x));
  net.train();
  CHECK(dropout->training());
}

TEST_CASE("nn: state shares storage, load_state copies into it", "[nn]") {
  manual_seed(1);
  Block from, to;
  const Tensor weight = to.first->weight;
  TensorMap state = from.state();
  CHECK(state.at("first.weight").is(from.first->weight));
  state["count"] = Tensor::full({}, 7, DType::int64);
  to.load_state(state);
  CHECK(to.first->weight.is(weight));
  CHECK(to.count.item() == 7);
  from.first->weight.fill_(0);
  CHECK(weight.to_vector()[0] != 0);
  const Tensor x = randn({3, 4});
  to.load_state(from.state());
  CHECK(same_bits(from(x), to(x)));
}

TEST_CASE("nn: load_state takes all or nothing", "[nn]") {
  Block block;
  const Tensor before = block.first->weight.clone();
  TensorMap state;
  for (const auto& [name, x] : block.state()) state[name] = Tensor::ones(x.shape(), x.dtype());

  TensorMap wrong = state;
  wrong.erase("count");
  wrong.erase("scale");
  wrong["extra"] = before;
  CHECK(contains(error_of<ArgumentError>([&] { block.load_state(wrong); }),
                 "missing \"count\", \"scale\"; unexpected \"extra\""));
  wrong = state;
  wrong["second.weight"] = Tensor::zeros({8, 2});
  CHECK(contains(error_of<ShapeError>([&] { block.load_state(wrong); }),
                 "\"second.weight\" must have shape [2, 8], got [8, 2]"));
  wrong = state;
  wrong["second.weight"] = Tensor::zeros({2, 8}, DType::float64);
  CHECK_THROWS_AS(block.load_state(wrong), DtypeError);
  wrong["second.weight"] = Tensor();
  CHECK_THROWS_AS(block.load_state(wrong), ArgumentError);
  CHECK(same_bits(block.first->weight, before));
}

TEST_CASE("nn: Linear", "[nn]") {
  manual_seed(3);
  Linear layer(25, 40);
  CHECK(layer.weight.shape() == Shape{40, 25});
  double greatest = 0, sum = 0;
  for (const double w : layer.weight.to_vector()) {
    greatest = std::max(greatest, std::abs(w));
    sum += w;
  }
  CHECK(greatest <= 0.2);
  CHECK(greatest > 0.19);
  CHECK(std::abs(sum / 1000) < 0.02);
  const Tensor x = randn({2, 3, 25});
  CHECK(same_bits(layer(x), linear(x, layer.weight, layer.bias)));
  Linear bare(4, 2, false, Activation::tanh);
  CHECK(!bare.bias);
  CHECK(bare.num_parameters() == 8);
  const Tensor y = randn({5, 4});
  CHECK(same_bits(bare(y), linear(y, bare.weight, {}, Activation::tanh)));
  CHECK(contains(error_of<ArgumentError>([] { Linear(0, 3); }), "got 0 and 3"));
}

TEST_CASE("nn: Conv2d", "[nn]") {
  const Conv2dOptions options{.stride_h = 2, .padding_w = 1, .activation = Activation::relu};
  Conv2d layer(3, 5, {2, 4}, options);
  CHECK(layer.weight.shape() == Shape{5, 3, 2, 4});
  CHECK(layer.bias.shape() == Shape{5});
  for (const double w : layer.weight.to_vector()) CHECK(std::abs(w) <= 1 / std::sqrt(24.0));
  const Tensor x = randn({2, 3, 6, 7});
  CHECK(same_bits(layer(x), conv2d(x, layer.weight, layer.bias, options)));
  CHECK(Conv2d(1, 1, {3, 3}, {}, false).num_parameters() == 9);
  CHECK_THROWS_AS(Conv2d(1, 0, {3, 3}), ArgumentError);
  CHECK_THROWS_AS(Conv2d(1, 1, {3, 0}), ArgumentError);
  CHECK_THROWS_AS(Conv2d(1, 1, {3, 3}, {.stride_w = 0}), ArgumentError);
  CHECK_THROWS_AS(Conv2d(1, 1, {3, 3}, {.padding_h = -1}), ArgumentError);
}

TEST_CASE("nn: pooling modules are their ops", "[nn]") {
  const Tensor x = randn({1, 2, 6, 6});
  CHECK(same_bits(MaxPool2d()(x), max_pool2d(x)));
  CHECK(same_bits(AvgPool2d({.kernel_h = 3, .kernel_w = 2})(x),
                  avg_pool2d(x, {.kernel_h = 3, .kernel_w = 2})));
}

TEST_CASE("nn: Embedding keeps its padding row at zero", "[nn]") {
  Embedding layer(6, 3, -2);
  CHECK(layer.padding_index() == 4);
  for (int64_t j = 0; j < 3; ++j) CHECK(layer.weight.to_vector()[4 * 3 + j] == 0);
  CHECK(layer.weight.to_vector()[0] != 0);
  const Tensor z = layer(Tensor::of<int64_t>({2, 2}, {0, 4, 4, 5}));
  CHECK(z.shape() == Shape{2, 2, 3});
  sum(z).backward();
  CHECK(layer.weight.sparse_grad());
  for (int64_t j = 0; j < 3; ++j) CHECK(layer.weight.grad().to_vector()[4 * 3 + j] == 0);
  CHECK(Embedding(2, 2).padding_index() == std::nullopt);
  CHECK_THROWS_AS(Embedding(6, 3, 6), RangeError);
  CHECK_THROWS_AS(Embedding(0, 3), ArgumentError);
}

TEST_CASE("nn: Dropout, Activate and Flatten", "[nn]") {
  CHECK_THROWS_AS(Dropout(1), ArgumentError);
  CHECK_THROWS_AS(Dropout(-0.1), ArgumentError);
  const Tensor x = randn({2, 3, 4});
  CHECK(same_bits(Activate(Activation::relu)(x), relu(x)));
  CHECK(same_bits(Activate(Activation::gelu)(x), gelu(x)));
  CHECK(same_bits(Activate(Activation::tanh)(x), tanh(x)));
  CHECK(same_bits(Activate(Activation::sigmoid)(x), sigmoid(x)));
  CHECK(Activate(Activation::none)(x).is(x));
  CHECK(Flatten()(x).shape() == Shape{2, 12});
  CHECK(Flatten(0, 1)(x).shape() == Shape{6, 4});
}

TEST_CASE("nn: Norm has the parameters of its variant", "[nn][norm]") {
  const Shape size{6, 2, 2};
  for (const NormTraits& variant : kNormVariants) {
    CAPTURE(std::string(variant.name));
    Norm norm(variant.name, size);
    CHECK(norm.spec().name() == variant.name);
    CHECK(norm.size() == size);
    Names want;
    if (variant.takes_gain()) want.push_back("gain");
    if (variant.takes_bias()) want.push_back("bias");
    if (variant.takes_alpha()) want.push_back("alpha");
    CHECK(names_of(norm.named_parameters()) == want);
    CHECK(norm.named_buffers().size() == (variant.group == Group::batch ? 2 : 0));
    for (const auto& [name, p] : norm.named_parameters()) {
      const bool scalar = name == "alpha" || variant.scalar_gain;
      CHECK(p.shape() == (scalar ? Shape{1} : variant.group == Group::row ? size : Shape{6}));
      const double value = name == "alpha"       ? 0.5
                           : name == "bias"      ? 0
                           : variant.scalar_gain ? std::sqrt(24.0)
                                                 : 1;
      CHECK(std::abs(p.to_vector()[0] - value) < 1e-6);
    }
  }
}

TEST_CASE("nn: Norm is normalize() with the module's own parameters", "[nn][norm]") {
  const Tensor x = randn({4, 6, 2, 2}, 1, 2);
  for (const NormTraits& variant : kNormVariants) {
    CAPTURE(std::string(variant.name));
    Norm norm({variant, {.eps = 1e-3}}, {6, 2, 2});
    NormParameters tensors = norm.tensors();
    CHECK(tensors.axes == 3);
    if (variant.group == Group::batch) tensors.running_mean = tensors.running_var = {};
    CHECK(same_bits(norm(x), normalize(x, norm.spec(), tensors)));
  }
}

TEST_CASE("nn: batchnorm's running statistics follow training and serve eval", "[nn][norm]") {
  Norm norm({"batchnorm", {.momentum = 0.5}}, {3});
  const Tensor x = randn({64, 3}, 4, 2);
  norm(x);
  const auto running = norm.state();
  CHECK(std::abs(running.at("running_mean").to_vector()[0] - 2) < 0.5);
  norm.eval();
  const Tensor z = norm(x);
  CHECK(same_bits(running.at("running_mean"), norm.state().at("running_mean")));
  NormParameters tensors = norm.tensors();
  tensors.training = false;
  CHECK(same_bits(z, normalize(x, norm.spec(), tensors)));
}

TEST_CASE("nn: what Norm refuses", "[nn][norm]") {
  CHECK(contains(error_of<ArgumentError>([] { Norm("nonsense", {3}); }), "nonsense"));
  CHECK(contains(error_of<ArgumentError>([] { Norm("layernorm", {}); }), "at least one axis"));
  CHECK(contains(error_of<ArgumentError>([] { Norm("layernorm", {3, 0}); }), "got [3, 0]"));
  CHECK(error_of<ArgumentError>([] {
          Norm({"layernorm", {.eps = -1}}, {3});
        }) == "Norm: eps must be finite and not negative, got -1");
  CHECK(error_of<ArgumentError>([] {
          Norm({"layernorm", {.groups = 3}}, {3});
        }) == "Norm: variant 'layernorm' takes no groups, got 3");
  CHECK(error_of<ArgumentError>([] {
          Norm({"groupnorm", {.groups = 5}}, {16, 2});
        }) == "Norm: groups must divide the channels, got 5 groups for 16 channels");
  Norm norm("layernorm_simple", {3, 2});
  CHECK(contains(error_of<ShapeError>([&] {
                   norm(Tensor::zeros({5, 2, 3}));
                 }),
                 "the last 2 axes of x must be [3, 2], got x [5, 2, 3]"));
  CHECK_THROWS_AS(norm(Tensor::zeros({2})), ShapeError);
  CHECK(norm(Tensor::zeros({0, 3, 2})).shape() == Shape{0, 3, 2});
}

TEST_CASE("nn: Sequential", "[nn]") {
  Sequential net;
  const Tensor x = randn({2, 4});
  CHECK(net(x).is(x));
  const auto layer = std::make_shared<Linear>(4, 3);
  net.append(layer);
  net.append(std::make_shared<Activate>(Activation::relu));
  CHECK(same_bits(net(x), relu(layer->forward(x))));
  CHECK(net.modules().size() == 2);
  CHECK_THROWS_AS(net.append(nullptr), ArgumentError);
  CHECK(net.modules().size() == 2);
}

TEST_CASE("nn: gradients reach every parameter", "[nn][grad]") {
  Block block;
  sum(block(randn({5, 4}))).backward();
  for (const auto& [name, p] : block.named_parameters()) {
    CAPTURE(name);
    CHECK(p.grad());
  }
  block.zero_grad();
  for (const Tensor& p : block.parameters()) CHECK(!p.grad());
}

TEST_CASE("nn: a module moves, its tensors stay the same objects", "[nn][cuda]") {
  if (!test::has_device()) return;
  Sequential net({std::make_shared<Linear>(3, 4), std::make_shared<Norm>("batchnorm", Shape{4})});
  const std::vector<Tensor> parameters = net.parameters();
  const Tensor gradient = Tensor::ones({4, 3});
  Tensor(parameters[0]).set_grad(gradient);
  const TensorMap before = [&] {
    TensorMap copies;
    for (const auto& [name, x] : net.state()) copies[name] = x.clone();
    return copies;
  }();
  optim::Adam adam(parameters, 0.1);
  net.to(Device::cuda);
  for (const auto& [name, x] : net.state()) {
    CHECK(x.device() == Device::cuda);
    CHECK(x.to_vector() == before.at(name).to_vector());
  }
  for (const Tensor& p : parameters) CHECK((p.device() == Device::cuda && p.requires_grad()));
  CHECK(parameters[0].grad().device() == Device::cuda);
  adam.step();  // made before the move
  CHECK(adam.state().at("0.weight.exp_avg").device() == Device::cuda);
  net.to(Device::cpu);
  adam.step();
  CHECK(net.parameters()[0].is(parameters[0]));
  CHECK(std::abs(parameters[0].to_vector()[0] - before.at("0.weight").to_vector()[0] + 0.2) < 1e-5);
  net.load_state(before);
  net.to(Device::cuda);
  net.load_state(before);  // from the CPU
  CHECK(net.state().at("0.weight").to_vector() == before.at("0.weight").to_vector());
}
