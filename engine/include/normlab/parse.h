#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "normlab/nn.h"

/// Dependency parsing: treebanks, arc-standard transitions, features, training examples, scores.
namespace normlab::parse {

// --- sentences --------------------------------------------------------------------------------

/// Number of a word that does not exist; the head of a word whose head is not known.
inline constexpr int32_t kNone = -1;

/// A word of a treebank: the columns of its line, "_" where nothing is given. Words count from 1.
struct Word {
  std::string form;
  std::string lemma = "_", upos = "_", xpos = "_", feats = "_";
  int32_t head = kNone;  ///< the head's number, 0 for the root, kNone where it is not known
  std::string deprel = "_", deps = "_", misc = "_";
  bool operator==(const Word&) const = default;
};

/// A line that is no word: a multi-word token ("3-4") or an empty node ("8.1").
struct Extra {
  int32_t after = 0;  ///< number of the word that it follows, 0 at the beginning
  std::string line;   ///< all its columns, as they were read
  bool operator==(const Extra&) const = default;
};

struct Sentence {
  std::vector<std::string> comments;  ///< lines, each beginning with #
  std::vector<Word> words;
  std::vector<Extra> extras;  ///< in their order

  /// What follows "# key = " in a comment, such as "text" or "sent_id"; "" if there is none.
  std::string_view note(std::string_view key) const;
  bool operator==(const Sentence&) const = default;
};

/// Sentences as arguments: a vector of them, or pointers to single ones. Nothing is copied, they
/// must live as long.
class Sentences {
 public:
  Sentences(const std::vector<Sentence>& all) {  // NOLINT: a conversion
    for (const Sentence& sentence : all) each_.push_back(&sentence);
  }
  explicit Sentences(std::vector<const Sentence*> each) : each_(std::move(each)) {}
  size_t size() const { return each_.size(); }
  const Sentence& operator[](size_t i) const { return *each_[i]; }

 private:
  std::vector<const Sentence*> each_;
};

// --- files ------------------------------------------------------------------------------------

enum class Format : uint8_t {
  conllu,  ///< Universal Dependencies, version 2: multi-word tokens, empty nodes
  conllx,  ///< the shared task of 2006: CPOSTAG is upos, POSTAG xpos, PHEAD deps, PDEPREL misc
};
/// What the heads of a sentence must be.
enum class Heads : uint8_t {
  tree,    ///< a tree: one word has head 0, every other one leads to it
  forest,  ///< the same, but with one root or more
  any,     ///< 0, a word, or "_" for not known: text that waits to be parsed
};
struct ReadOptions {
  Format format = Format::conllu;
  Heads heads = Heads::tree;
};

/// What a file may hold: the reader's memory is bounded by one sentence.
inline constexpr size_t kMaxLineBytes = 1 << 20;
inline constexpr size_t kMaxSentenceBytes = 16 << 20;
inline constexpr int64_t kMaxSentenceLines = 100'000;

/// Reads sentences one by one from UTF-8 text with a line a word, ten columns divided by tabs, and
/// an empty line after each sentence.
///
/// Lines may end with LF or CR LF, the text may begin with a byte order mark and end without the
/// last empty line; further empty lines are passed over, and a line of only spaces and tabs is an
/// empty one. But for these, to_conllu() of what was read is what was read.
class Reader {
 public:
  /// Puts the next line, without its end, into its argument; false after the last one.
  using Lines = std::function<bool(std::string&)>;

  /// `name` is what errors call the text.
  Reader(Lines lines, std::string name, const ReadOptions& options = {});
  /// The stream must live as long. Lines are read as they come, for a terminal or a pipe.
  Reader(std::istream& in, std::string name, const ReadOptions& options = {});

  /// Reads the next sentence; false after the last one. What `sentence` held is lost, its memory
  /// is used again. Nothing can be read after an error unless skip() passes over it.
  /// @throws FileError  a broken line, tree or stream: name, line and reason.
  bool next(Sentence& sentence);
  /// After next() has refused a sentence: passes over the rest of it, so that next() reads the one
  /// after it. False, without doing anything, unless it was the text that was refused: what a
  /// stream that cannot be read holds is not known.
  bool skip();

