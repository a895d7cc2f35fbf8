#pragma once

namespace normlab {

/// Up to where a row's statistics may be taken as they are. The squares of a row that varies by
/// `least` to `most` are numbers of T, and so is 1 / sigma. Beyond, the row is multiplied by `step`
/// or 1 / step first, which is exact: the numbers of T that are less than `least` or more than
/// `most` come to lie between these two.
/// Deviations below `flat` times the mean are as small as what rounding makes of a row of equal
/// elements: the mean is summed again, around an element of the row.
template <class T>
struct NormRange;
template <>
struct NormRange<float> {
  static constexpr float least = 0x1p-40f, most = 0x1p62f, step = 0x1p90f, flat = 0x1p-21f;
};
template <>
struct NormRange<double> {
  static constexpr double least = 0x1p-400, most = 0x1p500, step = 0x1p600, flat = 0x1p-50;
};

#ifdef __CUDACC__
#define NORMLAB_ON_BOTH __host__ __device__
#else
#define NORMLAB_ON_BOTH
#endif
/// The power of two for a row of magnitudes up to `most` and distances up to `spread` from its
/// first element (from 0 if it is not centred). `floor` is what eps adds to sigma: of elements that
/// are all equal it is all of it.
template <class Range>
NORMLAB_ON_BOTH inline double factor_into_range(double most, double spread, double floor) {
  constexpr double kLeast = Range::least, kMost = Range::most, kStep = Range::step;
  const bool vast = floor > kMost * kMost && most > kLeast;
  if (most > kMost || vast) return 1 / kStep;
  const bool tiny = spread > 0 ? spread < kLeast && floor < 1 : floor < kLeast;
  return tiny && most <= kMost * kLeast ? kStep : 1;
}
#undef NORMLAB_ON_BOTH

}  // namespace normlab
