#include "core/json.h"
#include "models/parse/names.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr int kWindow = 2;      // words on either side
constexpr size_t kLongest = 4;  // characters of an affix

std::string tag_name(const Word& word) {
  return word.upos + '|' + word.xpos;
}

/// Bits in the order of TagVocabulary's comment.
int32_t shape_of(string_view form) {
  int32_t shape = 0;
  for (size_t at = 0; at < form.size(); at += character_at(form, at)) {
    switch (kind_of(form, at)) {
      case CharacterKind::capital:
        shape |= at == 0 ? 1 : 2;
        break;
      case CharacterKind::small:
        shape |= 4;
        break;
      case CharacterKind::digit:
        shape |= 8;
        break;
      case CharacterKind::mark:
        shape |= 16;
        break;
    }
  }
  return shape;
}

/// A word as features see it.
struct Spelled {
  std::string form;
  std::vector<size_t> begins;  ///< of its characters, and its end

  explicit Spelled(string_view written) : form(spelled(written, true, true)) {
    for (size_t at = 0; at < form.size(); at += character_at(form, at)) begins.push_back(at);
    begins.push_back(form.size());
  }
  size_t length() const { return begins.size() - 1; }
  /// Of n characters; empty if the word is shorter.
  string_view prefix(size_t n) const {
    return n > length() ? string_view() : string_view(form).substr(0, begins[n]);
  }
  string_view suffix(size_t n) const {
    return n > length() ? string_view() : string_view(form).substr(begins[length() - n]);
  }
};

/// The rows of one table that stand for words and affixes.
struct Rows {
  const NameList& names;
  int32_t begin;

  int32_t of(string_view name) const {
    if (name.empty()) return begin + TagVocabulary::kNull;
    const int32_t number = names.number(name);
    return begin + (number == kNone ? TagVocabulary::kUnknown : 2 + number);
  }
};

/// The parts of a sentence's features, word by word.
struct SpelledSentence {
  std::vector<Spelled> words;
  std::vector<int32_t> shapes;

  explicit SpelledSentence(const Sentence& sentence) {
    for (const Word& word : sentence.words) {
      words.emplace_back(word.form);
      shapes.push_back(shape_of(word.form));
    }
  }
  const Spelled* word(int64_t i) const {
    return i >= 0 && i < static_cast<int64_t>(words.size()) ? &words[static_cast<size_t>(i)]
                                                            : nullptr;
  }
};

}  // namespace

TagVocabulary::TagVocabulary(std::vector<std::string> words, std::vector<std::string> affixes,
                             std::vector<std::string> tags)
    : words_("word", std::move(words)),
      affixes_("affix", std::move(affixes)),
      tags_("tag", std::move(tags)) {
  check<ArgumentError>(tags_.size() > 0, "TagVocabulary", "there must be at least one tag");
  for (const std::string& tag : tags_.all()) {
    const size_t mark = tag.find('|');
    check<ArgumentError>(mark != std::string::npos && mark > 0 && mark + 1 < tag.size(),
                         "TagVocabulary", "a tag must be UPOS|XPOS, is ", json_excerpt(tag));
  }
}

TagVocabulary TagVocabulary::of(const Sentences& sentences, int64_t least) {
  check<ArgumentError>(least >= 1, "TagVocabulary.of", "least must be at least 1, got ", least);
  Counts words, affixes, tags;
  for (size_t i = 0; i < sentences.size(); ++i)
    for (const Word& word : sentences[i].words) {
      const Spelled spelling(word.form);
      ++words[spelling.form];
      ++tags[tag_name(word)];
      for (size_t n = 1; n <= std::min(kLongest, spelling.length()); ++n) {
        ++affixes[std::string(spelling.suffix(n))];
        if (n < kLongest) ++affixes[std::string(spelling.prefix(n))];
      }
    }
  check<ArgumentError>(!tags.empty(), "TagVocabulary.of", "there must be at least one word");
  return {by_frequency(words, least), by_frequency(affixes, least), by_frequency(tags, 1)};
}

int32_t TagVocabulary::tag(const Word& word) const {
  return tags_.number(tag_name(word));
}

std::pair<std::string, std::string> TagVocabulary::columns(int32_t tag) const {
  check<RangeError>(0 <= tag && tag < tags_.size(), "TagVocabulary", "tag must be in [0, ",
                    tags_.size(), "), got ", tag);
  const std::string& name = tags_[tag];
  const size_t mark = name.find('|');  // the first: XPOS may have more
  return {name.substr(0, mark), name.substr(mark + 1)};
}

std::vector<int32_t> TagVocabulary::features(const Sentence& sentence) const {
  const SpelledSentence all(sentence);
  const Rows words{words_, 0}, affixes{affixes_, affixes_begin()};
  const auto n = static_cast<int64_t>(all.words.size());
  std::vector<int32_t> word_rows(static_cast<size_t>(n)), rows;
  for (size_t i = 0; i < word_rows.size(); ++i) word_rows[i] = words.of(all.words[i].form);
  rows.reserve(static_cast<size_t>(n) * kTagFeatures);
  const auto affix = [&](const Spelled* word, bool is_suffix, size_t length) {
    rows.push_back(affixes.of(!word       ? string_view()
                              : is_suffix ? word->suffix(length)
                                          : word->prefix(length)));
  };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t at = i - kWindow; at <= i + kWindow; ++at)
      rows.push_back(all.word(at) ? word_rows[static_cast<size_t>(at)] : kNull);
    for (int64_t at = i - 1; at <= i + 1; ++at)
      rows.push_back(shapes_begin() + (all.word(at) ? 1 + all.shapes[static_cast<size_t>(at)] : 0));
    for (size_t length = 1; length <= kLongest; ++length) affix(all.word(i), true, length);
    for (const int64_t at : {i - 1, i + 1})
      for (const size_t length : {2, 3}) affix(all.word(at), true, length);
    for (size_t length = 1; length < kLongest; ++length) affix(all.word(i), false, length);
  }
  return rows;
}

TagExamples tag_examples(const Sentences& sentences, const TagVocabulary& vocabulary) {
  std::vector<int32_t> features;
  std::vector<int64_t> classes;
  for (size_t i = 0; i < sentences.size(); ++i) {
    const std::vector<int32_t> rows = vocabulary.features(sentences[i]);
    for (size_t w = 0; w < sentences[i].words.size(); ++w) {
      const int32_t tag = vocabulary.tag(sentences[i].words[w]);
      if (tag == kNone) continue;
      classes.push_back(tag);
      const auto row = rows.begin() + static_cast<std::ptrdiff_t>(w * kTagFeatures);
      features.insert(features.end(), row, row + kTagFeatures);
    }
  }
  const auto n = static_cast<int64_t>(classes.size());
  return {Tensor::of<int32_t>({n, kTagFeatures}, std::span<const int32_t>(features)),
          Tensor::of<int64_t>({n}, std::span<const int64_t>(classes))};
}

}  // namespace normlab::parse
