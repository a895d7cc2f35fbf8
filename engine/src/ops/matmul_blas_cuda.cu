#include "ops/matmul_blas_cuda.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <mutex>

#include "cuda/blas.h"
#include "cuda/launch.h"

// cuBLASLt. It counts matrices by columns: a row-major C = A B is the column-major C^T = B^T A^T,
// so its first operand is our B, and a bias along our columns is one along its rows.

namespace normlab::cuda {
namespace {

/// What NVIDIA recommends for Hopper.
constexpr size_t kWorkspace = size_t{32} << 20;
/// Addresses are told apart up to this many bytes; no kernel asks for more.
constexpr uintptr_t kMostAlignment = 16;
/// Plans kept; batches of sentences bring new shapes for ever.
constexpr size_t kMostPlans = 4096;

cublasLtHandle_t the_handle = nullptr;
void* the_workspace = nullptr;

Failure failure_of_blas(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return nullptr;
  thread_local char text[256];
  std::snprintf(text, sizeof text, "cuBLASLt says %s (%s)", cublasLtGetStatusString(status),
                cublasLtGetStatusName(status));
  return text;
}

/// How a dtype is stored, summed and scaled: one row each.
struct Precision {
  DType dtype;
  int64_t size;  ///< bytes
  cudaDataType stored;
  cublasComputeType_t compute, compute_tf32;
  cudaDataType scale;
};
constexpr Precision kPrecisions[] = {
    {DType::float32, 4, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F},
    {DType::float64, 8, CUDA_R_64F, CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F, CUDA_R_64F},
    {DType::bfloat16, 2, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F},
};

const Precision& precision_of(DType dtype) {
  for (const Precision& p : kPrecisions)
    if (p.dtype == dtype) return p;
  return kPrecisions[0];
}

// --- plans
// ----------------------------------------------------------------------------------------

/// All that the choice of an algorithm depends on.
using Key = std::array<int64_t, 14>;

struct Plan {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t left, right, result;  ///< as the library has them
  cublasLtMatmulAlgo_t algorithm;
  bool found;  ///< whether the library has an algorithm
};

std::map<Key, Plan>& the_plans = *new std::map<Key, Plan>;
std::mutex the_mutex;  ///< of the plans

/// Of the address and of all that are a multiple of `step` bytes further.
int64_t alignment(const void* p, int64_t step = 0) {
  const auto at = reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(step) | kMostAlignment;
  return static_cast<int64_t>(at & (~at + 1));
}

struct Alignments {
  int64_t a, b, result;
};
Alignments alignments(const MatrixProduct& a, const void* to) {
  const int64_t size = a.batch > 1 ? precision_of(a.dtype).size : 0;  // of what steps count
  return {alignment(a.a, a.a_step * size), alignment(a.b, a.b_step * size),
          alignment(to, a.M * a.N * size)};
}

Key key_of(const MatrixProduct& a, const void* bias, const void* to) {
  const bool batched = a.batch > 1;
  const Alignments aligned = alignments(a, to);
  return {static_cast<int64_t>(a.dtype),
          a.tf32,
          a.a_transposed,
          a.b_transposed,
          a.M,
          a.N,
          a.K,
          a.batch,
          batched ? a.a_step : 0,
          batched ? a.b_step : 0,
          bias != nullptr,
          aligned.a,
          aligned.b,
          aligned.result};
}

/// The first failure of several calls.
struct Status {
  cublasStatus_t first = CUBLAS_STATUS_SUCCESS;
  void operator()(cublasStatus_t next) {
    if (first == CUBLAS_STATUS_SUCCESS) first = next;
  }
};

template <class Value>
cublasStatus_t set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                   const Value& value) {
  return cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value);
}
template <class Value>
cublasStatus_t set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                   const Value& value) {
  return cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value);
}
template <class Value>
cublasStatus_t set(cublasLtMatmulPreference_t preference,
                   cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
}

/// Row-major [rows, columns], which is column-major [columns, rows].
cublasStatus_t describe(cublasLtMatrixLayout_t layout, cudaDataType stored, int64_t rows,
                        int64_t columns, int64_t batch, int64_t step) {
  Status status;
  status(cublasLtMatrixLayoutInit(layout, stored, static_cast<uint64_t>(columns),
                                  static_cast<uint64_t>(rows), columns));
  if (batch > 1) {
    status(set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch)));
    status(set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, step));
  }
  return status.first;
}

cublasStatus_t describe(Plan& plan, const MatrixProduct& a, const void* bias) {
  const Precision& p = precision_of(a.dtype);
  const cublasOperation_t left = a.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t right = a.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue = bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  Status status;
  status(cublasLtMatmulDescInit(&plan.operation, a.tf32 ? p.compute_tf32 : p.compute, p.scale));
  status(set(&plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, left));
  status(set(&plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, right));
  status(set(&plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue));
  // Of its address only the alignment counts here.
  const auto* any = reinterpret_cast<const void*>(kMostAlignment);
  if (bias) status(set(&plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, any));
  status(describe(&plan.left, p.stored, a.b_transposed ? a.N : a.K, a.b_transposed ? a.K : a.N,
                  a.batch, a.b_step));
  status(describe(&plan.right, p.stored, a.a_transposed ? a.K : a.M, a.a_transposed ? a.M : a.K,
                  a.batch, a.a_step));
  status(describe(&plan.result, p.stored, a.M, a.N, a.batch, a.M * a.N));
  return status.first;
}

