#include <cublasLt.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulator.h"
#include "normlab/bfloat16.h"

// The part of cuBLASLt that the engine calls, in plain loops. Descriptors hold what was set;
// attributes, types and combinations that are unknown here end the process.

namespace {

using emulator::die;

/// Each kind of descriptor begins with its own number: one that was never made is recognised.
enum class Kind : uint64_t {
  operation = 0x6f70,
  layout = 0x6c61,
  preference = 0x7072,
  algo = 0x616c
};

struct Operation {
  Kind kind;
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t transa, transb;
  uint32_t epilogue;
  const void* bias;
};
struct Layout {
  Kind kind;
  cudaDataType type;
  int32_t batch;
  uint64_t rows, columns;
  int64_t ld, step;
};
struct Preference {
  Kind kind;
  uint64_t workspace;
  uint32_t reductions;
  uint32_t alignment[4];  ///< of A, B, C, D
};
/// What an algorithm was chosen for.
struct Algo {
  Kind kind;
  uint64_t m, n;
  uint32_t epilogue;
  uint32_t alignment[4];
  uint32_t workspace;
  int32_t splits;  ///< of K
};

template <class To, class From>
To& as(From* descriptor, Kind kind) {
  static_assert(sizeof(To) <= sizeof(From));
  auto* to = reinterpret_cast<To*>(descriptor);
  if (!to || to->kind != kind) die("a cuBLASLt descriptor that was never made");
  return *to;
}
template <class To, class From>
void make(From* descriptor, size_t size, const To& value) {
  static_assert(sizeof(To) <= sizeof(From));
  if (size != sizeof(From)) die("a cuBLASLt descriptor of another size");
  std::memset(descriptor, 0, size);
  std::memcpy(descriptor, &value, sizeof value);
}

template <class Value>
void take(Value& to, const void* from, size_t size) {
  if (size != sizeof to || !from) die("a cuBLASLt attribute of another size");
  std::memcpy(&to, from, size);
}

size_t size_of(cudaDataType type) {
  if (type == CUDA_R_32F) return 4;
  if (type == CUDA_R_64F) return 8;
  if (type == CUDA_R_16BF) return 2;
  die("a type that the emulated cuBLASLt does not know");
}

/// op(A) [m, k] op(B) [k, n] = D [m, n].
struct Problem {
  Operation op;
  Layout a, b, d;
  uint64_t m, n, k;
};

bool has_bias(const Operation& op) {
  return op.epilogue & CUBLASLT_EPILOGUE_BIAS;
}

void check_types(const Problem& p) {
  const bool wide = p.op.compute == CUBLAS_COMPUTE_64F;
  if (!wide && p.op.compute != CUBLAS_COMPUTE_32F && p.op.compute != CUBLAS_COMPUTE_32F_FAST_TF32)
    die("a compute type that the emulated cuBLASLt does not know");
  const cudaDataType want = wide ? CUDA_R_64F : CUDA_R_32F;
  const bool narrow = p.op.compute == CUBLAS_COMPUTE_32F && p.a.type == CUDA_R_16BF;
  if (p.op.scale != want || (p.a.type != want && !narrow) || p.b.type != p.a.type ||
      p.d.type != p.a.type)
    die("types that do not go together in cuBLASLt");
  switch (p.op.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
      return;
    default:
      die("an epilogue that the emulated cuBLASLt does not know");
  }
}

Problem problem_of(cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  Problem p{as<Operation>(op, Kind::operation),
            as<Layout>(a, Kind::layout),
            as<Layout>(b, Kind::layout),
            as<Layout>(d, Kind::layout),
            0,
            0,
            0};
  if (c != d) die("the emulated cuBLASLt wants C's layout to be D's");
  check_types(p);
  const bool ta = p.op.transa == CUBLAS_OP_T, tb = p.op.transb == CUBLAS_OP_T;
  p.m = ta ? p.a.columns : p.a.rows;
  p.k = ta ? p.a.rows : p.a.columns;
  p.n = tb ? p.b.rows : p.b.columns;
  const bool fits = (tb ? p.b.columns : p.b.rows) == p.k && p.d.rows == p.m && p.d.columns == p.n;
  if (!fits) die("cuBLASLt matrices that do not fit each other");
  for (const Layout& l : {p.a, p.b, p.d}) {
    if (l.rows == 0 || l.columns == 0) die("an empty matrix given to cuBLASLt");
    if (l.ld < static_cast<int64_t>(l.rows)) die("a leading dimension shorter than the column");
    if (l.batch != p.d.batch || l.batch < 1) die("cuBLASLt batches that differ");
  }
  if (p.d.batch > 1 && p.d.step < p.d.ld * static_cast<int64_t>(p.n))
    die("cuBLASLt results that overlap");
  return p;
}

/// Ten bits of fraction, rounded to nearest.
float to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

template <class Stored, class T = Stored>
struct Run {
  Problem p;
  T alpha, beta;
  const Stored *a, *b, *c;
  Stored* d;
  int64_t k;  ///< as far as it sums

