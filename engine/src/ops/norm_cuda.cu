#include "ops/norm_cuda.h"

#include "ops/norm_math_cuda.h"

// All variants that share their statistics along a row, forward and backward: one kernel each, and
// the table of traits decides. kGeneral: rows that are clamped, whose parameters change from
// segment to segment, or that are too long for the registers.
//
// A norm does a few operations a byte, so memory alone bounds it: forward should move 2, backward 3
// times x. A row is therefore read once, into registers, and everything else happens there. What
// keeps the memory busy is bytes in flight: an H100 needs some 20 KB a multiprocessor (25 KB/us of
// its 3.35 TB/s, for 0.8 us). Here they are
//   forward   1,024 threads x 16 floats            64 KB (and 128 KB moved a round)
//   backward    512 threads x 32 floats x 2 arrays 128 KB (and 192 KB moved a round)
// A round (wait for the loads, compute, reduce, store) takes 3 to 4 us by itself, its bytes take 5
// and 7.7 us of the multiprocessor's share of the memory: so even one block, whose phases do not
// overlap, leaves the memory no pause, as the blocks are not in step.
//
// Backward's sums over rows, two more arrays of a row's length, would cost half of these registers.
// They lie in shared memory instead: 16 bytes an element and row, a sixth of what that can move
// meanwhile. As few blocks as fill the device go through all rows; each adds its rows of a moment
// up before it writes [2, H]. The second stage (norm_parameters_cuda.cu) reads these parts, as a
// rule still in L2: 132 x 8 H bytes written and read, against 12 H a row. That is 4 % at 8,192
// rows; with 1,000 rows of 16,384 it is a sixth, and shows.
//
// Rows beyond 16,384 floats are shared by clusters of 2, 4 or 8 blocks, up to 131,072: each has its
// part in registers (and its sums over rows in shared memory), and leaves its sums over the row in
// the others' shared memory. Where there are no clusters (before compute capability 9.0), or rows
// are longer, clamped or have parameters by segments, a block keeps the rest of its row in shared
// memory, 65,536 floats in all forward and 40,960 backward; beyond, it is read again, from L2: 132
// rows of 65,536 overflow it only by 22 MB. There is no room on the chip for sums over such rows,
// so a kernel of its own reads x and dz once more: 5 arrays' traffic for 3.
//
// Meant for 85 % of the memory's rate, which nobody has measured yet: float32 layernorm, rmsnorm
// and what is made like them, H % 4 == 0, H from 128 to 131,072. Not meant:
//   x of 64 MB or less                 the second stage and the last round show
//   gain's and bias's gradients        beyond H = 16,384 without clusters 60 %: 5 arrays for 3
//   groupnorm's backward with gain, batchnorm   5 arrays for 3
//   topk                               passes over the row to find the extremes
//   H % 4 != 0                         loads of 4 bytes, not 16
//   short rows, bfloat16               their instructions take as long as their bytes or longer:

namespace normlab::cuda {
namespace {

constexpr int64_t kLongestRow = int64_t{1} << 30;
constexpr Failure kTooLong = "a row has more than 2^30 elements";

template <class T>
Failure norm_forward(const NormProblem<T>& a) {
  if (a.rows == 0 || a.H == 0) return nullptr;
  if (a.H > kLongestRow) return kTooLong;
  if (a.batch()) return batch_forward(a);
  if (a.traits.scale == Scale::tanh) return tanh_forward(a);
  if (a.clamp > 0)
    if (const Failure failure = find_extremes(a)) return failure;
  const Failure failure = rows_forward(a);
  return failure || !a.updates_running ? failure : update_running_of_rows(a);
}

template <class T>
Failure norm_backward(const NormProblem<T>& a) {
  if (a.rows == 0 || a.H == 0) return nullptr;
  if (a.batch()) return batch_backward(a);
  if (a.traits.scale == Scale::tanh) return tanh_backward(a);
  return rows_backward(a);
}

template <class T>
int64_t forward_scratch(const NormProblem<T>& a) {
  if (a.rows == 0 || a.H == 0) return 0;
  return a.batch() ? batch_scratch(a) : 0;
}

template <class T>
int64_t backward_scratch(const NormProblem<T>& a) {
  if (a.rows == 0 || a.H == 0) return 0;
  if (a.batch()) return batch_scratch(a);
  if (a.traits.scale == Scale::tanh) return tanh_scratch(a);
  return rows_backward_scratch(a);
}

template <class T>
constexpr NormCalls<T> kCalls = {
    .forward_scratch = forward_scratch<T>,
    .forward = norm_forward<T>,
    .backward_scratch = backward_scratch<T>,
    .backward = norm_backward<T>,
};

}  // namespace

const NormFunctions norm_functions = {
    .of_float = kCalls<float>, .of_double = kCalls<double>, .of_bfloat16 = kCalls<bfloat16>};

}  // namespace normlab::cuda
