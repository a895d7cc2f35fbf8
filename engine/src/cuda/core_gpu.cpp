#include "core/gpu.h"

#include "core/tensor_impl.h"
#include "cuda/graph.h"
#include "cuda/lent.h"
#include "cuda/library.h"

// The device's part of what the core asks of a GPU.

namespace normlab::cuda {

void check_available() {
  backend();
}

void* allocate_on_device(int64_t bytes) {
  void* block = nullptr;
  call("allocate", backend().allocate, bytes, &block);
  return block;
}

void release_on_device(void* block) noexcept {
  opened_backend().release(block);
}

void device_memory(int64_t& free, int64_t& total) {
  call("allocate", backend().memory, &free, &total);
}

bool reclaim_memory() {
  if (a_thread_captures()) return false;
  call("allocate", backend().synchronize);
  finish_lent(true);
  return true;
}

void copy_to(const Tensor& to, const Tensor& from) {
  const bool to_gpu = to.device() == Device::cuda, from_gpu = from.device() == Device::cuda;
  if (to_gpu != from_gpu) check_not_capturing("copy");
  call("copy",
       !from_gpu ? backend().upload
       : to_gpu  ? backend().copy
                 : backend().download,
       device_data(to), device_data(from), to.nbytes());
  if (!to_gpu) raise_fault();
}

void fill(const char* op, const Tensor& x, const void* element, int64_t size) {
  call(op, backend().fill, device_data(x), element, size, x.numel());
}

}  // namespace normlab::cuda