 private:
  template <class... Parts>
  [[noreturn]] void refuse(int64_t line, const Parts&... parts);
  bool pull_line();
  bool take_line();
  void add_line(Sentence& sentence, size_t& words);
  void add_word(const std::string_view* columns, Word& word);
  void add_extra(std::string_view id, Sentence& sentence);
  void finish(const Sentence& sentence);

  Lines lines_;
  std::string name_;
  ReadOptions options_;
  bool ended_ = false, has_refused_ = false;
  int64_t number_ = 0;  // of the line
  std::string line_;
  // The sentence being read.
  size_t bytes_ = 0;
  int64_t first_line_ = 0;
  std::vector<int64_t> places_;  // lines of the words
  int32_t range_end_ = 0;        // last word of the last multi-word token
  int64_t range_line_ = 0;
  int32_t empty_nodes_ = 0;  // since the last word
  std::vector<int32_t> heads_;
};

/// All sentences of a file. FileError with path, line and reason.
std::vector<Sentence> read_conllu(const std::string& path, const ReadOptions& options = {});
/// The lines of a sentence, with the empty one after it. ArgumentError for what would not be read
/// again: an empty column, a tab or a line break inside, invalid UTF-8.
std::string to_conllu(const Sentence& sentence);
/// Writes a file whole or not at all. FileError with path and reason, ArgumentError as to_conllu().
void write_conllu(const std::string& path, const Sentences& sentences);

// --- trees ------------------------------------------------------------------------------------
// A tree of n words is a vector of n + 1 heads: heads[w] is the head of word w, heads[0] is kNone.

std::vector<int32_t> heads_of(const Sentence& sentence);
/// ArgumentError naming a word unless the heads are a tree with one root.
void check_tree(const std::vector<int32_t>& heads);
/// Whether every head reaches over its own descendants only, the root reaching over all.
/// ArgumentError unless it is a tree or a forest.
bool is_projective(const std::vector<int32_t>& heads);
/// The words whose heads reach over a word that is not a descendant of the head, in order.
std::vector<int32_t> nonprojective_words(const std::vector<int32_t>& heads);

// --- transitions ------------------------------------------------------------------------------

enum class Action : uint8_t { shift, left_arc, right_arc };

/// What a state allows.
enum class Moves : uint8_t {
  none,   ///< nothing: the tree is complete
  shift,  ///< only shift: less than two words are on the stack
  any,    ///< shift and arcs between words
  arcs,   ///< arcs between words: the buffer is empty
  root,   ///< only the arc from the root: one word is left
};
inline constexpr int kMoveKinds = 5;

/// A state of the arc-standard system (Nivre 2004) as Chen and Manning (2014) use it.
///
/// The stack begins as the root, number 0, the buffer as the words 1 to n. shift puts the buffer's
/// first word on the stack; with s1 on top of s2, left_arc makes s1 the head of s2 and takes s2
/// off, right_arc makes s2 the head of s1 and takes s1 off. The root never gets a head, and gives
/// its arc only when the buffer is empty and one word is left: so every state leads to a tree, and
/// every tree has one root. n words take 2n transitions.
class State {
 public:
  explicit State(int32_t words = 0) { restart(words); }
  /// Begins with another sentence, in the memory of the last. ArgumentError for less than 0 words.
  void restart(int32_t words);

  int32_t words() const { return static_cast<int32_t>(nodes_.size()) - 2; }
  /// The i-th from the top of the stack, i from 0 to 2; kNone if there is none.
  int32_t stack(int i) const { return stack_[stack_.size() - 1 - static_cast<size_t>(i)]; }
  /// The i-th word of the buffer, kNone if there is none.
  int32_t buffer(int i) const { return next_ + i <= words() ? next_ + i : kNone; }
  /// Sizes; the stack's counts the root.
  int32_t stack_size() const { return static_cast<int32_t>(stack_.size()) - kBelow; }
  int32_t buffer_size() const { return words() + 1 - next_; }

  // Of a word (0: the root, kNone: nothing), or kNone.
  int32_t head(int32_t word) const { return node(word).head; }
  int32_t label(int32_t word) const { return node(word).label; }
  /// Leftmost child on its left side, and the one after that.
  int32_t left_child(int32_t word) const { return node(word).left[0]; }
  int32_t second_left_child(int32_t word) const { return node(word).left[1]; }
  /// Rightmost child on its right side, and the one before that.
  int32_t right_child(int32_t word) const { return node(word).right[0]; }
  int32_t second_right_child(int32_t word) const { return node(word).right[1]; }
  std::vector<int32_t> heads() const;

