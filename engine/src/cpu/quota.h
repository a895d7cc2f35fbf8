#pragma once

#include <filesystem>

namespace normlab {

/// Processors that the control groups of this process may use, 1.5 for instance: the least quota of
/// all groups around it, version 1 or 2. Infinite without a quota.
/// @param root  where proc/self/cgroup and sys/fs/cgroup lie
double cpu_quota(const std::filesystem::path& root = "/");

}  // namespace normlab
