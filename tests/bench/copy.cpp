// STREAM-like copy bandwidth, called through ctypes so that it is measured in turn with a norm in
// one process. Regular stores read each line before they overwrite it; streaming stores do not.
#include <cstdint>
#if defined(__AVX__)
#include <immintrin.h>
#endif

extern "C" void copy_regular(float* __restrict to, const float* __restrict from, int64_t n,
                             int threads) {
#pragma omp parallel for simd schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; ++i) to[i] = from[i] * 1.0001f;
}

/// n a multiple of 16, both pointers aligned to 64 bytes.
extern "C" void copy_streaming(float* to, const float* from, int64_t n, int threads) {
#if defined(__AVX512F__)
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; i += 16) _mm512_stream_ps(to + i, _mm512_load_ps(from + i));
#elif defined(__AVX__)
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; i += 8) _mm256_stream_ps(to + i, _mm256_load_ps(from + i));
#else
  copy_regular(to, from, n, threads);
#endif
}
