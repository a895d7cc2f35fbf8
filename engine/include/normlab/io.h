#pragma once

#include <map>
#include <string>

#include "normlab/tensor.h"

namespace normlab {

/// Tensors by name, and free text about them by name.
using TensorMap = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;
struct TensorFile {
  TensorMap tensors;
  Metadata metadata;
};

/// Writes a safetensors file: into a temporary file beside it, synced and renamed, so that a crash
/// at any moment leaves either the old file or the new one. FileError names path and reason;
/// ArgumentError for a tensor or metadata key that the format reserves ("__metadata__"), and for a
/// parameter (a leaf that requires a gradient) that is not finite, unless `allow_nonfinite`:
/// other tensors, such as statistics and masks, may hold any number.
void save(const std::string& path, const TensorMap& tensors, const Metadata& metadata = {},
          bool allow_nonfinite = false);

/// Reads a safetensors file, its tensors to that device. Trusts nothing in it: FileError names the
/// path and what is wrong with header, dtype, shape or offsets (lying lengths, overlaps, holes,
/// duplicates, oversized header). Types that the engine lacks become the smallest of its own that
/// holds all their values: F16 float32; I8, I16 and U16 int32; U32 and U64 int64, where a greater
/// number is a FileError.
TensorFile load(const std::string& path, Device device = Device::cpu);

}  // namespace normlab
