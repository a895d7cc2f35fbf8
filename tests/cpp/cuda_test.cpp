#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::contains;
using test::error_of;

namespace {

std::vector<double> counted(int64_t n) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<double>(i));
  return values;
}

/// CUDA itself, for what others do beside the engine: on the emulated device only.
struct Emulated {
  int (*create_stream)(void** stream) = nullptr;
  int (*synchronize)(void* stream) = nullptr;
  int (*copy)(void* to, const void* from, size_t bytes, int kind, void* stream) = nullptr;
  int (*pinned)(void** memory, size_t bytes, unsigned flags) = nullptr;
  int (*set_device)(int device) = nullptr;
  int (*get_device)(int* device) = nullptr;
  static constexpr int kDeviceToHost = 2;

  /// Whether it is there.
  bool find() {
    const char* path = std::getenv("NORMLAB_CUDA_LIBRARY");
    if (!path || !test::has_device()) return false;
    void* library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return library && find(create_stream, "cudaStreamCreate") &&
           find(synchronize, "cudaStreamSynchronize") && find(copy, "cudaMemcpyAsync") &&
           find(pinned, "cudaHostAlloc") && find(set_device, "cudaSetDevice") &&
           find(get_device, "cudaGetDevice");
  }
};

Tensor sevens() {
  return Tensor::full({1000}, 7, DType::float32, Device::cuda);
}

}  // namespace

TEST_CASE("without a GPU, the reason is said and all else goes on", "[cuda]") {
  if (cuda::is_available()) {
    CHECK(cuda::why_not().empty());
    return;
  }
  const std::string why = cuda::why_not();
  REQUIRE_FALSE(why.empty());
#if defined(NORMLAB_HAS_CUDA)
  CHECK(why != "this build has no CUDA backend");  // it was loaded, and found no device
#else
  CHECK(why == "this build has no CUDA backend");
#endif
  const std::string message = "cuda: device 'cuda' is not available: " + why;
  const Tensor x = Tensor::ones({2});
  CHECK(error_of<DeviceError>([] { Tensor::empty({2}, DType::float32, Device::cuda); }) == message);
  CHECK(error_of<DeviceError>([] { Tensor::zeros({0}, DType::int64, Device::cuda); }) == message);
  CHECK(error_of<DeviceError>([&] { x.to(Device::cuda); }) == message);
  CHECK(error_of<DeviceError>([] { cuda::synchronize(); }) == message);
  CHECK(error_of<DeviceError>([] { cuda::properties(); }) == message);
  CHECK(error_of<DeviceError>([] { cuda::memory_stats(); }) == message);
  CHECK(error_of<DeviceError>([] { cuda::empty_cache(); }) == message);
  CHECK(sum(x).item() == 2);
  CHECK(build_info().cuda_reason == why);
}

TEST_CASE("tensors go to the GPU and come back", "[cuda]") {
  if (!test::has_device()) return;
  for (const DType dtype :
       {DType::float32, DType::float64, DType::int32, DType::int64, DType::uint8, DType::boolean}) {
    CAPTURE(dtype);
    const Tensor x = Tensor::arange(77).to(dtype);
    const Tensor there = x.to(Device::cuda);
    CHECK(there.device() == Device::cuda);
    CHECK(there.to_vector() == x.to_vector());
    CHECK(there.clone().to(Device::cpu).to_vector() == x.to_vector());
    CHECK(there.slice(5, 9).to_vector() == x.slice(5, 9).to_vector());
    CHECK(Tensor::full({3, 5}, 1, dtype, Device::cuda).to_vector() == std::vector<double>(15, 1));
    CHECK(Tensor::zeros({1000, 1001}, dtype, Device::cuda).slice(999, 1000).to_vector() ==
          std::vector<double>(1001, 0));
  }
  CHECK(Tensor::empty({0, 3}, DType::float32, Device::cuda).to_vector().empty());
}

TEST_CASE("gradients follow a tensor across devices", "[cuda]") {
  if (!test::has_device()) return;
  Tensor x = Tensor::of({3, 2}, counted(6)).set_requires_grad();
  const Tensor y = x.to(Device::cuda).slice(1, 3);
  const Tensor dz = Tensor::of({2, 2}, counted(4)).to(Device::cuda);
  y.backward(dz);
  CHECK(x.grad().device() == Device::cpu);
  CHECK(x.grad().to_vector() == std::vector<double>{0, 0, 0, 1, 2, 3});
}

