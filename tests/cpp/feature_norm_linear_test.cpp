#include <string>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"
#include "norm_oracle.h"
#include "ops/norm.h"

using namespace normlab;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::max_difference;

namespace {

const std::vector<std::string> kSplit = {
    "none",    "layernorm", "layernorm_simple", "detachnorm", "detach_mean",   "detach_std",
    "adanorm", "gain_only", "bias_only",        "rmsnorm",    "rmsnorm_simple"};

bool has_gain(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::gain;
}
bool has_bias(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::bias;
}

Tensor some_features(int64_t n, int64_t positions, int64_t rows, uint64_t seed) {
  Generator generator(seed);
  return randint(0, rows, {n, positions}, generator).to(DType::int32);
}

/// All that one call takes, in float64; absent tensors are undefined.
struct Case {
  NormTraits variant;
  NormOptions options;
  Tensor features, table, weight, bias, gain, norm_bias;

  /// table, weight, bias, gain and norm_bias, as far as they are there.
  std::vector<Tensor> leaves() const {
    std::vector<Tensor> all = {table, weight};
    for (const Tensor& t : {bias, gain, norm_bias})
      if (t) all.push_back(t);
    return all;
  }
  /// The same case with other values.
  Case with(const std::vector<Tensor>& leaves) const {
    Case c = *this;
    size_t i = 2;
    c.table = leaves[0];
    c.weight = leaves[1];
    for (Tensor* t : {&c.bias, &c.gain, &c.norm_bias})
      if (*t) *t = leaves[i++];
    return c;
  }
  Case to(DType dtype) const {
    std::vector<Tensor> converted;
    for (const Tensor& t : leaves())
      converted.push_back(t.detach().to(dtype).clone().set_requires_grad());
    return with(converted);
  }

  NormOptions all_options() const {
    NormOptions o = options;
    o.gain = gain;
    o.bias = norm_bias;
    return taken_options("feature_norm_linear", variant, o);
  }
  Tensor fused() const {
    return feature_norm_linear(table, features, weight, bias, variant, all_options());
  }
  Tensor joined() const {
    return embedding(table, features).reshape({features.size(0), weight.size(0) * weight.size(1)});
  }
  Tensor times_weight(const Tensor& y) const {
    const Tensor z = matmul(y, weight.reshape({weight.size(0) * weight.size(1), weight.size(2)}));
    return bias ? z + bias : z;
  }
  Tensor by_parts() const { return times_weight(normalize(joined(), variant, all_options())); }
};

Case make_case(const std::string& name, const Tensor& features, int64_t rows, int64_t inner,
               int64_t width, bool with_bias = true) {
  Case c;
  c.variant = norm_variant(name);
  c.options.C = 1.5;
  c.options.k = 0.2;
  c.features = features;
  const int64_t positions = features.size(1);
  c.table = leaf({rows, inner}, 1, 0.3);
  c.weight = leaf({positions, inner, width}, 2);
  if (with_bias) c.bias = leaf({width}, 3);
  if (has_gain(c.variant)) c.gain = leaf({positions * inner}, 4, 1);
  if (has_bias(c.variant)) c.norm_bias = leaf({positions * inner}, 5);
  return c;
}

double greatest(const Tensor& t) {
  double most = 1;
  for (const double v : t.to_vector()) most = std::max(most, std::abs(v));
  return most;
}

/// Results and gradients of the fused op in c's dtype agree with the parts in float64.
void check_against_parts(const Case& c, double tolerance) {
  const Case exact = c.to(DType::float64);
  const Tensor z = c.fused(), want = exact.by_parts();
  REQUIRE(z.shape() == want.shape());
  CHECK(max_difference(z, want) <= tolerance * greatest(want));
  Generator generator(77);
  const Tensor dz = randn(z.shape(), 0, 1, DType::float64, generator).to(z.dtype());
  z.backward(dz);
  want.backward(dz.to(DType::float64));
  const std::vector<Tensor> got = c.leaves(), expected = exact.leaves();
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    const Tensor& g = expected[i].grad();
    REQUIRE(got[i].grad().defined());
    CHECK(max_difference(got[i].grad(), g) <= tolerance * greatest(g));
  }
}

}  // namespace

TEST_CASE("feature_norm_linear is embedding, norm and linear", "[feature_norm_linear]") {
  const std::string name = GENERATE(from_range(kSplit));
  const bool std_eps = GENERATE(false, true);
  struct Lengths {
    int64_t n, positions, inner, width;
  };
  const auto [n, positions, inner, width] =
      GENERATE(Lengths{40, 5, 3, 65}, Lengths{0, 3, 2, 4}, Lengths{1, 4, 7, 3}, Lengths{9, 6, 1, 1},
               Lengths{30, 1, 20, 70}, Lengths{150, 8, 17, 130});
  CAPTURE(name, std_eps, n, positions, inner, width);
  Case c = make_case(name, some_features(n, positions, 11, 6), 11, inner, width, n != 9);
  c.options.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
  c.options.eps = 1e-3;
  check_against_parts(c.to(DType::float64), 1e-10);
  check_against_parts(c.to(DType::float32), 1e-5);
}

