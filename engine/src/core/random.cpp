#include "normlab/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/random.h"
#include "cpu/parallel.h"

namespace normlab {
namespace {

constexpr int64_t kWords = 512;  ///< 64-bit words drawn at once
__extension__ typedef unsigned __int128 uint128;

/// Reserves the blocks for n numbers.
Stream reserve(Generator& generator, int64_t n, int per_block) {
  const uint64_t blocks = static_cast<uint64_t>((n + per_block - 1) / per_block);
  return {generator.seed(), generator.advance(blocks)};
}

/// Uniform in [0, 1) from the upper 53 bits.
double unit(uint64_t word) {
  return static_cast<double>(word >> 11) * 0x1p-53;
}

/// An integer uniform in [0, n), n > 0; off by less than n / 2^64.
uint64_t scaled(uint64_t word, uint64_t n) {
  return static_cast<uint64_t>((uint128{word} * n) >> 64);
}

/// Calls body(begin, end, words) over fixed blocks of [0, n): words[i - begin] is number i's.
template <class Body>
void for_words(Generator& generator, int64_t n, int64_t cost, const Body& body) {
  const Stream stream = reserve(generator, n, 2);
  parallel_blocks(n, kWords, cost, [&](int64_t begin, int64_t end) {
    uint64_t words[kWords];
    // An even number of them: the last of a pair needs its neighbour.
    random_kernels_for_cpu().words(stream.from(begin, 2), words, (end - begin + 1) / 2 * 2);
    body(begin, end, words);
  });
}

/// Fills z with number(word) of one 64-bit word each.
template <class T, class Number>
void fill(Tensor& z, Generator& generator, const Number& number) {
  T* out = z.data<T>();
  for_words(generator, z.numel(), 4, [&](int64_t begin, int64_t end, const uint64_t* words) {
    for (int64_t i = begin; i < end; ++i) out[i] = number(words[i - begin]);
  });
}

void fill_normal(Tensor& z, Generator& generator, double mean, double std) {
  double* out = z.data<double>();
  for_words(generator, z.numel(), 64, [&](int64_t begin, int64_t end, const uint64_t* words) {
    for (int64_t i = begin; i < end; i += 2) {
      const double u = unit(words[i - begin]) + 0x1p-54;
      const double angle = 2 * std::numbers::pi * unit(words[i - begin + 1]);
      const double radius = std::sqrt(-2 * std::log(u));
      out[i] = mean + std * radius * std::cos(angle);
      if (i + 1 < end) out[i + 1] = mean + std * radius * std::sin(angle);
    }
  });
}

void check_floating(const char* op, DType dtype) {
  check<DtypeError>(is_floating(dtype), op, "needs float32 or float64, got ", dtype);
}

}  // namespace

Generator& default_generator() {
  thread_local Generator generator;
  return generator;
}

void manual_seed(uint64_t seed) {
  default_generator() = Generator(seed);
}

Tensor rand(const Shape& shape, double low, double high, DType dtype, Generator& generator) {
  check_floating("rand", dtype);
  const double width = dtype == DType::float32
                           ? double{static_cast<float>(high) - static_cast<float>(low)}
                           : high - low;
  check<ArgumentError>(low <= high && std::isfinite(width), "rand",
                       "needs finite bounds with low <= high, got [", low, ", ", high, ")");
  Tensor z = Tensor::empty(shape, dtype);
  if (dtype == DType::float64) {
    const double below_high = std::nextafter(high, low);
    fill<double>(z, generator, [=](uint64_t word) {
      const double number = low + unit(word) * (high - low);
      return number < high ? number : below_high;
    });
    return z;
  }
  const Stream stream = reserve(generator, z.numel(), 4);
  parallel_blocks(z.numel(), kRandomBlock, 2, [&](int64_t begin, int64_t end) {
    random_kernels_for_cpu().uniform(stream.from(begin, 4), static_cast<float>(low),
                                     static_cast<float>(high), z.data<float>() + begin,
                                     end - begin);
  });
  return z;
}

Tensor randn(const Shape& shape, double mean, double std, DType dtype, Generator& generator) {
  check_floating("randn", dtype);
  check<ArgumentError>(std >= 0, "randn", "std must not be negative, got ", std);
  Tensor z = Tensor::empty(shape, dtype);
  if (dtype == DType::float64) {
    fill_normal(z, generator, mean, std);
    return z;
  }
  const Stream stream = reserve(generator, z.numel(), 4);
  parallel_blocks(z.numel(), kRandomBlock, 4, [&](int64_t begin, int64_t end) {
    random_kernels_for_cpu().normal(stream.from(begin, 4), static_cast<float>(mean),
                                    static_cast<float>(std), z.data<float>() + begin, end - begin);
  });
  return z;
}

Tensor randint(int64_t low, int64_t high, const Shape& shape, Generator& generator) {
  check<ArgumentError>(low < high, "randint", "needs low < high, got [", low, ", ", high, ")");
  const uint64_t n = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  Tensor z = Tensor::empty(shape, DType::int64);
  fill<int64_t>(z, generator, [=](uint64_t word) {
    return static_cast<int64_t>(static_cast<uint64_t>(low) + scaled(word, n));
  });
  return z;
}

Tensor permutation(int64_t n, Generator& generator) {
  Tensor z = Tensor::arange(n);
  int64_t* p = z.data<int64_t>();
  const Stream stream = reserve(generator, n, 2);
  uint64_t words[kWords];
  for (int64_t begin = (n - 1) / kWords * kWords; begin >= 0; begin -= kWords) {
    const int64_t end = std::min(begin + kWords, n);
    random_kernels_for_cpu().words(stream.from(begin, 2), words, end - begin);
    for (int64_t i = end - 1; i >= begin; --i)
      std::swap(p[i], p[scaled(words[i - begin], static_cast<uint64_t>(i) + 1)]);
  }
  return z;
}

}  // namespace normlab