  Moves moves() const;
  bool done() const { return moves() == Moves::none; }
  // ArgumentError unless moves() allows it.
  void shift();
  void left_arc(int32_t label);
  void right_arc(int32_t label);

 private:
  // What lies below the stack's bottom, so that stack(2) always exists.
  static constexpr int32_t kBelow = 2;
  struct Node {
    int32_t head = kNone, label = kNone;
    int32_t left[2] = {kNone, kNone}, right[2] = {kNone, kNone};
  };
  const Node& node(int32_t word) const { return nodes_[static_cast<size_t>(word + 1)]; }
  Node& node(int32_t word) { return nodes_[static_cast<size_t>(word + 1)]; }

  std::vector<Node> nodes_;  // of kNone, of the root, of the words
  std::vector<int32_t> stack_;
  int32_t next_ = 1;
};

/// The static oracle: which way leads to a given tree.
class Oracle {
 public:
  /// ArgumentError unless it is a tree with one root.
  explicit Oracle(std::vector<int32_t> heads);
  /// The next action from a state that the oracle has led to: an arc as soon as it may be made.
  /// ArgumentError if the tree is not projective and no action leads to it.
  Action next(const State& state) const;

 private:
  std::vector<int32_t> heads_, last_child_;
};

/// The actions that build a projective tree. ArgumentError if it is none.
std::vector<Action> oracle(const std::vector<int32_t>& heads);

/// Transitions with labels as classes: 0 is shift, then left_arc with each label, then right_arc.
/// One label is the root's: the arc from the root has this one, no other arc has it unless it is
/// the only one.
class Transitions {
 public:
  static constexpr int32_t kShift = 0;
  /// ArgumentError unless 0 <= root < labels.
  Transitions(int32_t labels, int32_t root);

  int32_t labels() const { return labels_; }
  int32_t root() const { return root_; }
  int32_t classes() const { return 1 + 2 * labels_; }
  int32_t left(int32_t label) const { return 1 + label; }
  int32_t right(int32_t label) const { return 1 + labels_ + label; }
  Action action(int32_t transition) const;
  /// kNone for shift.
  int32_t label(int32_t transition) const;

  bool legal(Moves moves, int32_t transition) const;
  /// The transition where moves leave no choice (shift, root), else kNone.
  int32_t forced(Moves moves) const;
  /// bool [kMoveKinds, classes]: row m has what Moves m makes legal.
  Tensor masks() const;
  /// RangeError for a transition that does not exist, ArgumentError for one that is not legal.
  void apply(State& state, int32_t transition) const;
  /// Whether an arc may have the label, from the root or from a word.
  bool fits(int32_t label, bool from_root) const {
    return from_root ? label == root_ : label != root_ || labels_ == 1;
  }

 private:
  int32_t labels_, root_;
};

// --- vocabulary -------------------------------------------------------------------------------

/// Texts by number, each once.
class NameList {
 public:
  /// ArgumentError, calling them `what`, for an entry that is empty, that no file could hold, or
  /// that comes twice.
  NameList(const char* what, std::vector<std::string> entries);
  const std::vector<std::string>& all() const { return entries_; }
  const std::string& operator[](int32_t number) const {
    return entries_[static_cast<size_t>(number)];
  }
  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  /// kNone if it is not there.
  int32_t number(std::string_view entry) const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> entries_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> numbers_;
};

/// Which column is a word's tag.
enum class Tags : uint8_t { upos, xpos, both };
struct VocabularyOptions {
  int64_t least = 2;   ///< words that occur less often are unknown
  bool lower = true;   ///< words in lower case: Latin, Greek and Cyrillic letters
  bool digits = true;  ///< every digit of a word as 0
  Tags tags = Tags::upos;
};

/// A sentence's words and tags as numbers, behind those of "nothing" and of the root: word w is at
/// w + 1.
struct Ids {
  std::vector<int32_t> words, tags;
};

/// Words, tags and labels as the rows of one table: [null, root, unknown, words...], then [null,
/// root, unknown, tags...], then [null, labels...]. The most frequent come first, equals by their
/// bytes. Chen and Manning keep case and digits and all words; their published code takes a
/// cut-off too.
class Vocabulary {
 public:
  static constexpr int32_t kNull = 0, kRoot = 1, kUnknown = 2;  ///< first rows of words and tags

