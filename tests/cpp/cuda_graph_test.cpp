#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::contains;
using test::error_of;

namespace {

Tensor numbers(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return randn(shape, 0, 1, DType::float32, generator);
}

/// A norm's training step on the GPU, with inputs that keep their place.
struct Step {
  nn::Norm norm{"layernorm", Shape{33}};
  Tensor x = Tensor::zeros({5, 33}, DType::float32, Device::cuda);
  Tensor dz = Tensor::zeros({5, 33}, DType::float32, Device::cuda);
  Tensor z, length;
  std::unique_ptr<optim::Optimizer> optimizer;

  template <class Kind, class Options>
  explicit Step(const Kind*, const Options& options) {
    norm.to(Device::cuda);
    optimizer = std::make_unique<Kind>(norm.parameters(), 0.1, options);
  }
  void operator()() {
    optimizer->zero_grad();
    z = norm(x);
    z.backward(dz);
    length = optim::clip_grad_norm(norm.parameters(), 2.0);
    optimizer->step();
  }
  void set_inputs(uint64_t step) {
    x.copy_(numbers(x.shape(), 2 * step));
    dz.copy_(numbers(x.shape(), 2 * step + 1));
    optimizer->set_lr(0.1 / static_cast<double>(step + 1));
  }
  std::vector<std::vector<double>> state() const {
    std::vector<std::vector<double>> all;
    for (const auto& [name, w] : norm.state()) all.push_back(w.to_vector());
    for (const auto& [name, m] : optimizer->state()) all.push_back(m.to_vector());
    return all;
  }
};

template <class Kind, class Options>
void check_same_steps(const Options& options) {
  const Kind* const kind = nullptr;
  Step eager(kind, options), captured(kind, options);
  cuda::Graph graph;
  for (uint64_t step = 0; step < 8; ++step) {
    eager.set_inputs(step);
    captured.set_inputs(step);
    eager();
    if (step == 1) graph.capture([&] { captured(); });
    // As it is before the capture, and once in between, as for a last smaller batch.
    if (step == 0 || step == 5)
      captured();
    else
      graph.replay();
    CHECK(eager.state() == captured.state());
    if (step >= 5) continue;  // the results' handles are the uncaptured step's
    CHECK(eager.z.to_vector() == captured.z.to_vector());
    CHECK(eager.length.item() == captured.length.item());
  }
}

}  // namespace

TEST_CASE("graph: replayed steps are the steps, bit for bit", "[cuda]") {
  if (!test::has_device()) return;
  check_same_steps<optim::Adam>(optim::AdamOptions{});
  check_same_steps<optim::AdamW>(optim::AdamOptions{.weight_decay = 0.1});
  check_same_steps<optim::SGD>(optim::SGDOptions{.momentum = 0.9});
  check_same_steps<optim::SGD>(optim::SGDOptions{});
}

TEST_CASE("graph: nothing runs at the capture", "[cuda]") {
  if (!test::has_device()) return;
  const optim::Adam* const kind = nullptr;
  Step step(kind, optim::AdamOptions{});
  step.set_inputs(0);
  step();
  const auto before = step.state();
  cuda::Graph graph;
  CHECK_FALSE(graph.captured());
  graph.capture([&] { step(); });
  CHECK(graph.captured());
  CHECK(step.state() == before);
  const uint64_t version = step.norm.parameters()[0].version();
  graph.replay();
  CHECK(step.state() != before);
  CHECK(step.norm.parameters()[0].version() > version);
}

