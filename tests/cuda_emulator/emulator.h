#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

// Runs CUDA kernels on the CPU, for tests: one block, or cluster of blocks, after the other, each
// thread of it as a fiber that gives way at barriers and warp exchanges. What would hang or be
// undefined on a GPU (a barrier that not all threads reach, an exchange with a lane that has left)
// ends the process with a message.

namespace emulator {

struct Shape {
  dim3 blocks, threads;
  unsigned cluster = 1;  ///< blocks along x that run at once
};
struct Place {
  uint3 block, thread;
};

extern Shape shape;  ///< of the running kernel
extern Place here;   ///< where the running thread is
/// Its lane within its warp.
int lane();

/// Waits for all threads of the block; the sum of what they brought.
int barrier(int brought);
/// Waits for the lanes of the mask; all[i] is what lane i brought.
void meet(unsigned mask, uint64_t bits, uint64_t (&all)[32]);
/// The block's dynamic shared memory.
void* dynamic_shared();
/// The block's place in its cluster.
unsigned cluster_rank();
/// Waits for all threads of the cluster.
void cluster_barrier();
/// What lies in that block's dynamic shared memory where `shared` is in this one's.
void* in_block(void* shared, unsigned rank);

/// Ends the process with a message: for what would hang or be undefined on a GPU.
[[noreturn]] void die(const char* what);

/// Queues a kernel: runs it now, or keeps it for the graph being captured.
cudaError_t launch(void* kernel, const Shape& of, size_t shared_bytes,
                   const std::function<void()>& thread);
/// Lets a kernel have so many bytes of dynamic shared memory.
cudaError_t allow_shared(void* kernel, int bytes);
/// The same for any other work on the stream.
cudaError_t queue(const std::function<void()>& work);

}  // namespace emulator