  /// Lists in the order of their numbers, as words(), tags() and labels() give them; `root` is the
  /// label of the root's arc. ArgumentError for an entry that is empty, that no file could hold, or
  /// comes twice, and for a root that is not a label.
  Vocabulary(std::vector<std::string> words, std::vector<std::string> tags,
             std::vector<std::string> labels, const std::string& root,
             const VocabularyOptions& options = {});
  /// Of a treebank: all its tags and labels, and the words that occur often enough. The root's
  /// label is the most frequent one of words with head 0. ArgumentError if there is none.
  static Vocabulary of(const Sentences& sentences, const VocabularyOptions& options = {});

  const VocabularyOptions& options() const { return options_; }
  const std::vector<std::string>& words() const { return words_.all(); }
  const std::vector<std::string>& tags() const { return tags_.all(); }
  const std::vector<std::string>& labels() const { return labels_.all(); }
  const std::string& root() const { return labels_[root_]; }
  Transitions transitions() const;

  /// Rows of the table, and where those of the tags and of the labels begin.
  int32_t size() const { return labels_begin() + 1 + labels_.size(); }
  int32_t tags_begin() const { return 3 + words_.size(); }
  int32_t labels_begin() const { return tags_begin() + 3 + tags_.size(); }

  /// Row of a word: unknown if it is not there.
  int32_t word_id(std::string_view form) const;
  /// Row of a word's tag.
  int32_t tag_id(const Word& word) const;
  /// Number of a label, from 0, not its row; kNone if it is not there.
  int32_t label(std::string_view deprel) const;
  Ids ids(const Sentence& sentence) const;
  /// What a row stands for: "<null>", "<root>", "<unknown>" or the entry. RangeError outside.
  std::string name(int32_t row) const;

 private:
  VocabularyOptions options_;
  NameList words_, tags_, labels_;
  int32_t root_ = 0;
};

// --- features and examples --------------------------------------------------------------------

/// The 48 features of Chen and Manning (2014). The words s3 s2 s1 of the stack and b1 b2 b3 of the
/// buffer, then, first of s1 and then of s2, leftmost and rightmost child, second of both, leftmost
/// child of the leftmost, rightmost of the rightmost: 18 words, the tags of these 18, and the
/// labels of the 12 children.
inline constexpr int kFeatures = 48;

/// A sentence while it is parsed.
struct Configuration {
  Ids ids;
  State state;
};
/// That of a sentence with nothing parsed.
Configuration start(const Vocabulary& vocabulary, const Sentence& sentence);

/// Writes the 48 rows of a state, in a vocabulary whose labels begin at `labels_begin`.
void features(const State& state, const Ids& ids, int32_t labels_begin, int32_t* out);
/// Those of many states, [n, 48], over all cores.
void features(const Vocabulary& vocabulary, std::span<const Configuration* const> each,
              int32_t* out);
/// One transition each. Errors as Transitions::apply().
void apply(const Transitions& transitions, std::span<Configuration* const> each,
           std::span<const int32_t> chosen);

/// Every step of the oracle on the way to every tree, sentence by sentence.
struct Examples {
  Tensor features;  ///< int32 [N, 48]
  Tensor classes;   ///< int64 [N]: the oracle's transitions
  Tensor moves;     ///< uint8 [N]: what was legal, rows of Transitions::masks()
  int64_t trees = 0;
  int64_t nonprojective = 0;  ///< trees left out, since no transitions build them
  /// Others left out: not one root, a label that is not in the vocabulary, the root's label
  /// elsewhere or another one at the root.
  int64_t unusable = 0;
};
/// The same for any number of threads. ArgumentError naming sentence and word for a cycle or a head
/// that is not known.
Examples examples(const Sentences& sentences, const Vocabulary& vocabulary);

// --- tagger -----------------------------------------------------------------------------------

/// What the tagger sees of a word: the words two before to two after it, the shapes of it and its
/// neighbours, its suffixes of 1 to 4 characters, the neighbours' of 2 and 3, its prefixes of 1
/// to 3.
inline constexpr int kTagFeatures = 19;

/// Words, affixes and shapes as the rows of one table: [null, unknown, words...], then [null,
/// unknown, affixes...], then [null, shapes...]. Null is what lies outside the sentence, and an
/// affix of a word that is too short. Spelling as in the parser's vocabulary: words and affixes in
/// lower case, digits as 0. A shape is which of these a word has: a capital first, a second one,
/// small letters, a digit, a mark.
class TagVocabulary {
 public:
  static constexpr int32_t kNull = 0, kUnknown = 1;  ///< first rows of words and affixes
  static constexpr int32_t kShapes = 32;

