#pragma once

namespace normlab {

/// Instruction sets that the CPU kernels (files *_cpu.cpp) are compiled for, each in a namespace
/// of that name, so that one library runs on every machine and is fast on new ones.
enum class Isa { baseline, avx2, avx512 };

/// The best that this machine has; the environment variable NORMLAB_ISA (baseline, avx2, avx512)
/// can only lower it.
Isa isa();
const char* name_of(Isa isa);

#if defined(__x86_64__) && defined(NORMLAB_MULTI_ISA)
/// Declares the table `name` of type `Type` that each build of a kernel file defines as
/// NORMLAB_ISA::name, and name##_for_cpu(), which picks the machine's. At namespace normlab.
#define NORMLAB_KERNEL_TABLE(Type, name)                                                         \
  namespace baseline {                                                                           \
  extern const Type name;                                                                        \
  }                                                                                              \
  namespace avx2 {                                                                               \
  extern const Type name;                                                                        \
  }                                                                                              \
  namespace avx512 {                                                                             \
  extern const Type name;                                                                        \
  }                                                                                              \
  inline const Type& name##_for_cpu() {                                                          \
    const Isa best = isa();                                                                      \
    return best == Isa::avx512 ? avx512::name : best == Isa::avx2 ? avx2::name : baseline::name; \
  }
#else
#define NORMLAB_KERNEL_TABLE(Type, name) \
  namespace baseline {                   \
  extern const Type name;                \
  }                                      \
  inline const Type& name##_for_cpu() {  \
    return baseline::name;               \
  }
#endif

}  // namespace normlab
