#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::error_of;

namespace {

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
  const auto path = std::filesystem::temp_directory_path() / "normlab_bfloat16.safetensors";
  save(path.string(), {{"b", b}, {"x", x}});
  const Tensor back = load(path.string()).tensors.at("b");
  std::filesystem::remove(path);
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

TEST_CASE("the CPU refuses to compute in bfloat16", "[bfloat16]") {
  const Tensor b = Tensor::ones({2, 4}, DType::bfloat16);
  for (const std::string& message : {
           error_of<DtypeError>([&] { add(b, b); }),
           error_of<DtypeError>([&] { relu(b); }),
           error_of<DtypeError>([&] { sum(b); }),
           error_of<DtypeError>([&] { max(b); }),
           error_of<DtypeError>([&] { compare(b, b, Comparison::lt); }),
           error_of<DtypeError>([&] { linear(b, b); }),
           error_of<DtypeError>([&] { matmul(b, b); }),
           error_of<DtypeError>([&] { softmax(b); }),
           error_of<DtypeError>([&] { normalize(b, norm_variant("layernorm")); }),
       }) {
    CAPTURE(message);
    CHECK(message.find("bfloat16") != std::string::npos);
  }
}
