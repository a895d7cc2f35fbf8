#include "normlab/info.h"

#include <dnnl.h>

#include "cpu/isa.h"
#include "normlab/cuda.h"
#include "normlab/matmul_precision.h"
#include "normlab/tensor.h"

namespace normlab {
namespace {

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + '.' + std::to_string(v->minor) + '.' + std::to_string(v->patch);
}

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

const char* version() {
  return NORMLAB_VERSION;
}

BuildInfo build_info(bool gpu) {
  return {.version = version(),
          .isa = name_of(isa()),
          .bfloat16_products = bfloat16_products(),
          .onednn = onednn_version(),
          .compiler = compiler(),
          .threads = num_threads(),
          .threads_reason = num_threads_reason(),
          .cuda = gpu && cuda::is_available(),
          .cuda_reason = gpu ? cuda::why_not() : ""};
}

}  // namespace normlab
