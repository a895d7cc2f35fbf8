#include "op_table.h"

#include "catch.h"
#include "device.h"
#include "kernel_checks.h"

// Every row of op_table.h.

using namespace normlab;
using namespace normlab::test;

namespace {

/// Differences cost two calls an element.
constexpr int64_t kMostProbed = 200;

int64_t total_of(const Inputs& inputs) {
  int64_t n = 0;
  for (const Tensor& x : inputs) n += x.numel();
  return n;
}

bool any_gradient(const Inputs& inputs) {
  for (const Tensor& x : inputs)
    if (x.requires_grad()) return true;
  return false;
}

std::string shapes_of(const Inputs& inputs) {
  std::string text;
  for (const Tensor& x : inputs) text += x.shape().str() + (x.requires_grad() ? "' " : " ");
  return text;
}

/// The result and the gradients in that dtype, in float64.
std::vector<Tensor> run(const OpRow& row, const Inputs& inputs, DType dtype) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs) {
    leaves.push_back(is_floating(x.dtype()) ? x.detach().to(dtype).clone() : x.detach());
    if (x.requires_grad()) leaves.back().set_requires_grad();
  }
  const Tensor z = row.call(leaves);
  std::vector<Tensor> all{z.detach().to(DType::float64)};
  if (!z.requires_grad()) return all;
  Generator generator(12345);
  z.backward(randn(z.shape(), 0, 1, DType::float64, generator).to(dtype));
  for (const Tensor& leaf : leaves)
    if (leaf.requires_grad() && leaf.grad()) all.push_back(leaf.grad().to(DType::float64));
  return all;
}

/// Relative to the greatest value, at least 1: sums of large numbers cancel.
double difference(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  double most = got.size() == want.size() ? 0 : INFINITY;
  for (size_t k = 0; k < std::min(got.size(), want.size()); ++k) {
    double size = 1;
    for (const double v : want[k].to_vector()) size = std::max(size, std::abs(v));
    most = std::max(most, max_difference(got[k], want[k]) / size);
  }
  return most;
}

}  // namespace

TEST_CASE("ops: gradients are those of central differences", "[ops][grad]") {
  for (const OpRow& row : op_table())
    for (const Inputs& inputs : row.inputs) {
      if (total_of(inputs) > kMostProbed || !any_gradient(inputs)) continue;
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(gradient_error(row.call, inputs) < row.gradient);
    }
}

TEST_CASE("ops: float32 agrees with float64, forward and backward", "[ops]") {
  for (const OpRow& row : op_table())
    for (const Inputs& inputs : row.inputs) {
      if (row.name == "floor" || row.name == "round" || row.name == "remainder") continue;  // jumps
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(difference(run(row, inputs, DType::float32), run(row, inputs, DType::float64)) <
            row.float32);
    }
}

TEST_CASE("ops: the same bits for every call and number of threads", "[ops]") {
  for (const OpRow& row : op_table())
    for (const Inputs& inputs : row.inputs) {
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(same_for_any_threads([&] { return joined(run(row, inputs, DType::float32)); }));
    }
}

TEST_CASE("ops: dtypes without a kernel are refused by name", "[ops][error]") {
  for (const OpRow& row : op_table()) {
    if (!row.refuses_integers) continue;
    Inputs whole;
    for (const Tensor& x : row.inputs[0]) whole.push_back(Tensor::ones(x.shape(), DType::int32));
    CAPTURE(row.name);
    const std::string said = error_of<DtypeError>([&] { row.call(whole); });
    const bool with_bfloat16 = said.find("float32, float64 or bfloat16") != std::string::npos;
    CHECK((with_bfloat16 || said.find("float32 or float64") != std::string::npos));
    CHECK((with_bfloat16 || row.bfloat16 == 0));
  }
}

TEST_CASE("ops: bfloat16 on the CPU is rounded float32", "[ops][bfloat16]") {
  for (const OpRow& row : op_table())
    for (const Inputs& inputs : row.inputs) {
      if (row.bfloat16 == 0) continue;
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(bfloat16_difference(row.call, inputs) < row.bfloat16);
    }
}

TEST_CASE("ops: the GPU agrees with the CPU", "[ops][cuda]") {
  if (!test::has_device()) return;
  for (const OpRow& row : op_table()) {
    for (const Inputs& inputs : row.inputs) {
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(cuda_difference(row.call, inputs) < 1e-12);
      CHECK(cuda_difference(row.call, inputs, DType::float32) < row.float32);
      if (row.bfloat16 > 0)
        CHECK(cuda_difference(row.call, inputs, DType::bfloat16) < row.bfloat16);
    }
    for (const Inputs& inputs : row.exact) {
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(cuda_difference(row.call, inputs) == 0);
      CHECK(cuda_difference(row.call, inputs, DType::float32) == 0);
    }
    for (const Inputs& inputs : row.edges) {
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(cuda_difference(row.call, inputs) < 1e-12);
      CHECK(cuda_difference(row.call, inputs, DType::float32) < 1e-5);
    }
  }
}

TEST_CASE("ops: the GPU reads elements from any address", "[ops][cuda]") {
  if (!test::has_device()) return;
  for (const OpRow& row : op_table())
    for (const Inputs& inputs : row.inputs) {
      const auto shifted = [&](const Inputs& in) {
        Inputs moved;  // one element further
        for (const Tensor& x : in) moved.push_back(x.slice(1, x.numel()).reshape({x.numel() - 1}));
        for (size_t i = 0; i < moved.size(); ++i) moved[i] = moved[i].reshape(inputs[i].shape());
        return row.call(moved);
      };
      if (total_of(inputs) > 40000) continue;
      Inputs longer;
      for (const Tensor& x : inputs) {
        const Tensor flat = x.detach().reshape({x.numel()});
        longer.push_back(concat({slice(flat, 0, 0, std::min<int64_t>(1, x.numel())), flat}));
        if (x.numel() == 0) longer.back() = Tensor::zeros({1}, x.dtype());
        if (x.requires_grad()) longer.back().set_requires_grad();
      }
      CAPTURE(row.name, shapes_of(inputs));
      CHECK(cuda_difference(shifted, longer) < 1e-12);
      CHECK(cuda_difference(shifted, longer, DType::float32) < std::min(row.float32, 1e-5));
      if (row.bfloat16 > 0) CHECK(cuda_difference(shifted, longer, DType::bfloat16) < row.bfloat16);
    }
}
