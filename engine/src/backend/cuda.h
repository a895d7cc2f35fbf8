#pragma once

#include "backend/cuda/interface.h"
#include "normlab/cuda.h"

namespace normlab::cuda {

/// The loaded library's functions. DeviceError with the reason if no GPU can be used.
const Backend& backend();

/// What an op says about the values of a tensor of that shape, see fault.h.
ValueCheck value_check(const char* op, const Shape& shape, int64_t bound);
/// After a call that waited for the GPU: throws what kernels found since the last time.
void raise_fault();

/// A word on the device that this thread's random ops add to their stream's block as they run, or
/// null: set while a graph is captured, so that each replay can draw other numbers.
const uint64_t* replay_offset();
void set_replay_offset(const uint64_t* offset);

/// Calls a function of the backend. DeviceError that names the operation if it fails.
template <class... Parameters, class... Arguments>
void call(const char* op, Failure (*function)(Parameters...), const Arguments&... arguments) {
  if (const Failure failure = function(arguments...)) fail<DeviceError>(op, failure);
}

}  // namespace normlab::cuda
