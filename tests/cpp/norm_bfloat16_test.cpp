#include "kernel_checks.h"
#include "norm_cases.h"

// bfloat16 on the CPU: rows go through the float32 kernels and are rounded once.

using namespace normlab;
using namespace normlab::test;

namespace {

double error_in_bfloat16(const NormTraits& v, const Tensor& x, const NormInputs& o) {
  const NormCall call(v, x, o);
  return bfloat16_difference(call.op, call.inputs);
}

}  // namespace

TEST_CASE("norm in bfloat16 on the CPU: rows of every length", "[norm][bfloat16]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(1, 3, 16, 33, 130, 513, 9000), rows = GENERATE(0, 1, 7, 1030);
  if (H == 1 && std_eps) return;
  if (rows == 1030 && (H > 130 || std_eps)) return;
  CAPTURE(std::string(v.name), H, rows, std_eps);
  const Case c = make_case(v, rows, H, DType::float64);
  NormInputs o = options_of(c, std_eps ? Denominator::std_eps : Denominator::var_eps);
  if (v.scale == Scale::tanh) o.alpha = Tensor::full({1}, 0.7, DType::float64);
  CHECK(error_in_bfloat16(v, c.x, o) < (H == 1 || rows == 1030 ? 0.06 : 1.0 / 128));
}

TEST_CASE("norm in bfloat16 on the CPU: channels and their groups", "[norm][bfloat16]") {
  const std::string name = GENERATE("batchnorm", "groupnorm", "instancenorm");
  const Shape shape = GENERATE(Shape{4, 6, 5}, Shape{3, 6, 33, 7}, Shape{2, 6, 9000});
  CAPTURE(name, shape.str());
  NormInputs o;
  o.axes = shape.rank() - 1;
  o.gain = leaf({6}, 2);
  o.bias = leaf({6}, 3);
  if (name == "groupnorm") o.groups = 3;
  CHECK(error_in_bfloat16(norm_variant(name), leaf(shape, 1), o) < 1.0 / 64);
}

TEST_CASE("norm in bfloat16 on the CPU: running statistics are float32", "[norm][bfloat16]") {
  NormParameters p;
  p.axes = 2;
  p.running_mean = Tensor::zeros({6});
  p.running_var = Tensor::ones({6});
  const Tensor x = leaf({30, 6, 9}, 1, 4).detach().to(DType::bfloat16);
  const Tensor z = normalize(x, norm_variant("batchnorm"), p);
  CHECK(z.dtype() == DType::bfloat16);
  NormParameters wide = p;
  wide.running_mean = Tensor::zeros({6});
  wide.running_var = Tensor::ones({6});
  normalize(x.to(DType::float32), norm_variant("batchnorm"), wide);
  CHECK(worst(p.running_mean.to_vector(), wide.running_mean.to_vector()) < 1e-6);
  CHECK(worst(p.running_var.to_vector(), wide.running_var.to_vector()) < 1e-6);
  p.training = wide.training = false;
  const Tensor got = normalize(x, norm_variant("batchnorm"), p);
  const Tensor want = normalize(x.to(DType::float32), norm_variant("batchnorm"), wide);
  CHECK(got.to_vector() == want.to(DType::bfloat16).to_vector());
}

TEST_CASE("norm in bfloat16 on the CPU: the same for any number of threads", "[norm][bfloat16]") {
  const std::string name = GENERATE("layernorm", "adanorm", "topk");
  const Case c = make_case(norm_variant(name), 300, 100, DType::float64);
  const NormCall call(norm_variant(name), c.x, options_of(c));
  CHECK(same_for_any_threads([&] {
    std::vector<double> all;
    for (const auto& values : values_at({DType::bfloat16}, call.op, call.inputs, DType::bfloat16))
      all.insert(all.end(), values.begin(), values.end());
    return all;
  }));
}
