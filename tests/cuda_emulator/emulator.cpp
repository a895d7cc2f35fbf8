#include "emulator.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace emulator {

Shape shape;
Place here;

void die(const char* what) {
  std::fprintf(stderr, "CUDA emulator: %s\n", what);
  std::abort();
}

namespace {

// --- switching stacks ---------------------------------------------------------------------------

/// Saves the callee's registers on the stack, leaves its top in *from and goes on at `to`.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.type emulator_switch,@function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch,.-emulator_switch
)");

constexpr size_t kStack = size_t{128} << 10;

/// A stack on which threads run, one after the other until one has to wait.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  void* top = nullptr;

  void prepare(void (*entry)()) {
    auto end = reinterpret_cast<uintptr_t>(stack.get() + kStack) / 16 * 16;
    auto* words = reinterpret_cast<void**>(end);
    *--words = nullptr;  // entry never returns; keeps its frame aligned
    *--words = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--words = nullptr;
    top = words;
  }
};

// --- one block
// ------------------------------------------------------------------------------------

enum class State { ready, at_barrier, at_cluster, at_meeting, done };

struct Thread {
  Place place;
  State state = State::ready;
  int fiber = -1;     ///< the stack it waits on
  unsigned mask = 0;  ///< of the meeting
};

struct Warp {
  std::array<uint64_t, 32> bits{};
};

/// What a block's threads bring to a barrier.
struct Barrier {
  int sum = 0, result = 0;
};

/// A block, or the blocks of a cluster, one behind the other.
struct Block {
  const std::function<void()>* body = nullptr;
  std::vector<Thread> threads;
  std::vector<Barrier> barriers;  ///< of each block
  std::vector<Warp> warps;
  int next = 0;     ///< the first thread that has not started
  int running = 0;  ///< index of the running thread
  void* scheduler = nullptr;
};

Block block;
std::vector<Fiber> fibers;
std::vector<int> idle;  ///< fibers without a thread
int running_fiber = -1;
std::vector<char> shared_memory;  ///< of all blocks that run at once
size_t shared_memory_each = 0;
bool backwards = false;  ///< threads start last first: shows what depends on their order

int started(int i) {
  return backwards ? static_cast<int>(block.threads.size()) - 1 - i : i;
}

void become(int thread) {
  block.running = thread;
  here = block.threads[static_cast<size_t>(thread)].place;
}

/// Runs threads that have not started until one waits: then another fiber takes the rest.
void run_threads() {
  for (;;) {
    while (block.next < static_cast<int>(block.threads.size())) {
      become(started(block.next++));
      (*block.body)();
      block.threads[static_cast<size_t>(block.running)].state = State::done;
      // A thread that waited and went on ends here too; the scheduler has the rest.
      if (block.threads[static_cast<size_t>(block.running)].fiber >= 0) break;
    }
    idle.push_back(running_fiber);
    emulator_switch(&fibers[static_cast<size_t>(running_fiber)].top, block.scheduler);
  }
}

/// From the scheduler to a fiber, until it comes back.
void enter(int fiber) {
  running_fiber = fiber;
  emulator_switch(&block.scheduler, fibers[static_cast<size_t>(fiber)].top);
}

void wait(State state) {
  Thread& thread = block.threads[static_cast<size_t>(block.running)];
  const int me = block.running;
  thread.state = state;
  thread.fiber = running_fiber;
  emulator_switch(&fibers[static_cast<size_t>(running_fiber)].top, block.scheduler);
  become(me);
}

int fresh_fiber() {
  if (idle.empty()) {
    fibers.emplace_back();
    fibers.back().prepare(run_threads);
    return static_cast<int>(fibers.size()) - 1;
  }
  const int fiber = idle.back();
  idle.pop_back();
  return fiber;
}

size_t block_size() {
  return block.threads.size() / block.barriers.size();
}

/// The index of the running thread's block within its cluster.
size_t block_in_cluster() {
  return static_cast<size_t>(block.running) / block_size();
}

