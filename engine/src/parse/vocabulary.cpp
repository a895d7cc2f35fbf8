#include <algorithm>
#include <iterator>

#include "core/json.h"
#include "normlab/parse.h"
#include "text/characters.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr const char* kSpecial[] = {"<null>", "<root>", "<unknown>"};

// --- spelling ---------------------------------------------------------------------------------

/// Capitals in steps of `step`, whose small letters are `offset` further on and take as many bytes.
struct Capitals {
  uint32_t first, last, step, offset;
};
constexpr Capitals kCapitals[] = {
    {'A', 'Z', 1, 32},     {0xC0, 0xD6, 1, 32},    {0xD8, 0xDE, 1, 32},    {0x100, 0x12E, 2, 1},
    {0x132, 0x136, 2, 1},  {0x139, 0x147, 2, 1},   {0x14A, 0x176, 2, 1},   {0x179, 0x17D, 2, 1},
    {0x391, 0x3A1, 1, 32}, {0x3A3, 0x3AB, 1, 32},  {0x400, 0x40F, 1, 80},  {0x410, 0x42F, 1, 32},
    {0x460, 0x480, 2, 1},  {0x48A, 0x4BE, 2, 1},   {0x4C1, 0x4CD, 2, 1},   {0x4D0, 0x52E, 2, 1},
    {0x531, 0x556, 1, 48}, {0x1E00, 0x1E94, 2, 1}, {0x1EA0, 0x1EFE, 2, 1}, {0xFF21, 0xFF3A, 1, 32},
};

uint32_t lower(uint32_t code) {
  for (const auto& [first, last, step, offset] : kCapitals)
    if (first <= code && code <= last && (code - first) % step == 0) return code + offset;
  return code;
}

/// Writes a code point over a character of as many bytes.
void put(char* at, size_t bytes, uint32_t code) {
  if (bytes == 1) {
    *at = static_cast<char>(code);
    return;
  }
  for (size_t i = bytes - 1; i > 0; --i, code >>= 6)
    at[i] = static_cast<char>(0x80 | (code & 0x3F));
  constexpr uint32_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  *at = static_cast<char>(kLead[bytes] | code);
}

// --- counting ---------------------------------------------------------------------------------

using Counts = std::unordered_map<std::string, int64_t>;

/// What occurs at least `least` times, the most frequent first, equals by their bytes.
std::vector<std::string> by_frequency(const Counts& counts, int64_t least) {
  std::vector<std::pair<string_view, int64_t>> list(counts.begin(), counts.end());
  std::erase_if(list, [&](const auto& entry) { return entry.second < least; });
  std::ranges::sort(list, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::vector<std::string> entries;
  for (const auto& entry : list) entries.emplace_back(entry.first);
  return entries;
}

std::string tag_of(const Word& word, Tags tags) {
  if (tags == Tags::both) return word.upos + '|' + word.xpos;
  return tags == Tags::upos ? word.upos : word.xpos;
}

/// Whether a column of a file can hold it.
bool fits_a_column(string_view text) {
  return !text.empty() && is_utf8(text) &&
         text.find_first_of(string_view("\t\n\r\0", 4)) == string_view::npos;
}

}  // namespace

// --- lists ------------------------------------------------------------------------------------

Vocabulary::List::List(const char* what, std::vector<std::string> entries)
    : list(std::move(entries)) {
  check<ValueError>(list.size() <= INT32_MAX / 8, "Vocabulary", "too many ", what, "s");
  for (int32_t i = 0; i < size(); ++i) {
    if (!fits_a_column(list[i]))
      fail<ValueError>("Vocabulary", what, " ", i,
                       " must be UTF-8 text without tabs and line breaks, is ",
                       json_excerpt(list[i]));
    const auto [place, fresh] = numbers.emplace(list[i], i);
    if (!fresh)
      fail<ValueError>("Vocabulary", "each ", what, " must come once, ", json_excerpt(list[i]),
                       " is number ", place->second, " and ", i);
  }
}