TEST_CASE("feature_norm_linear's gradient, detached parts frozen", "[feature_norm_linear][grad]") {
  const std::string name = GENERATE(from_range(kSplit));
  const bool std_eps = GENERATE(false, true);
  CAPTURE(name, std_eps);
  Case c = make_case(name, some_features(9, 3, 5, 7), 5, 3, 4);
  c.options.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
  const test::Oracle oracle{name, std_eps, c.options.eps, c.options.C, c.options.k};
  const Tensor base = c.joined().detach();
  const auto frozen = [&](const std::vector<Tensor>& leaves) {
    const Case at = c.with(leaves);
    return at.times_weight(oracle.rows(at.joined(), base, at.gain, at.norm_bias));
  };
  CHECK(gradient_error([&](const std::vector<Tensor>& leaves) { return c.with(leaves).fused(); },
                       c.leaves(), frozen) < 1e-6);
}

TEST_CASE("feature_norm_linear bears rows with a great common mean", "[feature_norm_linear]") {
  const std::string name = GENERATE(from_range(kSplit));
  if (name == "none" || name.starts_with("rms")) return;  // the mean stays in
  CAPTURE(name);
  Case c = make_case(name, some_features(50, 6, 20, 8), 20, 9, 33).to(DType::float32);
  {
    // Half of the table: then examples have different means, too.
    const NoGrad no_grad;
    float* rows = c.table.data<float>();
    const bool all = GENERATE(true, false);
    for (int64_t i = 0; i < c.table.numel() / (all ? 1 : 2); ++i) rows[i] += 1e4F;
    if (!all)
      for (int64_t i = 0; i < 300; ++i)
        c.features.data<int32_t>()[i] =
            c.features.data<int32_t>()[i] % 10 + (i / 6 % 2 == 0 ? 0 : 10);
  }
  check_against_parts(c, 2e-5);
}

TEST_CASE("feature_norm_linear gives the constants for constant rows", "[feature_norm_linear]") {
  const std::string name = GENERATE("layernorm", "adanorm", "detach_std", "bias_only");
  const bool std_eps = GENERATE(false, true);
  CAPTURE(name, std_eps);
  Case c = make_case(name, Tensor::full({3, 4}, 2, DType::int32), 5, 6, 19).to(DType::float32);
  c.options.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
  for (int64_t e = 0; e < 6; ++e) c.table.data<float>()[12 + e] = 123.4F;
  const Tensor norm_bias = c.norm_bias ? c.norm_bias : Tensor::zeros({24});
  const Tensor constant = c.times_weight(norm_bias.reshape({1, 24}));
  CHECK(max_difference(c.fused(), broadcast_to(constant, {3, 19})) < 1e-5);
  if (!std_eps) check_against_parts(c, 1e-5);
}

TEST_CASE("feature_norm_linear keeps NaN to the examples that have it", "[feature_norm_linear]") {
  const std::string name = GENERATE("layernorm", "adanorm", "rmsnorm");
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(name);
  const Tensor features = Tensor::of<int32_t>({3, 2}, {0, 1, 1, 2, 3, 0});
  const Case c = make_case(name, features, 4, 3, 20).to(dtype);
  c.table.detach().slice(2, 3).fill_(std::nan(""));
  const std::vector<double> z = c.fused().to_vector(), want = c.by_parts().to_vector();
  for (size_t i = 0; i < z.size(); ++i) {
    CHECK(std::isnan(z[i]) == (i / 20 == 1));
    if (i / 20 != 1) CHECK(std::abs(z[i] - want[i]) < 1e-4);
  }
}

TEST_CASE("feature_norm_linear gives the gradients that are asked for", "[feature_norm_linear]") {
  const std::string name = GENERATE("layernorm", "adanorm", "bias_only");
  CAPTURE(name);
  const Case c = make_case(name, some_features(30, 4, 9, 9), 9, 5, 40).to(DType::float32);
  Generator generator(5);
  const Tensor dz = randn({30, 40}, 0, 1, DType::float32, generator);
  c.fused().backward(dz);
  for (size_t only = 0; only < c.leaves().size(); ++only) {
    CAPTURE(only);
    std::vector<Tensor> leaves;
    for (const Tensor& t : c.leaves()) leaves.push_back(t.detach().clone());
    leaves[only].set_requires_grad();
    c.with(leaves).fused().backward(dz);
    const Tensor all = c.leaves()[only].grad();
    CHECK(max_difference(leaves[only].grad(), all) < 1e-5 * greatest(all));
  }
  CHECK(c.table.sparse_grad() != nullptr);
  const NoGrad no_grad;
  CHECK_FALSE(c.fused().requires_grad());
}