/// Lets threads [first, first + n) go on if all of them wait there.
bool release_all(State state, size_t first, size_t n) {
  size_t waiting = 0, done = 0;
  for (size_t i = first; i < first + n; ++i) {
    waiting += block.threads[i].state == state;
    done += block.threads[i].state == State::done;
  }
  if (waiting == 0 || waiting + done < n) return false;
  if (done > 0) die("a barrier that some threads never reach");
  for (size_t i = first; i < first + n; ++i) block.threads[i].state = State::ready;
  return true;
}

bool release_barriers() {
  bool any = release_all(State::at_cluster, 0, block.threads.size());
  for (size_t i = 0; i < block.barriers.size(); ++i) {
    if (!release_all(State::at_barrier, i * block_size(), block_size())) continue;
    block.barriers[i] = {0, block.barriers[i].sum};
    any = true;
  }
  return any;
}

bool release_meeting(size_t warp) {
  const size_t first = warp * 32, end = std::min(first + 32, block.threads.size());
  bool any = false;
  for (size_t i = first; i < end; ++i) {
    if (block.threads[i].state != State::at_meeting) continue;
    const unsigned mask = block.threads[i].mask;
    bool all = true;
    for (size_t lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1)) continue;
      if (first + lane >= end) continue;  // a short last warp: those lanes do not exist
      const Thread& t = block.threads[first + lane];
      if (t.state == State::done) die("a warp exchange with a lane that has left the kernel");
      all = all && t.state == State::at_meeting && t.mask == mask;
    }
    if (!all) continue;
    for (size_t lane = 0; lane < 32 && first + lane < end; ++lane)
      if (mask >> lane & 1) block.threads[first + lane].state = State::ready;
    any = true;
  }
  return any;
}

bool release_any() {
  bool any = release_barriers();
  for (size_t warp = 0; warp < block.warps.size(); ++warp) any = release_meeting(warp) || any;
  return any;
}

void resume_ready() {
  for (size_t i = 0; i < block.threads.size(); ++i) {
    Thread& t = block.threads[i];
    if (t.state != State::ready || t.fiber < 0) continue;
    enter(t.fiber);
  }
}

/// That block and the others of its cluster.
void run_block(uint3 at) {
  const dim3 n = shape.threads;
  block.threads.clear();
  for (unsigned i = 0; i < shape.cluster; ++i)
    for (unsigned z = 0; z < n.z; ++z)
      for (unsigned y = 0; y < n.y; ++y)
        for (unsigned x = 0; x < n.x; ++x)
          block.threads.push_back({{{at.x + i, at.y, at.z}, {x, y, z}}});
  block.barriers.assign(shape.cluster, {});
  block.warps.assign((block.threads.size() + 31) / 32, {});
  block.next = 0;
  while (block.next < static_cast<int>(block.threads.size())) enter(fresh_fiber());
  const auto all_done = [] {
    for (const Thread& t : block.threads)
      if (t.state != State::done) return false;
    return true;
  };
  while (!all_done()) {
    if (!release_any()) die("the threads of a block wait for each other for ever");
    resume_ready();
  }
}

void run_grid(const Shape& of, size_t shared_bytes, const std::function<void()>& body) {
  shared_memory_each = (shared_bytes + 15) / 16 * 16;
  shared_memory.assign(of.cluster * shared_memory_each + 16, '\xff');
  shape = of;
  block.body = &body;
  for (unsigned z = 0; z < shape.blocks.z; ++z)
    for (unsigned y = 0; y < shape.blocks.y; ++y)
      for (unsigned x = 0; x < shape.blocks.x; x += shape.cluster) run_block({x, y, z});
}

std::recursive_mutex mutex;

}  // namespace

// --- what kernels call
// ----------------------------------------------------------------------------

int lane() {
  return block.running % 32;
}

int barrier(int brought) {
  block.barriers[block_in_cluster()].sum += brought;
  wait(State::at_barrier);
  return block.barriers[block_in_cluster()].result;
}

unsigned cluster_rank() {
  return static_cast<unsigned>(block_in_cluster());
}