int32_t Vocabulary::List::number(string_view entry) const {
  const auto place = numbers.find(entry);
  return place == numbers.end() ? kNone : place->second;
}

// --- vocabulary -------------------------------------------------------------------------------

Vocabulary::Vocabulary(std::vector<std::string> words, std::vector<std::string> tags,
                       std::vector<std::string> labels, const std::string& root,
                       const VocabularyOptions& options)
    : options_(options),
      words_("word", std::move(words)),
      tags_("tag", std::move(tags)),
      labels_("label", std::move(labels)),
      root_(labels_.number(root)) {
  check<ValueError>(options.least >= 1, "Vocabulary", "least must be at least 1, got ",
                    options.least);
  check<ValueError>(root_ != kNone, "Vocabulary", "the root's label must be one of the labels, is ",
                    json_excerpt(root));
}

Vocabulary Vocabulary::of(const Sentences& sentences, const VocabularyOptions& options) {
  Vocabulary speller({}, {}, {"root"}, "root", options);
  Counts words, tags, labels, roots;
  for (size_t i = 0; i < sentences.size(); ++i) {
    for (const Word& word : sentences[i].words) {
      ++words[speller.spelled(word.form)];
      ++tags[tag_of(word, options.tags)];
      if (word.head != kNone) ++labels[word.deprel];
      if (word.head == 0) ++roots[word.deprel];
    }
  }
  check<ValueError>(!roots.empty(), "Vocabulary.of", "there must be at least one tree");
  return Vocabulary(by_frequency(words, options.least), by_frequency(tags, 1),
                    by_frequency(labels, 1), by_frequency(roots, 1).front(), options);
}

std::string Vocabulary::spelled(string_view form) const {
  std::string out(form);
  for (size_t at = 0; at < out.size();) {
    const size_t length = std::max<size_t>(utf8_length(out, at), 1);
    char& c = out[at];
    if (options_.digits && c >= '0' && c <= '9') c = '0';
    if (options_.lower && length <= 3) {
      const uint32_t code = length == 1 ? static_cast<unsigned char>(c)
                                        : text::code_point(string_view(out).substr(at, length));
      if (const uint32_t small = lower(code); small != code) put(&c, length, small);
    }
    at += length;
  }
  return out;
}

Transitions Vocabulary::transitions() const {
  return Transitions(labels_.size(), root_);
}

int32_t Vocabulary::word_id(string_view form) const {
  const int32_t number = words_.number(spelled(form));
  return number == kNone ? kUnknown : 3 + number;
}

int32_t Vocabulary::tag_id(const Word& word) const {
  const int32_t number = tags_.number(tag_of(word, options_.tags));
  return tags_begin() + (number == kNone ? kUnknown : 3 + number);
}

int32_t Vocabulary::label(string_view deprel) const {
  return labels_.number(deprel);
}

Ids Vocabulary::ids(const Sentence& sentence) const {
  const size_t n = sentence.words.size();
  Ids ids{{kNull, kRoot}, {tags_begin() + kNull, tags_begin() + kRoot}};
  ids.words.reserve(n + 2);
  ids.tags.reserve(n + 2);
  for (const Word& word : sentence.words) {
    ids.words.push_back(word_id(word.form));
    ids.tags.push_back(tag_id(word));
  }
  return ids;
}

std::string Vocabulary::name(int32_t row) const {
  check<IndexError>(0 <= row && row < size(), "Vocabulary", "row must be in [0, ", size(),
                    "), got ", row);
  const bool is_label = row >= labels_begin(), is_tag = !is_label && row >= tags_begin();
  const int32_t special = is_label ? 1 : 3;
  const int32_t at = row - (is_label ? labels_begin() : is_tag ? tags_begin() : 0);
  if (at < special) return kSpecial[at];
  return (is_label ? labels_ : is_tag ? tags_ : words_).list[at - special];
}

}  // namespace normlab::parse
