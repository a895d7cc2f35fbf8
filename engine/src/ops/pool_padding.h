#pragma once

#include "ops/window_shapes.h"

// Padding for the CPU's forward kernels, which know none: each plane is copied into a larger one.
namespace normlab {

/// Shape for the kernels: planes with the padding in them.
PoolShape padded_shape(PoolShape s);

/// A plane x [H, W] in the middle of `to`, `value` around it.
template <class T>
void pad_plane(const PoolShape& s, const T* x, T value, T* to);

/// winner [OH, OW]: places of a padded plane become places of the plane itself. The padding was
/// -infinity, so it wins only as the first of a window that holds nothing greater: then the
/// window's first element of x does.
void cut_winners(const PoolShape& s, int32_t* winner);

/// z [OH, OW]: each result divided by the number of its window's elements that are not padding.
template <class T>
void divide_by_counts(const PoolShape& s, T* z);

}  // namespace normlab