void cluster_barrier() {
  wait(State::at_cluster);
}

void meet(unsigned mask, uint64_t bits, uint64_t (&all)[32]) {
  if (!(mask >> lane() & 1)) die("a warp exchange whose mask leaves out the caller");
  Warp& warp = block.warps[static_cast<size_t>(block.running / 32)];
  warp.bits[static_cast<size_t>(lane())] = bits;
  block.threads[static_cast<size_t>(block.running)].mask = mask;
  wait(State::at_meeting);
  std::memcpy(all, warp.bits.data(), sizeof all);
  // Nobody may bring the next value before all have read this one.
  block.threads[static_cast<size_t>(block.running)].mask = mask;
  wait(State::at_meeting);
}

void* dynamic_shared() {
  const auto at = reinterpret_cast<uintptr_t>(shared_memory.data());
  return shared_memory.data() + (16 - at % 16) % 16 + block_in_cluster() * shared_memory_each;
}

void* in_block(void* shared, unsigned rank) {
  const auto own = static_cast<char*>(dynamic_shared());
  const auto at = static_cast<char*>(shared) - own;
  if (at < 0 || static_cast<size_t>(at) >= shared_memory_each || rank >= shape.cluster)
    die("a place that is not in the dynamic shared memory of the cluster");
  for (const Thread& t : block.threads)
    if (t.place.block.x % shape.cluster == rank && t.state == State::done)
      die("the shared memory of a block that may have ended");
  return own +
         (static_cast<int64_t>(rank) - cluster_rank()) * static_cast<int64_t>(shared_memory_each) +
         at;
}

// --- the stream
// -----------------------------------------------------------------------------------

namespace {

using Work = std::vector<std::function<void()>>;
std::unique_ptr<Work> captured;
cudaStream_t recorder = nullptr;  ///< the stream that is captured
bool relaxed = false;             ///< whether memory may be allocated during the capture
bool invalidated = false;         ///< whether something has spoilt the capture

thread_local cudaError_t last_error = cudaSuccess;
thread_local int device = 0;  ///< of two, of which the second can do nothing

cudaError_t failed(cudaError_t error) {
  last_error = error;
  return error;
}

cudaError_t spoilt() {
  if (captured) invalidated = true;
  return failed(cudaErrorStreamCaptureUnsupported);
}

/// What an unfinished copy reads: pinned memory is read when the copy's turn comes.
struct Reading {
  const void* from;
  std::vector<char> bytes;
};
std::vector<Reading> readings;

void check_readings() {
  for (const Reading& r : readings)
    if (std::memcmp(r.from, r.bytes.data(), r.bytes.size()) != 0)
      die("the source of a copy from pinned memory has changed before it was read");
}

}  // namespace

namespace {

/// Static and dynamic shared memory share 48 KB unless the kernel was allowed more. How much is
/// static is unknown here: at most 8 KB in kernels that have both.
constexpr size_t kSharedWithoutAsking = size_t{40} << 10;
/// The most that a block can have, on devices of compute capability 9.0 and 8.6.
constexpr size_t kHopper = size_t{227} << 10, kAmpere = size_t{99} << 10;
size_t most_shared = kHopper;
constexpr unsigned kMostCluster = 8;
std::map<void*, size_t> allowed_shared;

size_t most_shared_of(void* kernel) {
  const std::lock_guard lock(mutex);
  const auto found = allowed_shared.find(kernel);
  return found == allowed_shared.end() ? kSharedWithoutAsking : found->second;
}

}  // namespace

cudaError_t allow_shared(void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > most_shared) return failed(cudaErrorInvalidValue);
  const std::lock_guard lock(mutex);
  allowed_shared[kernel] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

cudaError_t queue(const std::function<void()>& work) {
  const std::lock_guard lock(mutex);
  if (device != 0) return failed(cudaErrorInvalidDevice);
  check_readings();
  if (captured)
    captured->push_back(work);
  else
    work();
  return cudaSuccess;
}

