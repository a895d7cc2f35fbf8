#pragma once

#include <mutex>
#include <string>

#include "cuda/interface.h"
#include "normlab/cuda.h"

namespace normlab::cuda {

/// Held while the library is loaded, for fork.cpp.
std::mutex& loading_lock();
/// In a child of this process the GPU that it opened, if it did, is not there.
void lose_gpu();
/// The loaded library's functions. DeviceError with the reason if no GPU can be used.
const Backend& backend();
/// The same where it must have been opened: for what must not throw.
const Backend& opened_backend();

/// What an op says about the values of a tensor of that shape, see fault.h.
ValueCheck value_check(const char* op, const Shape& shape, int64_t bound,
                       const char* name = "offsets");
/// What a sentence's queries lack, in words.
std::string too_few_keys(int64_t sentence, int64_t queries, int64_t keys);
/// After a call that waited for the GPU: throws what kernels found since the last time.
void raise_fault();

/// DeviceError while another thread captures a graph: what is queued would become part of it.
void check_stream_is_free(const char* op);

/// Calls a function of the backend. DeviceError that names the operation if it fails.
template <class... Parameters, class... Arguments>
void call(const char* op, Failure (*function)(Parameters...), const Arguments&... arguments) {
  check_stream_is_free(op);
  if (const Failure failure = function(arguments...)) fail<DeviceError>(op, failure);
}

}  // namespace normlab::cuda
