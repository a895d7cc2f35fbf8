#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"

using namespace normlab;
using test::error_of;

namespace {

/// Of results that are rounded once: half a unit in the last place is 2^-9 of the value.
constexpr double kRounding = 1.0 / 256;

/// Whole numbers from -2 to 2: bfloat16 holds their short sums of products as they are.
Tensor whole(const Shape& shape, uint64_t seed) {
  std::vector<double> values = test::leaf(shape, seed).to_vector();
  for (double& value : values) value = std::clamp(std::round(value), -2.0, 2.0);
  return Tensor::of<double>(shape, values).set_requires_grad();
}

/// The greatest difference relative to the greatest of `want`.
double relative(const Tensor& got, const Tensor& want) {
  double scale = 0;
  for (const double value : want.to_vector()) scale = std::max(scale, std::abs(value));
  return test::max_difference(got, want) / std::max(scale, 1e-30);
}

float rounded(float value) {
  return static_cast<float>(bfloat16(value));
}

}  // namespace

TEST_CASE("bfloat16 rounds to the nearest, ties to even", "[bfloat16]") {
  CHECK(rounded(1) == 1);
  CHECK(rounded(1 + 1.0f / 256) == 1);              // half way: to the even one below
  CHECK(rounded(1 + 3.0f / 256) == 1 + 1.0f / 64);  // half way: to the even one above
  CHECK(rounded(1 + 1.01f / 256) == 1 + 1.0f / 128);
  CHECK(rounded(-2.5f) == -2.5f);
  CHECK(rounded(std::numeric_limits<float>::max()) == INFINITY);
  CHECK(rounded(-INFINITY) == -INFINITY);
  CHECK(std::isnan(rounded(NAN)));
  uint32_t lowest_nan = 0x7f800001;  // its mark lies in the bits that go
  float value;
  std::memcpy(&value, &lowest_nan, sizeof value);
  CHECK(std::isnan(rounded(value)));
}

TEST_CASE("bfloat16 tensors are stored, copied, converted, printed and saved", "[bfloat16]") {
  const Tensor x = Tensor::of<float>({2, 2}, {1, -2.5, 3.140625, 1e30f});
  const Tensor b = x.to(DType::bfloat16);
  CHECK(b.nbytes() == 8);
  CHECK(b.slice(0, 1).to_vector() == std::vector<double>{1, -2.5});
  CHECK(b.clone()[1][0].item() == 3.140625);
  CHECK(b.slice(0, 1).to(DType::int32).to_vector() == std::vector<double>{1, -2});
  CHECK(std::abs(b[1][1].item() / 1e30 - 1) < 0.004);
  CHECK(Tensor::full({3}, 2.5, DType::bfloat16).to(DType::float64).to_vector() ==
        std::vector<double>(3, 2.5));
  std::ostringstream printed;
  printed << b.slice(0, 1);
  CHECK(printed.str().find("-2.5") != std::string::npos);
  const test::Folder folder;
  save(folder.file(), {{"b", b}, {"x", x}});
  const Tensor back = load(folder.file()).tensors.at("b");
  CHECK(back.dtype() == DType::bfloat16);
  CHECK(back.to_vector() == b.to_vector());
}

TEST_CASE("the gradient of a conversion to bfloat16 is converted back", "[bfloat16]") {
  Tensor x = Tensor::of<float>({3}, {1, 2, 3}).set_requires_grad();
  const Tensor b = x.to(DType::bfloat16);
  CHECK(b.requires_grad());
  b.backward(Tensor::of<float>({3}, {1, 0.5, 1.001f}).to(DType::bfloat16));
  CHECK(x.grad().dtype() == DType::float32);
  CHECK(x.grad().to_vector() == std::vector<double>{1, 0.5, 1});
}

TEST_CASE("what takes no bfloat16 says so", "[bfloat16]") {
  const Tensor b = Tensor::ones({2, 4}, DType::bfloat16), image = b.reshape({1, 1, 2, 4});
  for (const std::string& message : {
           error_of<DtypeError>([&] { max(b); }),
           error_of<DtypeError>([&] { var(b, {0}, false, 0); }),
           error_of<DtypeError>([&] { conv2d(image, image); }),
           error_of<DtypeError>([&] { max_pool2d(image); }),
           error_of<DtypeError>([&] { avg_pool2d(image); }),
       }) {
    CAPTURE(message);
    CHECK(message.find("bfloat16") != std::string::npos);
  }
}