cudaError_t launch(void* kernel, const Shape& of, size_t shared_bytes,
                   const std::function<void()>& thread) {
  const dim3 b = of.blocks, t = of.threads;
  const bool valid = b.x && b.y && b.z && t.x && t.y && t.z && b.y < 65536 && b.z < 65536 &&
                     t.z <= 64 && uint64_t{t.x} * t.y * t.z <= 1024 && of.cluster > 0 &&
                     of.cluster <= kMostCluster && b.x % of.cluster == 0 &&
                     (of.cluster == 1 || (most_shared == kHopper && t.x * t.y * t.z % 32 == 0));
  if (!valid) return failed(cudaErrorInvalidConfiguration);
  if (shared_bytes > most_shared_of(kernel)) return failed(cudaErrorInvalidValue);
  return queue([=] { run_grid(of, shared_bytes, thread); });
}

}  // namespace emulator

// --- CUDA's API
// -------------------------------------------------------------------------------------

namespace {

using namespace emulator;

constexpr size_t kMemory = size_t{512} << 20;
size_t used = 0;

/// The first is the engine's, whose work runs at once. That of the others runs as late as it may:
/// when it is waited for.
struct Stream {
  Work waiting;
  size_t done = 0;

  void run(size_t until) {
    for (; done < until; ++done) waiting[done]();
  }
};
Stream* first_stream = nullptr;
std::vector<Stream*> streams;

Stream* stream_of(cudaStream_t handle) {
  const bool is_default = !handle || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
  return is_default ? first_stream : reinterpret_cast<Stream*>(handle);
}

/// Behind the first `at` pieces of a stream's work.
struct Event {
  Stream* stream = nullptr;
  size_t at = 0;
};

std::vector<std::pair<const char*, size_t>> pinned;

bool is_pinned(const void* memory) {
  return std::any_of(pinned.begin(), pinned.end(), [&](const auto& block) {
    const auto* at = static_cast<const char*>(memory);
    return block.first <= at && at < block.first + block.second;
  });
}

constexpr size_t kGuard = 256;
struct Header {  // before each block of memory
  size_t bytes;
  char guard[kGuard - sizeof(size_t)];
};

/// Ends the process if anything was written just before or behind the block.
void check_guards(const Header& header) {
  const char* behind = reinterpret_cast<const char*>(&header + 1) + header.bytes;
  const auto intact = [](const char* guard, size_t n) {
    return std::all_of(guard, guard + n, [](char c) { return c == 0x5a; });
  };
  if (!intact(header.guard, sizeof header.guard) || !intact(behind, kGuard))
    die("something was written outside of a block of memory");
}

}  // namespace