/// What an algorithm must cope with: our workspace and addresses. Split sums may only be added up
/// apart from the result, in the precision of the sums: always in the same order.
cublasStatus_t prefer(cublasLtMatmulPreference_t preference, const MatrixProduct& a,
                      const void* to) {
  const Alignments aligned = alignments(a, to);
  Status status;
  status(cublasLtMatmulPreferenceInit(preference));
  status(set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace}));
  status(set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
             uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}));
  status(set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
             static_cast<uint32_t>(aligned.b)));
  status(set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
             static_cast<uint32_t>(aligned.a)));
  status(set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
             static_cast<uint32_t>(aligned.result)));
  status(set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
             static_cast<uint32_t>(aligned.result)));
  return status.first;
}

/// Whether a status means that there is no algorithm, and not that something broke. Some versions
/// take a matrix of one row or column for an invalid value.
bool refuses(cublasStatus_t status, const MatrixProduct& a) {
  const bool thin = a.M == 1 || a.N == 1 || a.K == 1;
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH ||
         (thin && status == CUBLAS_STATUS_INVALID_VALUE);
}

/// Whether an algorithm sums all of K: with 16-bit operands some versions of the library (12.8 to
/// 13.2 are said to) leave out what K has beyond whole tiles if K is split, the splits divide the
/// tiles, and they outnumber what is left.
bool keeps_the_end(const cublasLtMatmulAlgo_t& algorithm, const MatrixProduct& a) {
  if (precision_of(a.dtype).size > 2) return true;
  int32_t splits = 1;
  size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                       sizeof splits, &written);
  constexpr int64_t kLeastTile = 8, kMostTile = 256;
  for (int64_t tile = kLeastTile; tile <= kMostTile && splits > 1; tile *= 2)
    if (a.K % tile != 0 && a.K / tile % splits == 0 && a.K % tile < splits) return false;
  return true;
}

/// Fills in the plan; a failure only if something broke.
Failure choose(Plan& plan, const MatrixProduct& a, const void* bias, const void* to) {
  cublasLtMatmulPreferenceOpaque_t preference{};
  constexpr int kAsked = 8;
  cublasLtMatmulHeuristicResult_t results[kAsked]{};
  int found = 0;
  Status status;
  status(describe(plan, a, bias));
  status(prefer(&preference, a, to));
  if (status.first == CUBLAS_STATUS_SUCCESS)
    status(cublasLtMatmulAlgoGetHeuristic(the_handle, &plan.operation, &plan.left, &plan.right,
                                          &plan.result, &plan.result, &preference, kAsked, results,
                                          &found));
  if (status.first != CUBLAS_STATUS_SUCCESS) found = 0;
  plan.found = false;
  for (int i = 0; i < found && !plan.found; ++i) {  // the fastest comes first
    const cublasLtMatmulHeuristicResult_t& result = results[i];
    plan.found = result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kWorkspace &&
                 keeps_the_end(result.algo, a);
    plan.algorithm = result.algo;
  }
  return refuses(status.first, a) ? nullptr : failure_of_blas(status.first);
}

/// The plan for a call, made at the first one of its kind. Under the mutex.
Failure plan_for(const MatrixProduct& a, const void* bias, const void* to, Plan** plan) {
  const Key key = key_of(a, bias, to);
  auto at = the_plans.find(key);
  if (at == the_plans.end()) {
    Plan fresh{};
    if (const Failure failure = choose(fresh, a, bias, to)) return failure;
    if (the_plans.size() >= kMostPlans) the_plans.clear();
    at = the_plans.emplace(key, fresh).first;
  }
  *plan = &at->second;
  return nullptr;
}

/// Whether the library's own limits leave the product out: it counts elements in 32 bits, has
/// matrices along an axis of the grid, which ends at 65,535, and reads a bias in vectors.
bool beyond_library(const MatrixProduct& a, const void* bias) {
  constexpr int64_t kMostMatrices = 65535;
  const bool counts =
      std::max({a.M * a.K, a.K * a.N, a.M * a.N}) <= INT32_MAX && a.batch <= kMostMatrices;
  return !counts || (bias && alignment(bias) < static_cast<int64_t>(kMostAlignment));
}

}  // namespace

Failure open_blas() {
  if (const Failure failure = failure_of_blas(cublasLtCreate(&the_handle))) return failure;
  return failure_of(cudaMalloc(&the_workspace, kWorkspace));
}

Failure blas_multiply(const MatrixProduct& args, const void* bias, void* to, bool* done) {
  *done = false;
  if (beyond_library(args, bias)) return nullptr;
  const OnDevice here;
  const std::lock_guard lock(the_mutex);
  Plan* plan = nullptr;
  if (const Failure failure = plan_for(args, bias, to, &plan)) return failure;
  if (!plan->found) return nullptr;
  Status status;
  if (bias) status(set(&plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
  const double one64 = 1, zero64 = 0;
  const float one32 = 1, zero32 = 0;
  const bool wide = precision_of(args.dtype).scale == CUDA_R_64F;
  const void* one = wide ? static_cast<const void*>(&one64) : &one32;
  const void* zero = wide ? static_cast<const void*>(&zero64) : &zero32;
  if (status.first == CUBLAS_STATUS_SUCCESS)
    status(cublasLtMatmul(the_handle, &plan->operation, one, args.b, &plan->left, args.a,
                          &plan->right, zero, to, &plan->result, to, &plan->result,
                          &plan->algorithm, the_workspace, kWorkspace, stream()));
  if (refuses(status.first, args)) {
    plan->found = false;
    return nullptr;
  }
  *done = status.first == CUBLAS_STATUS_SUCCESS;
  return failure_of_blas(status.first);
}

}  // namespace normlab::cuda