TEST_CASE("bfloat16 on the CPU: ops of a Transformer and its loss", "[bfloat16]") {
  using In = std::vector<Tensor>;
  const auto check = [](const char* name, const std::function<Tensor(const In&)>& op,
                        const In& inputs, double most = 2 * kRounding) {
    CAPTURE(name);
    CHECK(test::bfloat16_difference(op, inputs) < most);
    std::vector<Tensor> narrow;
    for (const Tensor& x : inputs)
      narrow.push_back(is_floating(x.dtype()) ? x.detach().to(DType::bfloat16) : x);
    const DType dtype = op(narrow).dtype();
    CHECK((dtype == DType::bfloat16 || dtype == DType::boolean));
  };
  const Tensor x = whole({7, 33}, 1), y = whole({7, 33}, 2), row = whole({33}, 3);
  check("add", [](const In& in) { return in[0] + in[1]; }, {x, row});
  check("mul", [](const In& in) { return in[0] * in[1]; }, {x, y});
  check("number", [](const In& in) { return 2 * in[0] - 0.5; }, {x});
  check("lt", [](const In& in) { return compare(in[0], in[1], Comparison::lt); },
        {x.detach(), y.detach()});
  check("gt number", [](const In& in) { return compare(in[0], 0.5, Comparison::gt); },
        {x.detach()});
  check("gelu", [](const In& in) { return gelu(in[0]); }, {x});
  check("sum", [](const In& in) { return sum(in[0], {0}); }, {x});
  check("mean", [](const In& in) { return mean(in[0]); }, {x});
  check("softmax", [](const In& in) { return softmax(in[0]); }, {x});
  check(
      "log_softmax of axis 0", [](const In& in) { return log_softmax(in[0], 0); }, {x},
      4 * kRounding);
  check(
      "logsumexp", [](const In& in) { return logsumexp(in[0], {1}); }, {x}, 4 * kRounding);
  check("l2_normalize", [](const In& in) { return l2_normalize(in[0]); }, {x});
  check(
      "matmul", [](const In& in) { return matmul(in[0], in[1]); }, {x, whole({33, 5}, 4)},
      8 * kRounding);
  check("batched matmul", [](const In& in) { return matmul(in[0], in[1]); },
        {whole({3, 4, 5}, 5), whole({5, 6}, 6)});
  check("transpose", [](const In& in) { return transpose(in[0]); }, {x});
  check("concat", [](const In& in) { return concat({in[0], in[1]}); }, {x, y});
  const Tensor index = Tensor::of<int64_t>({4}, {2, 0, 2, 6});
  check("take", [&](const In& in) { return take(in[0], index); }, {x});
  check("embedding", [&](const In& in) { return embedding(in[0], index); }, {x});
  const Tensor places = Tensor::of<int64_t>({7, 1}, {0, 32, 5, 5, 1, 2, 3});
  check("gather", [&](const In& in) { return gather(in[0], 1, places); }, {x});
  const Tensor offsets = Tensor::of<int64_t>({3}, {0, 4, 7});
  check("segment_mean", [&](const In& in) { return segment_mean(in[0], offsets); }, {x});
  check(
      "attention", [&](const In& in) { return attention(in[0], offsets, 1); }, {x}, 8 * kRounding);
  const Tensor classes = Tensor::of<int64_t>({7}, {0, 1, 2, 3, 4, 5, 32});
  check("cross_entropy", [&](const In& in) { return cross_entropy(in[0], classes); }, {x});
  check(
      "cross_entropy of probabilities",
      [](const In& in) { return cross_entropy(in[0], softmax(in[1])); }, {x, y}, 0.05);
  check("dropout",
        [](const In& in) {
          Generator generator(7);
          return dropout(in[0], 0.5, true, generator);
        },
        {x});
}

TEST_CASE("bfloat16 on the CPU: linear in every layout and activation", "[bfloat16][linear]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
    const auto op = [&](const std::vector<Tensor>& in) {
      return linear(in[0], in[1], in[2], activation);
    };
    for (const int64_t rows : {0, 1, 33, 130}) {
      CAPTURE(rows, name_of(activation));
      CHECK(test::bfloat16_difference(
                op, {whole({rows, 80}, 1), whole({16, 80}, 2), whole({16}, 3)}) < 16 * kRounding);
    }
  }
}

TEST_CASE("linear takes bfloat16 on the GPU", "[bfloat16][linear][cuda]") {
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{1}, {1, 1}},        {{33}, {5, 33}},       {{1, 3}, {513, 3}}, {{513, 3}, {1, 3}},
      {{32, 80}, {16, 80}}, {{7, 20, 5}, {12, 5}}, {{0, 3}, {4, 3}},   {{3, 0}, {4, 0}}};
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                      Activation::tanh, Activation::sigmoid}) {
    const auto op = [&](const std::vector<Tensor>& in) {
      return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), activation);
    };
    const auto part = [&](const std::vector<Tensor>& in) {
      return linear(in[0].slice(1, 4), in[1].slice(1, 9), in[2].slice(1, 9), activation);
    };
    // What is rounded before the derivative counts as often as there are rows or columns.
    const bool exact = activation == Activation::none || activation == Activation::relu;
    const double most = exact ? 2 * kRounding : 16 * kRounding;
    for (const auto& [x, w] : shapes) {
      CAPTURE(name_of(activation), x.str(), w.str());
      const std::vector<Tensor> inputs = {whole(x, 1), whole(w, 2), whole({w[0]}, 3)};
      CHECK(test::cuda_difference(op, inputs, DType::bfloat16) < most);
      CHECK(test::cuda_difference(op, {inputs[0], inputs[1]}, DType::bfloat16) < most);
    }
    for (const int64_t n : {3, 8})
      CHECK(test::cuda_difference(part, {whole({4, n}, 1), whole({9, n}, 2), whole({9}, 3)},
                                  DType::bfloat16) < most);
  }
}