TEST_CASE("the GPU's memory is counted, cached and refused in words", "[cuda]") {
  if (!test::has_device()) return;
  cuda::empty_cache();
  const MemoryStats before = cuda::memory_stats();
  {
    const Tensor kept = Tensor::zeros({1 << 20}, DType::float32, Device::cuda);
    CHECK(cuda::memory_stats().in_use >= before.in_use + kept.nbytes());
  }
  CHECK(cuda::memory_stats().in_use == before.in_use);
  CHECK(cuda::memory_stats().cached >= 1 << 22);
  const int64_t calls = cuda::memory_stats().system_calls;
  CHECK(Tensor::ones({1 << 20}, DType::float32, Device::cuda)[5].item() == 1);
  CHECK(cuda::memory_stats().system_calls == calls);
  const int64_t too_many = cuda::properties().memory / 4 + (1 << 20);
  const std::string message =
      error_of<OutOfMemoryError>([&] { Tensor::empty({too_many}, DType::float32, Device::cuda); });
  for (const char* part : {"the GPU has no ", "are free", "in use by tensors", "cached"})
    CHECK(contains(message, part));
  CHECK(Tensor::ones({2}, DType::float32, Device::cuda).to_vector() == std::vector<double>{1, 1});
}

TEST_CASE("the CPU never reads a GPU's pointer", "[cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({2, 3}, DType::float32, Device::cuda);
  CHECK(contains(error_of<DeviceError>([&] { x.data<float>(); }), "x.to('cpu')"));
  CHECK(contains(error_of<DeviceError>([&] { x.raw(); }), "x.to('cpu')"));
}

TEST_CASE("a bad index on the GPU is an error at the next call that waits", "[cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::of({5, 2}, counted(10)), there = x.to(Device::cuda);
  Tensor index = Tensor::zeros({400, 3}, DType::int64);
  index.data<int64_t>()[700] = 7;
  index.data<int64_t>()[500] = -6;
  index.data<int64_t>()[1199] = 9;
  const std::string message = error_of<RangeError>([&] { take(x, index); });
  CHECK(message == "take: index must be in [-5, 5), got -6 at [166, 2]");
  const Tensor z = take(there, index.to(Device::cuda));
  // A later op's lower place comes second.
  const Tensor later = gather(there, 0, Tensor::full({1, 2}, 5, DType::int32, Device::cuda));
  CHECK(error_of<RangeError>([&] { z.to_vector(); }) == message);
  const std::vector<double> values = z.to_vector();  // once said, it is over
  CHECK(std::isnan(values[1000]));
  CHECK(std::vector<double>(values.begin() + 1002, values.begin() + 1004) ==
        std::vector<double>{0, 1});
  CHECK(std::isnan(later.to_vector()[0]));
  take(there, Tensor::full({2}, -9, DType::int32, Device::cuda));
  CHECK(error_of<RangeError>([] { cuda::synchronize(); }) ==
        "take: index must be in [-5, 5), got -9 at [0]");
  cuda::synchronize();
}

TEST_CASE("a bad index on the GPU gives no gradient to anyone", "[cuda]") {
  if (!test::has_device()) return;
  Tensor x = Tensor::of({5, 2}, counted(10)).to(Device::cuda).set_requires_grad();
  take(x, Tensor::of<int64_t>({3}, {1, 70, -1}).to(Device::cuda))
      .backward(Tensor::ones({3, 2}, DType::float64, Device::cuda));
  CHECK(error_of<RangeError>([&] { x.grad().to_vector(); }) ==
        "take: index must be in [-5, 5), got 70 at [1]");
  CHECK(x.grad().to_vector() == std::vector<double>{0, 0, 1, 1, 0, 0, 0, 0, 1, 1});
}

TEST_CASE("backward works on the GPU", "[cuda]") {
  if (!test::has_device()) return;
  Tensor x = Tensor::of<double>({3}, {1, 2, 3}).to(Device::cuda).set_requires_grad();
  (x * x + x + sum(x)).backward(Tensor::of<double>({3}, {1, 10, 100}).to(Device::cuda));
  CHECK(x.grad().device() == Device::cuda);
  CHECK(x.grad().to_vector() == std::vector<double>{3 + 111, 50 + 111, 700 + 111});
  sum(x * 2.0).backward();  // from a seed of its own, on top of what is there
  CHECK(x.grad().to_vector() == std::vector<double>{116, 163, 813});
  CHECK(error_of<DeviceError>([&] { (x * x).backward(Tensor::ones({3}, DType::float64)); }) ==
        "backward: the gradient must be on cuda, got cpu");
  CHECK(error_of<DeviceError>([&] { x.set_grad(Tensor::ones({3}, DType::float64)); }) ==
        "set_grad: the gradient must be on cuda, got cpu");
}

TEST_CASE("rows of a gradient become dense on the GPU", "[cuda]") {
  if (!test::has_device()) return;
  for (const int64_t width : {0, 1, 3, 4}) {
    const Tensor rows = Tensor::of<int64_t>({2}, {1, 4});
    const Tensor values = Tensor::arange(2 * width).to(DType::float32).reshape({2, width});
    const SparseRows here{rows, values, {6, width}};
    const SparseRows there{rows.to(Device::cuda), values.to(Device::cuda), {6, width}};
    CHECK(there.dense().device() == Device::cuda);
    CHECK(there.dense().to_vector() == here.dense().to_vector());
  }
  const SparseRows none{Tensor::empty({0}, DType::int64, Device::cuda),
                        Tensor::empty({0, 3}, DType::float32, Device::cuda),
                        {2, 3}};
  CHECK(none.dense().to_vector() == std::vector<double>(6, 0));
}

