// One target, NORMLAB_FUZZ_TARGET, as libFuzzer calls it.

#include <cstdint>

#include "fuzz.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  normlab::set_num_threads(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  normlab::fuzz::NORMLAB_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