TEST_CASE("graph: its memory is nobody else's", "[cuda]") {
  if (!test::has_device()) return;
  cuda::empty_cache();
  const int64_t before = cuda::memory_stats().in_use;
  const Tensor x = numbers({64, 256}, 1).to(Device::cuda);
  Tensor z;
  {
    cuda::Graph graph;
    graph.capture([&] {
      Tensor y = x;  // what lies between is freed while captured, and used again within
      for (int i = 0; i < 4; ++i) y = nn::Norm("layernorm_simple", Shape{256}).forward(y);
      z = y;
    });
    graph.replay();
    const std::vector<double> want = z.to_vector();
    std::vector<Tensor> others;
    for (int i = 0; i < 50; ++i)
      others.push_back(Tensor::full({64, 256}, 7, DType::float32, Device::cuda));
    graph.replay();
    CHECK(z.to_vector() == want);
    for (const Tensor& other : others) CHECK(other.to_vector() == std::vector<double>(64 * 256, 7));
  }
  CHECK(z.numel() == 64 * 256);  // outlives the graph
  z = Tensor();
  CHECK(cuda::memory_stats().in_use == before + 65536);
  CHECK(cuda::memory_stats().cached > 0);
  cuda::empty_cache();
  CHECK(cuda::memory_stats().cached == 0);
}

TEST_CASE("graph: another may go while one is captured", "[cuda]") {
  if (!test::has_device()) return;
  const Tensor x = numbers({7}, 1).to(Device::cuda);
  Tensor z;
  auto other = std::make_unique<cuda::Graph>();
  other->capture([&] { z = x + x; });
  other->replay();
  cuda::Graph graph;
  graph.capture([&] {
    other = nullptr;
    z = x + x + x;
  });
  graph.replay();
  CHECK(z.to_vector() == (x + x + x).to_vector());
}

TEST_CASE("graph: what it made can go backward when it is gone", "[cuda]") {
  if (!test::has_device()) return;
  Tensor x = Tensor::ones({100}, DType::float32, Device::cuda).set_requires_grad();
  Tensor z;
  {
    cuda::Graph graph;
    graph.capture([&] { z = dropout(x, 0.5, true); });
    graph.replay();
    graph.replay();
  }
  std::vector<Tensor> others;  // in what was the graph's
  for (int i = 0; i < 20; ++i)
    others.push_back(Tensor::full({512}, 7, DType::float32, Device::cuda));
  z.backward(Tensor::ones({100}, DType::float32, Device::cuda));
  CHECK(x.grad().to_vector() == z.to_vector());
}

TEST_CASE("graph: what is cached is there for a capture", "[cuda]") {
  if (!test::has_device()) return;
  const int64_t most = cuda::properties().memory / 5 * 3;
  if (most > int64_t{1} << 30) return;  // of a real GPU it might be somebody's
  Tensor::empty({most}, DType::uint8, Device::cuda);
  Tensor z;
  cuda::Graph graph;
  graph.capture([&] { z = Tensor::zeros({most / 8 * 9}, DType::uint8, Device::cuda); });
  graph.replay();
  CHECK(z.slice(0, 1).item() == 0);
}

TEST_CASE("graph: two steps of an optimizer count as two", "[cuda]") {
  if (!test::has_device()) return;
  const optim::Adam* const kind = nullptr;
  Step eager(kind, optim::AdamOptions{}), captured(kind, optim::AdamOptions{});
  eager.set_inputs(0);
  captured.set_inputs(0);
  cuda::Graph graph;
  graph.capture([&] { captured(), captured(); });
  for (int i = 0; i < 3; ++i) {
    eager(), eager();
    graph.replay();
    CHECK(eager.state() == captured.state());
  }
}

TEST_CASE("graph: a generator of one's own must stay", "[cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({100}, DType::float32, Device::cuda);
  const char* const gone = "a generator that the captured work draws from is gone";
  cuda::Graph graph;
  CHECK(contains(error_of<ArgumentError>([&] {
                   graph.capture([&] {
                     auto temporary = std::make_unique<Generator>(7);
                     dropout(x, 0.5, true, *temporary);
                     temporary = nullptr;
                   });
                 }),
                 gone));
  CHECK_FALSE(graph.captured());

  auto generator = std::make_unique<Generator>(7);
  Generator same(7);
  Tensor z;
  graph.capture([&] { z = dropout(x, 0.5, true, *generator); });
  for (int i = 0; i < 2; ++i) {
    graph.replay();
    CHECK(z.to_vector() == dropout(x, 0.5, true, same).to_vector());
  }
  generator = nullptr;
  CHECK(contains(error_of<ArgumentError>([&] { graph.replay(); }), gone));
}

