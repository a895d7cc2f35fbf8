#include <algorithm>
#include <filesystem>
#include <functional>

#include "catch.h"
#include "core/allocator.h"
#include "folder.h"
#include "gradcheck.h"
#include "normlab/normlab.h"
#include "normlab/parse.h"
#include "normlab/text.h"

using namespace normlab;

namespace {

/// No allocation fails any more when it goes.
struct Failing {
  explicit Failing(int64_t n) { normlab_fail_allocation(n); }
  ~Failing() { normlab_fail_allocation(0); }
};

using Values = std::vector<Tensor>;

/// Lets every allocation of work() fail once. Each time it must throw OutOfMemoryError, give back
/// all memory, and come to the same values when it is repeated with memory. Returns how many there
/// are.
int64_t let_each_fail(const std::function<Values()>& work) {
  constexpr int64_t kMany = int64_t{1} << 40;
  const Values wanted = work();
  normlab_fail_allocation(kMany);
  work();
  const int64_t allocations = kMany - normlab_fail_allocation(0);
  const int64_t before = memory_stats().in_use;
  for (int64_t n = 1; n <= allocations; ++n) {
    CAPTURE(n, allocations);
    {
      const Failing failing(n);
      CHECK_THROWS_AS(work(), OutOfMemoryError);
    }
    CHECK(memory_stats().in_use == before);
  }
  CHECK(std::ranges::equal(work(), wanted, test::same_bits));
  return allocations;
}

/// Two training steps from the same start; the parameters after them.
Values trained(nn::Module& net, const std::function<Tensor()>& loss_of) {
  optim::AdamW optimizer(net.parameters(), 1e-3);
  for (int step = 0; step < 2; ++step) {
    optimizer.zero_grad();
    const Tensor loss = loss_of();
    loss.backward();
    optim::clip_grad_norm(net.parameters(), 1.0);
    optimizer.step();
  }
  Values values;
  for (const Tensor& parameter : net.parameters()) values.push_back(parameter.detach());
  return values;
}

}  // namespace

TEST_CASE("memory that runs out at any allocation of training: images", "[faults]") {
  const auto norm = GENERATE(as<std::string>{}, "layernorm", "adanorm", "batchnorm", "topk");
  CAPTURE(norm);
  const int64_t allocations = let_each_fail([&] {
    manual_seed(1);
    nn::Sequential net(
        {std::make_shared<nn::Conv2d>(1, 3, std::pair<int64_t, int64_t>{3, 3}),
         std::make_shared<nn::MaxPool2d>(),
         std::make_shared<nn::Norm>(norm, norm == "batchnorm" ? Shape{3} : Shape{3, 3, 3}),
         std::make_shared<nn::Flatten>(), std::make_shared<nn::Linear>(27, 4)});
    const Tensor x = randn({5, 1, 8, 8}), targets = randint(0, 4, {5});
    return trained(net, [&] { return cross_entropy(net(x), targets); });
  });
  CHECK(allocations > 50);
}

TEST_CASE("memory that runs out at any allocation of training: text", "[faults]") {
  const int64_t allocations = let_each_fail([] {
    manual_seed(2);
    text::ClassifierOptions options{.vocabulary = 9, .classes = 2};
    options.encoder = {.size = 8, .heads = 2, .hidden = 8, .layers = 1};
    text::Classifier net(options);
    const text::Packed sentences = text::pack({{1, 2, 3}, {}, {4, 5}});
    const Tensor targets = Tensor::of<int64_t>({3}, {0, 1, 1});
    return trained(net, [&] { return cross_entropy(net.forward(sentences), targets); });
  });
  CHECK(allocations > 50);
}

TEST_CASE("memory that runs out at any allocation of training: parser", "[faults]") {
  const bool input_norm = GENERATE(false, true);
  const int64_t allocations = let_each_fail([&] {
    manual_seed(3);
    parse::Network net({.rows = 20,
                        .classes = 5,
                        .features = 6,
                        .embedding = 4,
                        .hidden = 8,
                        .input_norm = input_norm});
    const Tensor features = randint(0, 20, {7, 6}).to(DType::int32), targets = randint(0, 5, {7});
    return trained(net, [&] { return cross_entropy(net.forward(features), targets); });
  });
  CHECK(allocations > 50);
}

TEST_CASE("memory that runs out while a file is loaded", "[faults]") {
  const test::Folder folder;
  const std::string path = folder.file();
  save(path, {{"x", Tensor::arange(5)}, {"y", Tensor::full({2, 3}, 1.5)}});
  const int64_t allocations = let_each_fail([&] {
    const TensorFile file = load(path);
    return Values{file.tensors.at("x"), file.tensors.at("y")};
  });
  CHECK(allocations == 2);
}