  /// Lists in the order of their numbers; a tag is UPOS, "|" and XPOS. ArgumentError for no tags,
  /// one without "|", and what NameList refuses.
  TagVocabulary(std::vector<std::string> words, std::vector<std::string> affixes,
                std::vector<std::string> tags);
  /// Of a treebank: its tags, and the words and affixes that occur at least `least` times.
  static TagVocabulary of(const Sentences& sentences, int64_t least = 2);

  const std::vector<std::string>& words() const { return words_.all(); }
  const std::vector<std::string>& affixes() const { return affixes_.all(); }
  const std::vector<std::string>& tags() const { return tags_.all(); }
  /// Rows of the table, and where those of the affixes and of the shapes begin.
  int32_t size() const { return shapes_begin() + 1 + kShapes; }
  int32_t affixes_begin() const { return 2 + words_.size(); }
  int32_t shapes_begin() const { return affixes_begin() + 2 + affixes_.size(); }

  /// Number of a word's tag, kNone if it is not there.
  int32_t tag(const Word& word) const;
  /// UPOS and XPOS of a tag. RangeError.
  std::pair<std::string, std::string> columns(int32_t tag) const;
  /// The rows of every word, [words, kTagFeatures]: see there.
  std::vector<int32_t> features(const Sentence& sentence) const;

 private:
  NameList words_, affixes_, tags_;
};

struct TagExamples {
  Tensor features;  ///< int32 [N, kTagFeatures]
  Tensor classes;   ///< int64 [N]: tags
};
/// Every word whose tag is in the vocabulary, in order.
TagExamples tag_examples(const Sentences& sentences, const TagVocabulary& vocabulary);

// --- network ----------------------------------------------------------------------------------

/// What the hidden layer applies to its sums.
enum class HiddenActivation : uint8_t { cube, relu };
/// Parses "cube" or "relu"; ArgumentError otherwise.
HiddenActivation hidden_activation_named(const std::string& name);
const char* name_of(HiddenActivation activation);

struct NetworkOptions {
  int64_t rows = 0;              ///< of the table: size() of the vocabulary
  int64_t classes = 0;           ///< Transitions::classes(), or tags
  int64_t features = kFeatures;  ///< of an example
  int64_t embedding = 50;
  int64_t hidden = 512;
  HiddenActivation activation = HiddenActivation::relu;
  double dropout = 0.5;     ///< of the hidden layer
  bool input_norm = false;  ///< the norm on the embeddings of an example as well
  NormSpec norm = {};
};

/// The feed-forward network of Chen and Manning (2014): 48 embeddings -> hidden -> norm ->
/// activation -> dropout -> one logit a transition. The hidden layer multiplies each distinct
/// feature of a batch once, see feature_linear(), but not behind a norm of the embeddings.
/// Embeddings begin uniform in +-0.01. The tagger is another one, with other features.
class Network : public nn::Module {
 public:
  explicit Network(const NetworkOptions& options);
  /// features int32 [N, features] -> logits [N, classes]. RangeError for a row that is not there.
  Tensor forward(const Tensor& features) override;
  const NetworkOptions& options() const { return options_; }

 private:
  friend class FrozenNetwork;
  void on_register(const std::string& name, const Tensor& value) override;
  void on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) override;
  Tensor hidden(const Tensor& features) const;

  NetworkOptions options_;
  Tensor table_, weight_, bias_;
  std::shared_ptr<nn::Norm> input_norm_, norm_;
  std::shared_ptr<nn::Linear> output_;
};