  static T at(const Layout& l, const Stored* x, bool transposed, int64_t i, int64_t j) {
    return static_cast<T>(transposed ? x[j + i * l.ld] : x[i + j * l.ld]);
  }
  T operand(T x) const {
    if constexpr (sizeof(T) == 4)
      if (p.op.compute == CUBLAS_COMPUTE_32F_FAST_TF32) return to_tf32(x);
    return x;
  }
  T element(int64_t matrix, int64_t i, int64_t j) const {
    const Stored *from_a = a + matrix * p.a.step, *from_b = b + matrix * p.b.step;
    T sum = 0;
    for (int64_t m = 0; m < k; ++m)
      sum += operand(at(p.a, from_a, p.op.transa == CUBLAS_OP_T, i, m)) *
             operand(at(p.b, from_b, p.op.transb == CUBLAS_OP_T, m, j));
    T value = alpha * sum;
    if (beta != 0) value += beta * at(p.d, c + matrix * p.d.step, false, i, j);
    if (has_bias(p.op)) value += static_cast<T>(static_cast<const Stored*>(p.op.bias)[i]);
    return value;
  }
  void operator()() const {
    for (int64_t matrix = 0; matrix < p.d.batch; ++matrix)
      for (int64_t j = 0; j < static_cast<int64_t>(p.n); ++j)
        for (int64_t i = 0; i < static_cast<int64_t>(p.m); ++i)
          d[matrix * p.d.step + i + j * p.d.ld] = static_cast<Stored>(element(matrix, i, j));
  }
};

/// As some versions do, an algorithm that splits K may leave out what is behind whole tiles.
constexpr int64_t kTile = 8;
int64_t summed(int64_t k, int32_t splits) {
  const bool loses = splits > 1 && k / kTile % splits == 0 && k % kTile < splits;
  return loses ? k / kTile * kTile : k;
}

template <class Stored, class T = Stored>
Run<Stored, T> run_of(const Problem& p, int32_t splits, const void* alpha, const void* beta,
                      const void* a, const void* b, const void* c, void* d) {
  return {p,
          *static_cast<const T*>(alpha),
          *static_cast<const T*>(beta),
          static_cast<const Stored*>(a),
          static_cast<const Stored*>(b),
          static_cast<const Stored*>(c),
          static_cast<Stored*>(d),
          summed(static_cast<int64_t>(p.k), splits)};
}

void check_aligned(const void* p, uint64_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0)
    die("an address less aligned than the algorithm was promised");
}

}  // namespace

