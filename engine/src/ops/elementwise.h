#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"
#include "ops/broadcast.h"
#include "ops/elementwise_cuda.h"

// The elementwise family: elementwise_table.h has the mathematics, elementwise_cpu.cpp makes
// loops of it, elementwise.cpp checks, broadcasts and records.
namespace normlab {

inline constexpr int kDTypes = 7;

/// Elements that a thread takes at once.
inline constexpr int64_t kElementsAtOnce = 4096;

inline constexpr int kUnaryOps = static_cast<int>(Unary::round) + 1;
enum class Binary {
  add,
  sub,
  mul,
  div,
  maximum,
  minimum,
  pow,
  floor_divide,
  remainder,
  leaky_relu
};
inline constexpr int kBinaryOps = static_cast<int>(Binary::leaky_relu) + 1;
inline constexpr int kComparisons = static_cast<int>(Comparison::ge) + 1;

/// The element types that an op takes; bool is never one of them.
enum class Domain { numeric, floating };

/// Arguments of a derivative beside dz. Unary: x and the result z; binary: the operands a and b.
enum class Reads {
  no_derivative,
  passes,  ///< nothing: the gradient is dz itself
  nothing,
  x,
  z,
  a,
  b,
  both,  ///< a and b
};

using UnaryLoop = void (*)(const void* x, void* z, int64_t n);
/// Of x and z only what the derivative reads needs to be there.
using UnaryGradLoop = void (*)(const void* dz, const void* x, const void* z, void* dx, int64_t n);
using BinaryLoop = void (*)(const LoopOperand& a, const LoopOperand& b, void* z, int64_t n);
using BinaryGradLoop = void (*)(const void* dz, const LoopOperand& a, const LoopOperand& b,
                                void* dx, int64_t n);

/// An op's row of the table as loops over arrays, by dtype; null for a dtype that it does not take.
struct UnaryOp {
  const char *name, *summary;
  Reads reads;
  int cost;
  bool activation;  ///< one that linear() and conv2d() fuse
  UnaryLoop forward[kDTypes];
  UnaryGradLoop backward[kDTypes];
};
struct BinaryOp {
  const char* name;
  Reads da_reads, db_reads;
  int cost;
  BinaryLoop forward[kDTypes];
  BinaryGradLoop da[kDTypes], db[kDTypes];
};
struct ElementwiseOps {
  UnaryOp unary[kUnaryOps];
  BinaryOp binary[kBinaryOps];
  BinaryLoop compare[kComparisons][kDTypes];
};
NORMLAB_KERNEL_TABLE(ElementwiseOps, elementwise_ops)

/// x as an operand of a GPU kernel: its memory, or the number itself for a scalar on the CPU, which
/// only scalar_for() makes.
cuda::Source source_of(const Tensor& x);

/// dz times the derivative of a unary op within the op `name`; `kept` is x or z, as the derivative
/// reads, or undefined if it reads neither.
Tensor unary_gradient(const char* name, Unary which, const Tensor& dz, const Tensor& kept);

/// DeviceError and DtypeError unless a and b are of one device and dtype.
void check_same(const char* op, const Tensor& a, const Tensor& b);
/// b, or its number: a tensor of one element counts as a number beside x if it requires no gradient
/// and has another dtype or device, as in pow(x, Tensor::scalar(2)).
Operand beside(const Tensor& x, const Operand& b);
/// The number as a scalar tensor on the CPU, whatever the device of the other operand; DtypeError
/// if an integer dtype does not hold it. Sums and products on uint8 wrap around, so that there
/// x + -3 is x + 253.
Tensor scalar_for(const char* op, const Scalar& number, DType dtype, bool wraps = false);

}  // namespace normlab
