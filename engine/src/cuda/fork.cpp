#include "cpu/fork.h"

#include "core/allocator.h"
#include "cuda/lent.h"
#include "cuda/library.h"

namespace normlab {

std::mutex* const* all_locks() {
  static std::mutex* const locks[] = {&cuda::lent_lock(), &allocator_lock(Device::cuda),
                                      &cuda::loading_lock(), &allocator_lock(Device::cpu), nullptr};
  return locks;
}

void forget_gpu() {
  cuda::lose_gpu();
}

}  // namespace normlab