struct cublasLtContext {};

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t) {
  return "CUBLAS_STATUS";
}
const char* cublasLtGetStatusString(cublasStatus_t) {
  return "an error of the emulated cuBLASLt";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static cublasLtContext context;
  *handle = &context;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t descriptor, size_t size,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  make(descriptor, size,
       Operation{Kind::operation, compute, scale, CUBLAS_OP_N, CUBLAS_OP_N,
                 CUBLASLT_EPILOGUE_DEFAULT, nullptr});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t size) {
  auto& op = as<Operation>(descriptor, Kind::operation);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      take(op.transa, value, size);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      take(op.transb, value, size);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      take(op.epilogue, value, size);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      take(op.bias, value, size);
      break;
    default:
      die("a matmul attribute that the emulated cuBLASLt does not know");
  }
  if (op.transa == CUBLAS_OP_C || op.transb == CUBLAS_OP_C)
    die("the emulated cuBLASLt has no complex numbers");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t descriptor, size_t size,
                                                 cudaDataType type, uint64_t rows, uint64_t columns,
                                                 int64_t ld) {
  make(descriptor, size, Layout{Kind::layout, type, 1, rows, columns, ld, 0});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t descriptor,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t size) {
  auto& layout = as<Layout>(descriptor, Kind::layout);
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      take(layout.batch, value, size);
      break;
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      take(layout.step, value, size);
      break;
    default:
      die("a layout attribute that the emulated cuBLASLt does not know");
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t descriptor,
                                                     size_t size) {
  make(descriptor, size,
       Preference{Kind::preference, 0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t descriptor,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t size) {
  auto& preference = as<Preference>(descriptor, Kind::preference);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      take(preference.workspace, value, size);
      break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      take(preference.reductions, value, size);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      take(preference.alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
           size);
      break;
    default:
      die("a preference that the emulated cuBLASLt does not know");
  }
  return CUBLAS_STATUS_SUCCESS;
}

// As versions of the real one do, it has nothing for a result of one row, nor for a bias with a
// single column: callers must have something of their own. 16-bit operands are split first.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t op,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  const Problem p = problem_of(op, a, b, c, d);
  const auto& wish = as<Preference>(preference, Kind::preference);
  if (requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  *found = 0;
  if (p.m == 1) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias(p.op) && p.n == 1) return CUBLAS_STATUS_INVALID_VALUE;
  for (const int32_t splits : {2, 1}) {
    if (*found == requested || (splits > 1 && size_of(p.a.type) > 2)) continue;
    Algo algo{Kind::algo, p.m, p.n, p.op.epilogue, {}, static_cast<uint32_t>(wish.workspace),
              splits};
    std::memcpy(algo.alignment, wish.alignment, sizeof algo.alignment);
    cublasLtMatmulHeuristicResult_t& result = results[(*found)++];
    std::memset(&result, 0, sizeof result);
    make(&result.algo, sizeof result.algo, algo);
    result.workspaceSize = static_cast<size_t>(wish.workspace);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* value, size_t size, size_t* written) {
  if (attribute != CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
    die("an algorithm's attribute that the emulated cuBLASLt does not know");
  const auto& chosen = as<const Algo>(algo, Kind::algo);
  if (size != sizeof chosen.splits) die("a cuBLASLt attribute of another size");
  std::memcpy(value, &chosen.splits, size);
  *written = size;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t op, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t) {
  if (!handle || !algo) die("cuBLASLt called without handle or algorithm");
  const Problem p = problem_of(op, a_layout, b_layout, c_layout, d_layout);
  const auto& chosen = as<const Algo>(algo, Kind::algo);
  if (chosen.m != p.m || chosen.n != p.n || chosen.epilogue != p.op.epilogue)
    die("an algorithm chosen for another product");
  if (workspace_bytes < chosen.workspace || (workspace_bytes > 0 && !workspace))
    die("less workspace than the algorithm was promised");
  check_aligned(a, chosen.alignment[0]);
  check_aligned(b, chosen.alignment[1]);
  check_aligned(c, chosen.alignment[2]);
  check_aligned(d, chosen.alignment[3]);
  if (has_bias(p.op)) check_aligned(p.op.bias, 16);
  if (size_of(p.a.type) == 8)
    emulator::queue(run_of<double>(p, chosen.splits, alpha, beta, a, b, c, d));
  else if (size_of(p.a.type) == 2)
    emulator::queue(run_of<normlab::bfloat16, float>(p, chosen.splits, alpha, beta, a, b, c, d));
  else
    emulator::queue(run_of<float>(p, chosen.splits, alpha, beta, a, b, c, d));
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