/// Mean cross entropy of softmax over the legal transitions.
/// @param logits   [N, classes].
/// @param masks    bool [kMoveKinds, classes]: Transitions::masks().
/// @param classes  int64 [N], as Examples has them.
/// @param moves    uint8 [N], as Examples has them.
Tensor transition_loss(const Tensor& logits, const Tensor& masks, const Tensor& classes,
                       const Tensor& moves);

// --- parsing ----------------------------------------------------------------------------------

struct Tagger {
  std::shared_ptr<Network> network;
  TagVocabulary vocabulary;
};

/// A trained parser with all that it takes to parse a line: what a model file holds.
struct Model {
  std::shared_ptr<Network> network;
  Vocabulary vocabulary;
  std::optional<Tagger> tagger = {};  ///< without it, sentences must have tags
  Metadata notes = {};                ///< free text that goes along: task, scores, ...
};

/// One safetensors file: parameters as tensors; vocabularies, settings and notes as metadata.
/// ArgumentError if their numbers do not fit together.
void save_model(const std::string& path, const Model& model);
/// @throws FileError  not a safetensors file, a model of another task, a setting, tensor or entry
///                  that is missing or not as it must be: the path, what, and what was expected.
Model load_model(const std::string& path);

/// The words of a line of raw English text as the English Web Treebank of Universal Dependencies
/// cuts them, spelled as they are written. URLs, e-mail addresses, file names, numbers,
/// abbreviations and emoticons are whole. A contraction is one multi-word token in `extras` ("1-2
/// don't") and several words ("do", "n't"). MISC is "SpaceAfter=No" where no space follows, of a
/// multi-word token on its own line; the line is the comment "text". ArgumentError for invalid
/// UTF-8, a NUL character, or a line without words.
Sentence sentence_of(std::string_view line);

struct ParserOptions {
  /// Of so many of the most frequent words, and of all tags and labels, the hidden layer's products
  /// are computed in advance. No number changes the result; each word takes 36 KiB with 512 hidden
  /// units.
  int64_t known_words = 1500;
  /// Sentences that a thread parses side by side; no number changes the result.
  int64_t width = 64;
};

/// Parses greedily on the CPU, with a copy of a model's weights wherever these are. Threads may
/// share it.
class Parser {
 public:
  explicit Parser(Model model, const ParserOptions& options = {});
  ~Parser();
  Parser(Parser&&) noexcept;
  Parser& operator=(Parser&&) noexcept;

  const Model& model() const;
  /// Writes heads and relations into sentences, on all threads; before that, where the parser's
  /// tags are not given ("_"), UPOS and XPOS that are not. A sentence's tree is the same in any
  /// company. ArgumentError for a sentence without words, or without tags if there is no tagger.
  void parse(std::span<Sentence> sentences) const;
  void parse(std::vector<Sentence>& sentences) const { parse(std::span<Sentence>(sentences)); }
  /// The tree of a line of raw text; errors as sentence_of() has them.
  Sentence parse(std::string_view line) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

// --- scores -----------------------------------------------------------------------------------

/// Which words count, and when a relation is right.
enum class Convention : uint8_t {
  /// All words; relations without their subtypes ("nsubj:pass" is "nsubj"), as the official script
  /// of the CoNLL 2018 shared task has it for gold words.
  conll18,
  /// No punctuation: words whose gold tag is `` '' : , or . do not count, as in Chen and Manning
  /// (2014). The tag is xpos, or upos where that is "_"; its PUNCT does not count either.
  ptb,
};
struct Score {
  int64_t words = 0;      ///< that count
  int64_t heads = 0;      ///< of them with the right head
  int64_t relations = 0;  ///< of these with the right relation
  /// Unlabelled and labelled attachment score in per cent, 0 without words.
  double uas() const { return percent(heads); }
  double las() const { return percent(relations); }
  Score& operator+=(const Score& other);

 private:
  double percent(int64_t right) const {
    return words == 0 ? 0.0 : 100.0 * (static_cast<double>(right) / static_cast<double>(words));
  }
};
/// ArgumentError unless both have the same forms, and heads that are known.
Score score(const Sentence& gold, const Sentence& predicted,
            Convention convention = Convention::conll18);
/// The sum over all sentences. ArgumentError naming the sentence.
Score score(const Sentences& gold, const Sentences& predicted,
            Convention convention = Convention::conll18);

}  // namespace normlab::parse