TEST_CASE("graph: parameters that were moved are not written where they were", "[cuda]") {
  if (!test::has_device()) return;
  const optim::SGD* const sgd = nullptr;
  const optim::Adam* const adam = nullptr;
  Step steps[] = {Step(sgd, optim::SGDOptions{.momentum = 0.9}), Step(adam, optim::AdamOptions{})};
  for (Step& step : steps) {
    step.set_inputs(0);
    step();
    cuda::Graph graph;
    graph.capture([&] { step(); });
    graph.replay();
    step.norm.to(Device::cpu);
    std::vector<Tensor> others;
    for (int i = 0; i < 9; ++i)
      others.push_back(Tensor::full({33}, 7, DType::float32, Device::cuda));
    step.norm.to(Device::cuda);
    CHECK(contains(error_of<ArgumentError>([&] { graph.replay(); }), "have been moved"));
    for (const Tensor& other : others) CHECK(other.to_vector() == std::vector<double>(33, 7));
    graph.capture([&] { step(); });
    graph.replay();
  }
}

TEST_CASE("graph: what a capture cannot have, in words", "[cuda]") {
  if (!test::has_device()) return;
  const optim::Adam* const kind = nullptr;
  Step step(kind, optim::AdamOptions{});
  step.set_inputs(0);
  step();
  cuda::Graph graph;
  const auto refused = [&](const std::function<void()>& body) {
    const std::string message = error_of<DeviceError>([&] { graph.capture(body); });
    CHECK_FALSE(graph.captured());
    step();  // the GPU goes on
    CHECK(step.z.to_vector().size() == 165);
    return message;
  };
  const char* const no_values = "a capture has no values yet";
  CHECK(contains(refused([&] { step(), step.length.item(); }), no_values));
  CHECK(contains(refused([&] { step.z.to_vector(); }), no_values));
  CHECK(contains(refused([&] { step.z.to(Device::cpu); }), no_values));
  CHECK(contains(refused([&] { numbers({2}, 1).to(Device::cuda); }), no_values));
  CHECK(contains(refused([&] { cuda::synchronize(); }), "synchronize: a capture"));
  CHECK(contains(refused([&] { cuda::empty_cache(); }), no_values));
  CHECK(contains(refused([&] { cuda::let_wait(nullptr); }), no_values));
  CHECK(contains(refused([&] { cuda::Graph().capture([] {}); }), "within another"));
  CHECK(contains(refused([&] {
                   std::string message;
                   std::thread([&] {
                     message = error_of<DeviceError>(
                         [] { Tensor::ones({2}, DType::float32, Device::cuda); });
                   }).join();
                   fail<DeviceError>("thread", message);
                 }),
                 "another thread captures a graph"));
  CHECK_THROWS_AS(graph.capture([] { throw 1; }), int);

  // A gradient of a step that failed was never computed.
  refused([&] { step(), step.length.item(); });
  CHECK_THROWS_AS(graph.capture([&] { step(), throw 1; }), int);
  CHECK_FALSE(step.norm.parameters()[0].grad());
  step();
  CHECK(contains(
      error_of<GradError>([&] { graph.capture([&] { step.norm(step.x).backward(step.dz); }); }),
      "zero_grad() must come first"));
  CHECK(error_of<ArgumentError>([&] { graph.replay(); }) == "replay: nothing is captured");
  step();
  graph.capture([&] { step(); });
  step.optimizer = nullptr;
  CHECK(contains(error_of<ArgumentError>([&] { graph.replay(); }), "is gone"));
}
