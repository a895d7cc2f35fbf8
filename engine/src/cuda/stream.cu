#include <cstring>

#include "cuda/launch.h"

// The stream: its order with other streams, and graphs captured of it.

namespace normlab::cuda {
namespace {

void* handle() {
  return stream();
}

/// An event on our stream, behind all that is queued so far.
Failure make_event(cudaEvent_t* event) {
  const OnDevice here;
  const RelaxedMode mode;
  cudaError_t error = cudaEventCreateWithFlags(event, cudaEventDisableTiming);
  if (error != cudaSuccess) return failure_of(error);
  error = cudaEventRecord(*event, stream());
  if (error == cudaSuccess) return nullptr;
  cudaEventDestroy(*event);
  return failure_of(error);
}

Failure let_wait(void* other) {
  cudaEvent_t event = nullptr;
  if (const Failure failure = make_event(&event)) return failure;
  const OnDevice here;
  const cudaError_t error = cudaStreamWaitEvent(static_cast<cudaStream_t>(other), event, 0);
  cudaEventDestroy(event);  // as soon as it has passed
  return failure_of(error);
}

Failure finish_all() {
  const OnDevice here;
  const RelaxedMode mode;
  return failure_of(cudaDeviceSynchronize());
}

Failure mark(void** event) {
  cudaEvent_t made = nullptr;
  const Failure failure = make_event(&made);
  *event = failure ? nullptr : made;
  return failure;
}

Failure has_passed(void* event, bool* passed) {
  const OnDevice here;
  const RelaxedMode mode;
  const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
  *passed = error == cudaSuccess;
  const bool later = error == cudaErrorNotReady || error == cudaErrorStreamCaptureUnsupported;
  return later ? nullptr : failure_of(error);
}

void forget(void* event) {
  cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

/// Captures go over a stream that has no order with the default one: memory is allocated in them,
/// and whatever touches the default stream would spoil that of a blocking stream.
cudaStream_t the_recorder = nullptr;

Failure begin_capture() {
  const OnDevice here;
  cudaError_t error = cudaSuccess;
  if (!the_recorder) error = cudaStreamCreateWithFlags(&the_recorder, cudaStreamNonBlocking);
  // Relaxed: memory may be allocated meanwhile, by this thread and by others.
  if (error == cudaSuccess)
    error = cudaStreamBeginCapture(the_recorder, cudaStreamCaptureModeRelaxed);
  if (error == cudaSuccess) queue_on(the_recorder);
  return failure_of(error);
}

cudaError_t stop_capture(cudaGraph_t* captured) {
  queue_on(nullptr);
  return cudaStreamEndCapture(the_recorder, captured);
}

Failure end_capture(void** graph) {
  *graph = nullptr;
  const OnDevice here;
  cudaGraph_t captured = nullptr;
  cudaError_t error = stop_capture(&captured);
  if (error != cudaSuccess) {
    cudaGetLastError();  // the process stays usable
    return failure_of(error);
  }
  cudaGraphExec_t executable = nullptr;
  error = cudaGraphInstantiate(&executable, captured, 0);
  cudaGraphDestroy(captured);
  if (error == cudaSuccess) *graph = executable;
  return failure_of(error);
}

void abort_capture() {
  const OnDevice here;
  cudaGraph_t captured = nullptr;
  if (stop_capture(&captured) == cudaSuccess && captured) cudaGraphDestroy(captured);
  cudaGetLastError();
}

Failure replay(void* graph) {
  const OnDevice here;
  return failure_of(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream()));
}

void destroy(void* graph) {
  const OnDevice here;
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

struct Words {
  uint32_t words[StreamFunctions::kMostWritten / 4];
};

__global__ void write_kernel(uint32_t* to, const __grid_constant__ Words from, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    to[i] = from.words[i];
}

Failure write(void* to, const void* from, int64_t bytes) {
  Words words{};
  std::memcpy(words.words, from, static_cast<size_t>(bytes));
  return launch(write_kernel, 1, 128, static_cast<uint32_t*>(to), words,
                static_cast<int>(bytes / 4));
}

}  // namespace

const StreamFunctions stream_functions = {
    .handle = handle,
    .let_wait = let_wait,
    .finish_all = finish_all,
    .mark = mark,
    .has_passed = has_passed,
    .forget = forget,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .abort_capture = abort_capture,
    .replay = replay,
    .destroy = destroy,
    .write = write,
};

}  // namespace normlab::cuda