TEST_CASE("linear adds the bias before it rounds to bfloat16", "[bfloat16][cuda]") {
  if (!test::has_device()) return;
  // 1 * 100 + 1/4 * 1 = 100.25, which bfloat16 would round to 100; minus 100.
  for (const int64_t rows : {1, 8, 70}) {
    Tensor x = Tensor::ones({rows, 2}), w = Tensor::ones({8, 2});
    x = x * Tensor::of<float>({2}, {1, 0.25f});
    w = w * Tensor::of<float>({2}, {100, 1});
    const Tensor bias = Tensor::full({8}, -100);
    const auto there = [](const Tensor& t) { return t.to(DType::bfloat16).to(Device::cuda); };
    const Tensor z = linear(there(x), there(w), bias.to(Device::cuda));
    CHECK(z.to_vector() == std::vector<double>(static_cast<size_t>(rows * 8), 0.25));
  }
}

TEST_CASE("products of bfloat16 sum the last of many rows", "[bfloat16][cuda]") {
  if (!test::has_device()) return;
  const int64_t sixteen = 16;
  for (const int64_t rows : {17, 33, 4097, 4098, 8648, 11528}) {
    CAPTURE(rows);
    const auto last = [&](int64_t width) {
      const Tensor x = Tensor::zeros({rows, width}, DType::bfloat16, Device::cuda);
      x.slice(rows - 1, rows).fill_(1);
      return x;
    };
    Tensor w = Tensor::zeros({sixteen, sixteen}, DType::bfloat16, Device::cuda);
    w.set_requires_grad();
    linear(last(sixteen), w).backward(last(sixteen));
    CHECK(w.grad().to_vector() == std::vector<double>(256, 1));
  }
}

TEST_CASE("linear and norm keep float32 parameters beside bfloat16", "[bfloat16][cuda]") {
  if (!test::has_device()) return;
  struct Result {
    Tensor z, dx, dw, db;
  };
  const auto run = [](const auto& op, Device device, Tensor x, Tensor w, Tensor b) {
    const bool narrow = device == Device::cuda;
    x = x.detach().to(DType::bfloat16).to(narrow ? DType::bfloat16 : DType::float32).to(device);
    w = w.detach().to(DType::float32).to(device);
    b = b.detach().to(DType::float32).to(device);
    for (Tensor* t : {&x, &w, &b}) t->set_requires_grad();
    const Tensor z = op(x, w, b);
    const Tensor dz = test::leaf(z.shape(), 4).detach().to(DType::bfloat16);
    z.backward(dz.to(x.dtype()).to(device));
    return Result{z, x.grad(), w.grad(), b.grad()};
  };
  const auto check = [&](const auto& op, const Tensor& x, const Tensor& w, const Tensor& b) {
    const Result want = run(op, Device::cpu, x, w, b), got = run(op, Device::cuda, x, w, b);
    CHECK((got.z.dtype() == DType::bfloat16 && got.dx.dtype() == DType::bfloat16));
    CHECK((got.dw.dtype() == DType::float32 && got.db.dtype() == DType::float32));
    CHECK(relative(got.z, want.z) < 2 * kRounding);
    CHECK(relative(got.dx, want.dx) < 2 * kRounding);
    CHECK(relative(got.dw, want.dw) < 2 * kRounding);
    CHECK(relative(got.db, want.db) < kRounding);
    return got;
  };
  const auto product = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return linear(x, w, b, Activation::gelu);
  };
  const Tensor weight = test::leaf({24, 40}, 2).to(DType::bfloat16);  // it is rounded for products
  check(product, test::leaf({70, 40}, 1), weight, test::leaf({24}, 3));
  NormParameters options;
  const auto with = [&](const char* name, int axes) {
    return [&options, name, axes](const Tensor& x, const Tensor& w, const Tensor& b) {
      options.gain = w;
      options.bias = b;
      options.axes = axes;
      return normalize(x, norm_variant(name), options);
    };
  };
  for (const int64_t n : {33, 64, 1504}) {
    check(with("layernorm", 1), test::leaf({70, n}, 1), test::leaf({n}, 2), test::leaf({n}, 3));
    check(with("groupnorm", 2), test::leaf({3, 8, n}, 1), test::leaf({8}, 2), test::leaf({8}, 3));
    check(with("batchnorm", 2), test::leaf({3, 8, n}, 1), test::leaf({8}, 2), test::leaf({8}, 3));
  }
  options.running_mean = Tensor::zeros({8}).to(Device::cuda);
  options.running_var = Tensor::ones({8}).to(Device::cuda);
  options.gain = options.bias = {};
  options.axes = 2;
  const Tensor x = test::leaf({3, 8, 5}, 1, 4).to(DType::bfloat16).to(Device::cuda);
  normalize(x, norm_variant("batchnorm"), options);
  CHECK(options.running_mean.to_vector()[0] > 0.2);
  options.running_var = options.running_var.to(DType::bfloat16);
  CHECK(error_of<DtypeError>([&] { normalize(x, norm_variant("batchnorm"), options); }) ==
        "normalize: running statistics of x bfloat16 must be float32, got bfloat16");
}