TEST_CASE("feature_norm_linear does not depend on the number of threads", "[feature_norm_linear]") {
  const std::string name = GENERATE("layernorm", "adanorm");
  CAPTURE(name);
  const int threads = num_threads();
  std::vector<Tensor> first;
  for (const int n : {1, 3}) {
    set_num_threads(n);
    const Case c = make_case(name, some_features(400, 6, 30, 12), 30, 9, 200).to(DType::float32);
    const Tensor z = c.fused();
    Generator generator(13);
    z.backward(randn(z.shape(), 0, 1, DType::float32, generator));
    std::vector<Tensor> found = {z.detach()};
    for (const Tensor& t : c.leaves()) found.push_back(t.grad());
    for (size_t i = 0; i < first.size(); ++i) CHECK(max_difference(first[i], found[i]) == 0);
    first = found;
  }
  set_num_threads(threads);
}

TEST_CASE("the parser's network is the same behind a norm of its embeddings, fused and in parts",
          "[feature_norm_linear][parse]") {
  const std::string name = GENERATE(from_range(kSplit));
  CAPTURE(name);
  parse::NetworkOptions options;
  options.rows = 30;
  options.classes = 7;
  options.features = 6;
  options.embedding = 10;
  options.hidden = 40;
  options.input_norm = true;
  options.norm = name;
  manual_seed(4);
  parse::Network network(options);
  network.eval();
  const Tensor features = some_features(50, 6, 30, 14), fused = network(features);
  const Probe probe(network);  // sees the norm: it takes the parts
  CHECK(max_difference(network(features), fused) < 1e-4 * greatest(fused));
  CHECK(probe.records().size() == 2);
}

TEST_CASE("feature_norm_linear refuses what does not fit", "[feature_norm_linear]") {
  const auto refused = [](const std::string& name, const auto& change) {
    Case c = make_case("layernorm_simple", some_features(2, 3, 4, 1), 4, 2, 5);
    c.variant = norm_variant(name);
    change(c);
    try {
      c.fused();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refused("topk", [](Case&) {}) ==
        "feature_norm_linear: variant 'topk' does not split over features; those that do are none, "
        "layernorm, layernorm_simple, detachnorm, detach_mean, detach_std, adanorm, gain_only, "
        "bias_only, rmsnorm, rmsnorm_simple");
  CHECK(refused("layernorm", [](Case& c) { c.gain = leaf({5}, 1); }) ==
        "feature_norm_linear: gain must be [6] for weight [3, 2, 5], got [5] (variant "
        "'layernorm')");
  CHECK(refused("adanorm", [](Case& c) { c.gain = leaf({6}, 1); }) ==
        "feature_norm_linear: variant 'adanorm' takes no gain");
  CHECK(refused("gain_only", [](Case& c) { c.norm_bias = leaf({6}, 1); }) ==
        "feature_norm_linear: variant 'gain_only' takes no bias");
  CHECK(refused("adanorm", [](Case& c) { c.options.eps = -1; }) ==
        "feature_norm_linear: eps must be finite and not negative, got -1");
  CHECK(refused("adanorm", [](Case& c) {
          c.weight = leaf({2, 2, 5}, 1);
        }) == "feature_norm_linear: weight must be [P, E, H] with P = 3 and E = 2, got [2, 2, 5]");
  CHECK(refused("adanorm", [](Case& c) {
          c.features = Tensor::full({1, 3}, 4, DType::int32);
        }) == "feature_norm_linear: features must be in [0, 4), got 4 at [0, 0]");
  Case one = make_case("detachnorm", some_features(2, 1, 4, 1), 4, 1, 5);
  one.options.denominator = Denominator::std_eps;
  CHECK(error_of<ShapeError>([&] { one.fused(); }) ==
        "feature_norm_linear: denominator 'std_eps' divides by the unbiased deviation, which one "
        "element does not have; weight is [1, 1, 5] (variant 'detachnorm')");
}

TEST_CASE("feature_norm_linear on the GPU agrees with the CPU", "[feature_norm_linear][cuda]") {
  for (const std::string& name : kSplit) {
    CAPTURE(name);
    const Case c = make_case(name, some_features(20, 4, 7, 3), 7, 3, 5);
    const auto op = [&](const std::vector<Tensor>& x) {
      Case there = c.with(x);
      there.features = c.features.to(x[0].device());
      return there.fused();
    };
    std::vector<Tensor> inputs;
    for (const Tensor& t : c.leaves()) inputs.push_back(t);
    CHECK(test::cuda_difference(op, inputs) < 1e-12);
    CHECK(test::cuda_difference(op, inputs, DType::float32) < 1e-4);
  }
}
