// Mutations of model files that leave the format whole: the checks behind it are what is tried.

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

#include "fuzz.h"
#include "normlab/io.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace normlab::fuzz {
namespace {

/// xorshift: the fuzzer's seed decides.
struct Random {
  uint32_t state;
  uint32_t below(size_t n) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return static_cast<uint32_t>(state % n);
  }
};

template <class Map>
auto entry(Map& map, Random& random) {
  return std::next(map.begin(), random.below(map.size()));
}

void mutate_text(std::string& text) {
  constexpr size_t kMore = 16;
  const size_t size = text.size();
  text.resize(size + kMore);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, size + kMore));
}

void mutate_tensors(TensorMap& tensors, Random& random) {
  const auto place = entry(tensors, random);
  Tensor& x = place->second;
  switch (random.below(4)) {
    case 0:
      tensors.erase(place);
      break;
    case 1:
      x = x.reshape({x.numel()});
      break;
    case 2:
      x = x.to(random.below(2) ? DType::float64 : DType::bfloat16);
      break;
    default:
      if (x.nbytes() > 0)
        LLVMFuzzerMutate(static_cast<uint8_t*>(x.raw()), static_cast<size_t>(x.nbytes()),
                         static_cast<size_t>(x.nbytes()));
  }
}

void mutate_file(TensorFile& file, Random& random) {
  if (!file.tensors.empty() && random.below(4) == 0) return mutate_tensors(file.tensors, random);
  if (file.metadata.empty()) return;
  const auto place = entry(file.metadata, random);
  switch (random.below(8)) {
    case 0:
      file.metadata.erase(place);
      break;
    case 1:
      place->second = entry(file.metadata, random)->second;
      break;
    default:
      mutate_text(place->second);
  }
}

}  // namespace
}  // namespace normlab::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  using namespace normlab;
  fuzz::Random random{seed | 1};
  if (random.below(4) == 0) return LLVMFuzzerMutate(data, size, most);
  try {
    TensorFile file = load(fuzz::file_of({reinterpret_cast<char*>(data), size}));
    fuzz::mutate_file(file, random);
    save(fuzz::output_path(), file.tensors, file.metadata);
    std::ifstream in(fuzz::output_path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (bytes.size() > most) return LLVMFuzzerMutate(data, size, most);
    std::memcpy(data, bytes.data(), bytes.size());
    return bytes.size();
  } catch (const Error&) {  // it was none, or the text is no longer UTF-8
    return LLVMFuzzerMutate(data, size, most);
  }
}
