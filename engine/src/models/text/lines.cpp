#include <algorithm>

#include "normlab/text.h"

namespace normlab::text {

void trim_line(std::string& line, bool is_first) {
  if (line.ends_with('\r')) line.pop_back();
  if (is_first && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
}

bool Lines::next(std::string& line) {
  constexpr size_t kMost = kMaxLineBytes + 4;  // a byte order mark and CR do not count
  line.clear();
  while (at_ < chunk_.size() || refill()) {
    const std::string_view rest = std::string_view(chunk_).substr(at_);
    const size_t length = std::min(rest.find('\n'), rest.size());
    const bool ends = length < rest.size(), was_cut = is_cut_;
    at_ += length + (ends ? 1 : 0);
    if (!was_cut) line += rest.substr(0, length);
    is_cut_ = !ends && (was_cut || line.size() > kMost);
    if (!was_cut && (ends || is_cut_)) return true;
  }
  return !line.empty();
}

bool Lines::has_line() const {
  return chunk_.find('\n', at_) != std::string::npos;
}

bool Lines::refill() {
  at_ = 0;
  chunk_.clear();
  return chunks_(chunk_);
}

}  // namespace normlab::text
