#include "core/json.h"
#include "models/parse/names.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr const char* kSpecial[] = {"<null>", "<root>", "<unknown>"};

std::string tag_of(const Word& word, Tags tags) {
  if (tags == Tags::both) return word.upos + '|' + word.xpos;
  return tags == Tags::upos ? word.upos : word.xpos;
}

}  // namespace

// --- vocabulary -------------------------------------------------------------------------------

Vocabulary::Vocabulary(std::vector<std::string> words, std::vector<std::string> tags,
                       std::vector<std::string> labels, const std::string& root,
                       const VocabularyOptions& options)
    : options_(options),
      words_("word", std::move(words)),
      tags_("tag", std::move(tags)),
      labels_("label", std::move(labels)),
      root_(labels_.number(root)) {
  check<ArgumentError>(options.least >= 1, "Vocabulary", "least must be at least 1, got ",
                       options.least);
  check<ArgumentError>(root_ != kNone, "Vocabulary",
                       "the root's label must be one of the labels, is ", json_excerpt(root));
}

Vocabulary Vocabulary::of(const Sentences& sentences, const VocabularyOptions& options) {
  Counts words, tags, labels, roots;
  for (size_t i = 0; i < sentences.size(); ++i) {
    for (const Word& word : sentences[i].words) {
      ++words[spelled(word.form, options.lower, options.digits)];
      ++tags[tag_of(word, options.tags)];
      if (word.head != kNone) ++labels[word.deprel];
      if (word.head == 0) ++roots[word.deprel];
    }
  }
  check<ArgumentError>(!roots.empty(), "Vocabulary.of", "there must be at least one tree");
  return Vocabulary(by_frequency(words, options.least), by_frequency(tags, 1),
                    by_frequency(labels, 1), by_frequency(roots, 1).front(), options);
}

Transitions Vocabulary::transitions() const {
  return Transitions(labels_.size(), root_);
}

int32_t Vocabulary::word_id(string_view form) const {
  const int32_t number = words_.number(spelled(form, options_.lower, options_.digits));
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
  check<RangeError>(0 <= row && row < size(), "Vocabulary", "row must be in [0, ", size(),
                    "), got ", row);
  const bool is_label = row >= labels_begin(), is_tag = !is_label && row >= tags_begin();
  const int32_t special = is_label ? 1 : 3;
  const int32_t at = row - (is_label ? labels_begin() : is_tag ? tags_begin() : 0);
  if (at < special) return kSpecial[at];
  return (is_label ? labels_ : is_tag ? tags_ : words_)[at - special];
}

}  // namespace normlab::parse
