#include "cpu/quota.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace normlab {
namespace {

namespace fs = std::filesystem;

constexpr double kNone = std::numeric_limits<double>::infinity();

double ratio(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : kNone;
}

/// cpu.max holds the quota and the period in microseconds, or "max" and the period.
double quota_of_version_2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0, period = 0;
  file >> quota >> period;
  return ratio(quota, period);
}

double quota_of_version_1(const fs::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  quota_file >> quota;
  period_file >> period;
  return ratio(quota, period);
}

/// The least quota from the group up to the top. In a container the group's path may be the host's:
/// then the top is the container's own group.
template <class Quota>
double least_quota(const fs::path& top, const fs::path& group, const Quota& quota) {
  double least = quota(top);
  fs::path at = top;
  for (const fs::path& name : group.relative_path()) least = std::min(least, quota(at /= name));
  return least;
}

bool names_cpu(const std::string& controllers) {
  return (',' + controllers + ',').find(",cpu,") != std::string::npos;
}

}  // namespace

double cpu_quota(const fs::path& root) {
  const fs::path mount = root / "sys/fs/cgroup";
  std::ifstream groups(root / "proc/self/cgroup");
  double least = kNone;
  // A line is "number:controllers:path". Version 2 has number 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, least_quota(mount, group, quota_of_version_2));
    if (!names_cpu(controllers)) continue;
    for (const char* folder : {"cpu", "cpu,cpuacct", "cpuacct,cpu"})
      least = std::min(least, least_quota(mount / folder, group, quota_of_version_1));
  }
  return least;
}

}  // namespace normlab