TEST_CASE("mixtures with bfloat16 that do not compute", "[bfloat16][cuda]") {
  if (!test::has_device()) return;
  const Tensor wide = Tensor::ones({4, 4}).to(Device::cuda);
  const Tensor narrow = wide.to(DType::bfloat16), widest = wide.to(DType::float64);
  CHECK(error_of<DtypeError>([&] { matmul(narrow, wide); }) ==
        "matmul: operands must have one dtype, got bfloat16 and float32; to('float32') converts");
  CHECK(error_of<DtypeError>([&] { linear(wide, narrow); }) ==
        "linear: operands must have one dtype, got float32 and bfloat16; to('float32') converts");
  CHECK(error_of<DtypeError>([&] { linear(narrow, widest); }) ==
        "linear: weight must be bfloat16 or float32 for x bfloat16, got float64");
  CHECK(error_of<DtypeError>([&] { linear(narrow, wide, widest[0]); }) ==
        "linear: bias must be bfloat16 or float32 for x bfloat16, got float64");
  NormParameters options;
  options.gain = widest[0];
  CHECK(error_of<DtypeError>([&] { normalize(narrow, norm_variant("layernorm"), options); }) ==
        "normalize: gain must be bfloat16 as x, or float32, got float64");
  options.gain = narrow[0];
  CHECK(error_of<DtypeError>([&] { normalize(wide, norm_variant("layernorm"), options); }) ==
        "normalize: gain must be float32 as x, got bfloat16");
}

TEST_CASE("a text classifier trains in bfloat16 with float32 parameters", "[bfloat16][cuda]") {
  const Device device = GENERATE(Device::cpu, Device::cuda);
  if (device == Device::cuda && !test::has_device()) return;
  text::ClassifierOptions options{.vocabulary = 11, .classes = 3};
  options.encoder.size = 16;
  options.encoder.heads = 2;
  options.encoder.hidden = 24;
  options.encoder.layers = 2;
  options.encoder.dropout = 0;
  options.encoder.activation = Activation::gelu;
  const auto pre_norm = GENERATE(true, false);
  options.encoder.pre_norm = pre_norm;
  const text::Packed words{Tensor::of<int64_t>({7}, {1, 2, 3, 4, 5, 6, 10}),
                           Tensor::of<int64_t>({3}, {0, 3, 7})};
  const text::Packed there{words.tokens.to(device), words.offsets.to(device)};
  text::Classifier plain(options);
  options.dtype = DType::bfloat16;
  text::Classifier narrow(options);
  narrow.load_state(plain.state());
  narrow.to(device);
  const auto loss = [](text::Classifier& model, const text::Packed& in) {
    const Tensor logits = model.forward(in);
    CHECK(logits.dtype() == DType::float32);
    return cross_entropy(logits, Tensor::of<int64_t>({2}, {0, 2}).to(logits.device()));
  };
  const Tensor want = loss(plain, words), got = loss(narrow, there);
  CHECK(std::abs(got.item() - want.item()) < 0.02);
  want.backward();
  got.backward();
  const std::vector<Tensor> exact = plain.parameters(), stored = narrow.parameters();
  for (size_t i = 0; i < exact.size(); ++i) {
    CAPTURE(i);
    CHECK(stored[i].grad().dtype() == DType::float32);
    CHECK(test::max_difference(stored[i].grad(), exact[i].grad()) < 0.02);
  }
  optim::Adam adam(stored, 0.01);
  const double before = got.item();
  for (int i = 0; i < 5; ++i) {
    adam.zero_grad();
    loss(narrow, there).backward();
    adam.step();
  }
  CHECK(loss(narrow, there).item() < before);
}