TEST_CASE("tensors on the GPU can be printed and read", "[cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::of<float>({2}, {1, 2.5}).to(Device::cuda);
  CHECK(to_string(x) == "tensor([ 1., 2.5], shape=[2], dtype=float32, device=cuda)");
  CHECK(x[1].item() == 2.5);
}

TEST_CASE("memory is kept for another stream", "[cuda]") {
  Emulated device;
  if (!device.find()) return;
  void* other = nullptr;
  device.create_stream(&other);
  cuda::synchronize();
  const int64_t before = cuda::memory_stats().in_use;
  for (const bool captured : {false, true}) {
    std::vector<float> seen(1000);
    Tensor x = Tensor::full({1000}, 3, DType::float32, Device::cuda);
    device.copy(seen.data(), cuda::data(x), 4000, Emulated::kDeviceToHost, other);
    const auto lose = [&] {
      cuda::keep_for_others(x);
      x = Tensor();
    };
    cuda::Graph graph;
    if (captured)
      graph.capture(lose);
    else
      lose();
    const Tensor next[] = {sevens(), sevens()};
    device.synchronize(other);
    CHECK(seen == std::vector<float>(1000, 3));
    CHECK(cuda::memory_stats().in_use > before + 8000);
  }
  cuda::synchronize();
  CHECK(cuda::memory_stats().in_use == before);
}

TEST_CASE("memory kept for others comes back when there is much of it", "[cuda]") {
  Emulated device;
  if (!device.find()) return;
  void* other = nullptr;
  device.create_stream(&other);
  cuda::synchronize();
  const int64_t before = cuda::memory_stats().in_use;
  std::vector<float> seen(1000);
  for (int i = 0; i < 100; ++i) {
    const Tensor x = Tensor::full({1000}, i, DType::float32, Device::cuda);
    device.copy(seen.data(), cuda::data(x), 4000, Emulated::kDeviceToHost, other);
    cuda::keep_for_others(x);
    CHECK(cuda::memory_stats().in_use < before + 40 * 4096);
  }
  cuda::synchronize();  // of all streams
  CHECK(seen == std::vector<float>(1000, 99));
  CHECK(cuda::memory_stats().in_use == before);
}

TEST_CASE("pinned memory may change as soon as it is copied", "[cuda]") {
  Emulated device;
  if (!device.find()) return;
  void* memory = nullptr;
  device.pinned(&memory, 40, 0);
  auto* numbers = static_cast<float*>(memory);
  std::fill_n(numbers, 10, 3.0f);
  const Tensor x = Tensor::wrap(memory, {10}, DType::float32, [] {}).to(Device::cuda);
  std::fill_n(numbers, 10, 7.0f);
  CHECK(x.to_vector() == std::vector<double>(10, 3));
}

TEST_CASE("the thread's device may be another, and stays it", "[cuda]") {
  Emulated device;
  if (!device.find()) return;
  device.set_device(1);
  const Tensor x = Tensor::of({3, 5}, counted(15)).to(DType::float32).to(Device::cuda);
  const Tensor z = matmul(x, transpose(x)) + Tensor::full({3, 3}, 1, x.dtype(), Device::cuda);
  CHECK(sum(z.clone()).item() == 225 + 324 + 441 + 576 + 729 + 9);
  Tensor twice;
  {
    cuda::Graph graph;
    graph.capture([&] { twice = x + x; });
    graph.replay();
  }
  CHECK(twice.slice(1, 2).to_vector() == std::vector<double>{10, 12, 14, 16, 18});
  cuda::let_wait(cuda::native_stream());
  cuda::empty_cache();
  int now = 0;
  device.get_device(&now);
  CHECK(now == 1);
  device.set_device(0);
}

TEST_CASE("copies on the GPU may overlap", "[cuda]") {
  if (!test::has_device()) return;
  for (const auto& [to, from] : {std::pair(1, 0), {0, 1}, {40, 0}, {0, 60}}) {
    const Tensor here = Tensor::arange(100), there = here.to(Device::cuda);
    for (const Tensor& x : {here, there}) x.slice(to, to + 40).copy_(x.slice(from, from + 40));
    CHECK(there.to_vector() == here.to_vector());
  }
}

TEST_CASE("all kinds of elements fill memory on the GPU", "[cuda]") {
  if (!test::has_device()) return;
  for (const double value : {0.0, 1.0, 16843009.0, -2.5})
    for (const DType dtype : {DType::float32, DType::float64, DType::int32, DType::int64}) {
      const bool whole = value != -2.5 || dtype == DType::float32 || dtype == DType::float64;
      if (!whole) continue;
      const Tensor here = Tensor::full({1001}, value, dtype);
      CHECK(Tensor::full({1001}, value, dtype, Device::cuda).to_vector() == here.to_vector());
    }
}
