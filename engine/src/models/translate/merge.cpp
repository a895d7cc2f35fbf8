#include "models/translate/merge.h"

#include <queue>

#include "core/json.h"

namespace normlab::translate {
namespace {

constexpr int64_t kNone = -1;

/// A piece in a list whose ends move apart as pieces are joined; empty when it is part of another.
struct Symbol {
  std::string_view text;
  int64_t before, behind;
};

/// Two neighbours that could be joined.
struct Pair {
  int64_t number;  // of the joined piece
  int64_t left, right;
  size_t size;  // of the joined piece: another size means that one of them was joined meanwhile
};

struct ComesLater {
  bool operator()(const Pair& a, const Pair& b) const {
    return a.number != b.number ? a.number > b.number : a.left > b.left;
  }
};

class Merger {
 public:
  Merger(std::string_view text, const std::function<int64_t(std::string_view)>& number)
      : number_(number) {
    for (size_t at = 0; at < text.size();) {
      const size_t length = utf8_length(text, at);
      const int64_t place = static_cast<int64_t>(symbols_.size());
      symbols_.push_back({text.substr(at, length), place - 1, place + 1});
      at += length;
    }
    if (!symbols_.empty()) symbols_.back().behind = kNone;
    for (int64_t i = 1; i < static_cast<int64_t>(symbols_.size()); ++i) offer(i - 1, i);
  }

  std::vector<std::string_view> run() {
    while (!pairs_.empty()) {
      const Pair pair = pairs_.top();
      pairs_.pop();
      if (is_current(pair)) join(pair);
    }
    std::vector<std::string_view> pieces;
    for (const Symbol& symbol : symbols_)
      if (!symbol.text.empty()) pieces.push_back(symbol.text);
    return pieces;
  }

 private:
  Symbol& at(int64_t place) { return symbols_[static_cast<size_t>(place)]; }

  /// Neighbours lie side by side in the text.
  std::string_view together(int64_t left, int64_t right) {
    return {at(left).text.data(), at(left).text.size() + at(right).text.size()};
  }

  void offer(int64_t left, int64_t right) {
    if (left == kNone || right == kNone) return;
    const std::string_view joined = together(left, right);
    if (const int64_t number = number_(joined); number >= 0)
      pairs_.push({number, left, right, joined.size()});
  }

  bool is_current(const Pair& pair) {
    return !at(pair.left).text.empty() && !at(pair.right).text.empty() &&
           together(pair.left, pair.right).size() == pair.size;
  }

  void join(const Pair& pair) {
    at(pair.left).text = together(pair.left, pair.right);
    const int64_t behind = at(pair.right).behind;
    at(pair.left).behind = behind;
    if (behind != kNone) at(behind).before = pair.left;
    at(pair.right).text = {};
    offer(at(pair.left).before, pair.left);
    offer(pair.left, behind);
  }

  const std::function<int64_t(std::string_view)>& number_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Pair, std::vector<Pair>, ComesLater> pairs_;
};

}  // namespace

std::vector<std::string_view> merged(std::string_view text,
                                     const std::function<int64_t(std::string_view)>& number) {
  return Merger(text, number).run();
}

}  // namespace normlab::translate