extern "C" {

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulated device";
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration" : "cudaError";
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 2;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "emulated device");
  const char* order = std::getenv("NORMLAB_EMULATOR_ORDER");
  backwards = order && std::strcmp(order, "backwards") == 0;
  const char* kind = std::getenv("NORMLAB_EMULATOR_DEVICE");
  const bool ampere = kind && std::strcmp(kind, "sm_86") == 0;
  most_shared = ampere ? kAmpere : kHopper;
  properties->major = ampere ? 8 : 9;
  properties->minor = ampere ? 6 : 0;
  properties->multiProcessorCount = 4;
  properties->totalGlobalMem = kMemory;
  properties->sharedMemPerBlockOptin = most_shared;
  properties->l2CacheSize = 1 << 20;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int to) {
  device = to;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* now) {
  *now = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  if (attribute != cudaDevAttrPageableMemoryAccessUsesHostPageTables)
    die("an attribute that the emulated device does not know");
  *value = 0;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const std::lock_guard lock(mutex);
  std::memset(attributes, 0, sizeof *attributes);
  attributes->type = is_pinned(memory) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  const std::lock_guard lock(mutex);
  if (device != 0) return failed(cudaErrorInvalidDevice);
  auto* made = new Stream;
  streams.push_back(made);
  if (!first_stream) first_stream = made;
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const std::lock_guard lock(mutex);
  Stream* const stream = stream_of(handle);
  if (captured && stream == first_stream) return spoilt();
  if (stream == first_stream) {
    check_readings();
    readings.clear();
  }
  if (stream) stream->run(stream->waiting.size());
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(mutex);
  for (Stream* stream : streams)
    if (const cudaError_t error = cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream)))
      return error;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (device != 0) return failed(cudaErrorInvalidDevice);
  if (captured && !relaxed) return spoilt();
  if (bytes > kMemory - used) return failed(cudaErrorMemoryAllocation);
  auto* header =
      static_cast<Header*>(std::aligned_alloc(256, (bytes + 3 * kGuard - 1) / 256 * 256));
  if (!header) return failed(cudaErrorMemoryAllocation);
  header->bytes = bytes;
  used += bytes;
  *memory = header + 1;
  std::memset(header->guard, 0x5a, sizeof header->guard);
  std::memset(static_cast<char*>(*memory) + bytes, 0x5a, kGuard);
  std::memset(*memory, 0xff, bytes);  // NaN: what is read before it is written shows
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(mutex);
  if (!memory) return cudaSuccess;
  Header* header = static_cast<Header*>(memory) - 1;
  check_guards(*header);
  used -= header->bytes;
  std::free(header);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const std::lock_guard lock(mutex);
  *memory = std::malloc(bytes);
  if (!*memory) return failed(cudaErrorMemoryAllocation);
  pinned.emplace_back(static_cast<const char*>(*memory), bytes);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = kMemory - used;
  *total = kMemory;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  const std::lock_guard lock(mutex);
  const auto* target = static_cast<const char*>(to);
  const auto* source = static_cast<const char*>(from);
  if (kind == cudaMemcpyDeviceToDevice && source < target + bytes && target < source + bytes)
    die("a copy within the device whose ranges overlap");
  const auto work = [=] { std::memcpy(to, from, bytes); };
  Stream* const stream = stream_of(handle);
  if (stream != first_stream && !(captured && handle == recorder)) {
    stream->waiting.push_back(work);
    return cudaSuccess;
  }
  const cudaError_t error = queue(work);
  if (kind == cudaMemcpyHostToDevice && is_pinned(from))
    readings.push_back({from, {source, source + bytes}});
  return error;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  return queue([=] { std::memset(to, value, bytes); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (device != 0) return failed(cudaErrorInvalidDevice);
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t on) {
  const std::lock_guard lock(mutex);
  Stream* const stream = stream_of(on);
  if (captured && stream == first_stream) die("an event that would become part of the graph");
  *reinterpret_cast<Event*>(handle) = {stream, stream->waiting.size()};
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const std::lock_guard lock(mutex);
  if (captured) return spoilt();
  const Event& event = *reinterpret_cast<Event*>(handle);
  return event.stream->done < event.at ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete reinterpret_cast<Event*>(handle);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t handle, unsigned) {
  const std::lock_guard lock(mutex);
  const Event& event = *reinterpret_cast<Event*>(handle);
  event.stream->run(event.at);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(mutex);
  if (captured) return failed(cudaErrorIllegalState);
  relaxed = mode == cudaStreamCaptureModeRelaxed;
  captured = std::make_unique<Work>();
  recorder = stream;
  invalidated = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  const std::lock_guard lock(mutex);
  if (!captured) return failed(cudaErrorIllegalState);
  if (invalidated) {
    captured = nullptr;
    *graph = nullptr;
    return failed(cudaErrorStreamCaptureInvalidated);
  }
  *graph = reinterpret_cast<cudaGraph_t>(captured.release());
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  thread_local cudaStreamCaptureMode now = cudaStreamCaptureModeGlobal;
  std::swap(now, *mode);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new Work(*reinterpret_cast<Work*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  const std::lock_guard lock(mutex);
  if (device != 0) return failed(cudaErrorInvalidDevice);
  for (const auto& work : *reinterpret_cast<Work*>(executable)) work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Work*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<Work*>(executable);
  return cudaSuccess;
}

}  // extern "C"
