#include <memory>
#include <thread>

#include "catch.h"
#include "normlab/normlab.h"

using namespace normlab;

TEST_CASE("NoGrad: several end in any order", "[autograd][no_grad]") {
  auto first = std::make_unique<NoGrad>();
  auto second = std::make_unique<NoGrad>();
  first.reset();
  CHECK_FALSE(grad_enabled());
  second.reset();
  CHECK(grad_enabled());
}

TEST_CASE("NoGrad: any thread ends it for the one that made it", "[autograd][no_grad]") {
  std::unique_ptr<NoGrad> off;
  std::thread([&] { off = std::make_unique<NoGrad>(); }).join();
  CHECK(grad_enabled());
  off.reset();  // its thread is gone
  CHECK(grad_enabled());

  off = std::make_unique<NoGrad>();
  bool there = false;
  std::thread([&] {
    there = grad_enabled();
    off.reset();
  }).join();
  CHECK(there);
  CHECK(grad_enabled());
}

TEST_CASE("Probe: several end in any order, on any thread", "[probe]") {
  nn::Norm norm("layernorm", {4});
  const Tensor x = randn({2, 4});
  auto outer = std::make_unique<Probe>(), inner = std::make_unique<Probe>();
  outer.reset();
  norm(x);
  CHECK(inner->records().size() == 1);
  std::thread([&] { inner.reset(); }).join();
  norm(x);  // into neither
  const Probe last;
  norm(x);
  CHECK(last.records().size() == 1);
}
