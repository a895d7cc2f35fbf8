#pragma once

#include <string>

namespace normlab {

/// The build and the machine: for bug reports and `normlab info`.
struct BuildInfo {
  std::string version;  ///< "1.0.0"
  std::string isa;      ///< instruction set of the CPU kernels: "baseline", "avx2" or "avx512"
  std::string bfloat16_products;  ///< bfloat16_products()
  std::string onednn;             ///< version of the oneDNN library that is loaded, "3.2.0"
  std::string compiler;           ///< "GCC 12.2.0"
  int threads = 1;                ///< num_threads()
  std::string threads_reason;     ///< num_threads_reason()
  bool cuda = false;              ///< true if a GPU can be used
  std::string cuda_reason;        ///< reason why no GPU can be used; empty if one can
};
/// @param gpu  false: does not look for a GPU, which would open it; `cuda` is false, `cuda_reason`
///             empty.
BuildInfo build_info(bool gpu = true);

}  // namespace normlab
