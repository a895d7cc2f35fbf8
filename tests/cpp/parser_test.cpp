#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <sstream>
#include <thread>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"
#include "model_files.h"
#include "models/parse/frozen.h"
#include "threads.h"

using namespace normlab;
using test::contains;
using test::Folder;
using namespace normlab::parse;
using test::error_of;
using test::max_difference;
using test::read_bytes;
using test::refusals_of_damage;
using test::same_bits;
using test::write_bytes;

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Numbers with which every part of a network matters: a fresh one's norms do nothing, and its
/// embeddings are next to nothing.
void scramble(Network& network, uint64_t seed) {
  Generator generator(seed);
  for (auto& [name, tensor] : network.state()) {
    const bool is_vector = tensor.rank() < 2;
    const double inputs = name == "table" || is_vector ? 1 : tensor.numel() / tensor.size(-1);
    Tensor value = randn(tensor.shape(), 0, 1 / std::sqrt(inputs), DType::float32, generator) + 0.2;
    if (name.ends_with("running_var")) value = abs(value) + 0.5;
    Tensor(tensor).copy_(value);
  }
}

Tensor random_features(const NetworkOptions& o, int64_t n, uint64_t seed) {
  Generator generator(seed);
  return randint(0, o.rows, {n, o.features}, generator).to(DType::int32);
}

}  // namespace

// --- tagger: vocabulary and examples ----------------------------------------------------------

namespace {

Sentence tagged(const std::vector<std::pair<std::string, std::string>>& words) {
  Sentence sentence;
  for (const auto& [form, tag] : words) {
    const size_t mark = tag.find('|');
    Word word{.form = form};
    word.upos = tag.substr(0, mark);
    if (mark != std::string::npos) word.xpos = tag.substr(mark + 1);
    sentence.words.push_back(word);
  }
  return sentence;
}

/// What a row of the tagger's table stands for.
std::string name_of_row(const TagVocabulary& v, int32_t row) {
  const auto name = [](const Words& list, int32_t at) {
    return at == TagVocabulary::kNull      ? "-"
           : at == TagVocabulary::kUnknown ? "?"
                                           : list[static_cast<size_t>(at - 2)];
  };
  if (row < v.affixes_begin()) return name(v.words(), row);
  if (row < v.shapes_begin()) return name(v.affixes(), row - v.affixes_begin());
  return row == v.shapes_begin() ? "-" : std::to_string(row - v.shapes_begin() - 1);
}

/// The names of a word's features.
std::string features_of(const TagVocabulary& v, const Sentence& sentence, size_t word) {
  const std::vector<int32_t> rows = v.features(sentence);
  REQUIRE(rows.size() == sentence.words.size() * kTagFeatures);
  std::string names;
  for (size_t i = 0; i < kTagFeatures; ++i)
    names += (i == 0 ? "" : " ") + name_of_row(v, rows[word * kTagFeatures + i]);
  return names;
}

}  // namespace

TEST_CASE("TagVocabulary: of a treebank", "[parse]") {
  const std::vector<Sentence> all = {tagged({{"Ab", "X|x"}, {"ab", "X|x"}, {"cÄ7", "Y|_"}}),
                                     tagged({{"b", "Z|a|b"}, {"b", "X|x"}})};
  const TagVocabulary v = TagVocabulary::of(all, 1);
  CHECK(v.words() == Words{"ab", "b", "cä0"});
  // b: suffix 1 of ab (2), suffix and prefix of b (4); a: prefix (2); ab: suffix and prefix (4).
  CHECK(v.affixes() == Words{"b", "ab", "a", "cä0", "0", "c", "cä", "ä0"});
  CHECK(v.tags() == Words{"X|x", "Y|_", "Z|a|b"});
  CHECK(TagVocabulary::of(std::vector<Sentence>{tagged({{"abcde", "X|x"}})}, 1).affixes() ==
        Words{"a", "ab", "abc", "bcde", "cde", "de", "e"});
  CHECK(TagVocabulary::of(all).words() == Words{"ab", "b"});
  CHECK(TagVocabulary::of(all).affixes() == Words{"b", "ab", "a", "cä0"});
  CHECK(TagVocabulary::of(all).tags().size() == 3);
  CHECK(v.affixes_begin() == 5);
  CHECK(v.shapes_begin() == 15);
  CHECK(v.size() == 48);
  CHECK(v.tag(all[0].words[0]) == 0);
  CHECK(v.tag(all[1].words[0]) == 2);
  CHECK(v.tag(Word{.form = "b", .upos = "X"}) == kNone);
  using Pair = std::pair<std::string, std::string>;
  CHECK(v.columns(1) == Pair{"Y", "_"});
  CHECK(v.columns(2) == Pair{"Z", "a|b"});
  CHECK(error_of<RangeError>([&] { v.columns(3); }) ==
        "TagVocabulary: tag must be in [0, 3), got 3");
  CHECK_THROWS_AS(v.columns(-1), RangeError);
}

TEST_CASE("TagVocabulary: refuses what does not fit", "[parse]") {
  const auto error = [](const Words& words, const Words& affixes, const Words& tags) {
    return error_of<ArgumentError>([&] { TagVocabulary(words, affixes, tags); });
  };
  CHECK(error({}, {}, {}) == "TagVocabulary: there must be at least one tag");
  CHECK(error({}, {}, {"a|b", "NOUN"}) == "TagVocabulary: a tag must be UPOS|XPOS, is \"NOUN\"");
  CHECK(contains(error({}, {}, {"|b"}), "must be UPOS|XPOS"));
  CHECK(contains(error({}, {}, {"a|"}), "must be UPOS|XPOS"));
  CHECK(contains(error({}, {}, {"a|b", "a|b"}), "each tag must come once"));
  CHECK(contains(error({"a", ""}, {}, {"a|b"}), "word 1 must be UTF-8"));
  CHECK(contains(error({}, {"a\tb"}, {"a|b"}), "affix 0 must be UTF-8"));
  CHECK_THROWS_AS(TagVocabulary::of(std::vector<Sentence>{}), ArgumentError);
  CHECK_THROWS_AS(TagVocabulary::of(std::vector<Sentence>{tagged({{"a", "X|x"}})}, 0),
                  ArgumentError);
}

TEST_CASE("TagVocabulary: features of words", "[parse]") {
  const TagVocabulary v({"the", "émile", "00", "x"},
                        {"e", "le", "ile", "mile", "é", "ém", "émi", "he", "the", "00", "x"},
                        {"X|x"});
  const Sentence sentence =
      tagged({{"The", "_"}, {"ÉmiLe", "_"}, {"12", "_"}, {"?!", "_"}, {"x", "_"}});
  // Words, shapes, suffixes, the neighbours' suffixes, prefixes. Shapes: capital first 1, another
  // 2, small 4, digit 8, mark 16.
  CHECK(features_of(v, sentence, 0) == "- - the émile 00 - 5 7 e he the - - - le ile ? ? the");
  CHECK(features_of(v, sentence, 1) == "- the émile 00 ? 5 7 8 e le ile mile he the 00 - é ém émi");
  CHECK(features_of(v, sentence, 2) == "the émile 00 ? x 7 8 16 ? 00 - - le ile ? - ? 00 -");
  CHECK(features_of(v, sentence, 3) == "émile 00 ? x - 8 16 4 ? ? - - 00 - - - ? ? -");
  CHECK(features_of(v, sentence, 4) == "00 ? x - - 16 4 - x - - - ? - - - x - -");
  CHECK(v.features(Sentence{}).empty());
  const Sentence one = tagged({{"x", "_"}});
  CHECK(features_of(v, one, 0) == "- - x - - - 4 - x - - - - - - - x - -");
  // Each affix of a table of its own is not a word of the same spelling.
  CHECK(v.features(one)[2] == 5);
  CHECK(v.features(one)[8] == v.affixes_begin() + 12);
}

TEST_CASE("tag_examples: every word whose tag is known", "[parse]") {
  const std::vector<Sentence> all = {tagged({{"a", "X|x"}, {"b", "Q|q"}, {"c", "Y|y"}}), Sentence{},
                                     tagged({{"d", "X|y"}, {"e", "Y|y"}})};
  const TagVocabulary v({"a", "b", "c"}, {"a", "e"}, {"Y|y", "X|x"});
  const TagExamples examples = tag_examples(all, v);
  CHECK(examples.features.shape() == Shape{3, kTagFeatures});
  CHECK(examples.features.dtype() == DType::int32);
  CHECK(examples.classes.dtype() == DType::int64);
  CHECK(examples.classes.to_vector() == std::vector<double>{1, 0, 0});
  const std::vector<int32_t> first = v.features(all[0]), last = v.features(all[2]);
  const int32_t* rows = examples.features.data<int32_t>();
  CHECK(std::equal(rows, rows + kTagFeatures, first.begin()));
  CHECK(std::equal(rows + kTagFeatures, rows + 2 * kTagFeatures, first.begin() + 2 * kTagFeatures));
  CHECK(std::equal(rows + 2 * kTagFeatures, rows + 3 * kTagFeatures, last.begin() + kTagFeatures));
  CHECK(tag_examples(std::vector<Sentence>{}, v).features.shape() == Shape{0, kTagFeatures});
}

// --- network ----------------------------------------------------------------------------------

namespace {

NetworkOptions small_options(const std::string& norm, HiddenActivation activation,
                             bool input_norm) {
  NetworkOptions o;
  o.rows = 11;
  o.classes = 3;
  o.features = 4;
  o.embedding = 3;
  o.hidden = 6;
  o.activation = activation;
  o.dropout = 0;
  o.norm = norm;
  o.input_norm = input_norm;
  if (norm != "none" && norm != "dyt") o.norm.settings.eps = 0.01;
  return o;
}

/// The network as its comment describes it, of single ops. p: its state, of any floating type.
Tensor composed(const TensorMap& p, const Tensor& features, const NetworkOptions& o) {
  const auto normed = [&](const std::string& prefix, const Tensor& x) {
    NormParameters tensors;
    const auto part = [&](const char* name) {
      const auto found = p.find(prefix + name);
      return found == p.end() ? Tensor() : found->second;
    };
    tensors.gain = part("gain");
    tensors.bias = part("bias");
    tensors.alpha = part("alpha");
    return normalize(x, o.norm, tensors);
  };
  const int64_t inner = o.features * o.embedding;
  Tensor x = take(p.at("table"), features).reshape({features.size(0), inner});
  if (o.input_norm) x = normed("input_norm.", x);
  const Tensor h =
      normed("norm.", matmul(x, p.at("weight").reshape({inner, o.hidden})) + p.at("bias"));
  const Tensor active = o.activation == HiddenActivation::cube ? h * h * h : relu(h);
  return matmul(active, transpose(p.at("output.weight"))) + p.at("output.bias");
}

TensorMap in_float64(const Network& network) {
  TensorMap p;
  for (const auto& [name, tensor] : network.state()) {
    p[name] = tensor.detach().to(DType::float64);
    if (tensor.requires_grad()) p[name].set_requires_grad();
  }
  return p;
}

}  // namespace

TEST_CASE("Network: value and gradient are those of its ops in float64", "[parse]") {
  for (const NormTraits& variant : kNormVariants)
    for (const auto activation : {HiddenActivation::cube, HiddenActivation::relu})
      for (const bool input_norm : {false, true}) {
        const NetworkOptions o = small_options(std::string(variant.name), activation, input_norm);
        CAPTURE(o.norm.name(), name_of(activation), input_norm);
        Network network(o);
        scramble(network, 4);
        const Tensor features = random_features(o, 7, 5);
        TensorMap p = in_float64(network);
        const Tensor z = network(features), expected = composed(p, features, o);
        CHECK(max_difference(z, expected) < 1e-4 * (1 + max(abs(expected)).item()));
        Generator generator(6);
        const Tensor w = randn(z.shape(), 0, 1, DType::float64, generator);
        z.backward(w.to(DType::float32));
        expected.backward(w);
        for (const auto& [name, parameter] : network.named_parameters()) {
          CAPTURE(name);
          const Tensor gradient = p.at(name).grad();
          REQUIRE(parameter.grad().defined());
          CHECK(max_difference(parameter.grad(), gradient) <
                1e-4 * (1 + max(abs(gradient)).item()));
        }
      }
}

TEST_CASE("Network: its ops' gradient by central differences", "[parse]") {
  for (const std::string norm : {"none", "layernorm", "rmsnorm", "dyt", "batchnorm"})
    for (const auto activation : {HiddenActivation::cube, HiddenActivation::relu})
      for (const bool input_norm : {false, true}) {
        const NetworkOptions o = small_options(norm, activation, input_norm);
        CAPTURE(norm, name_of(activation), input_norm);
        Network network(o);
        scramble(network, 7);
        const Tensor features = random_features(o, 5, 8);
        std::vector<std::string> names;
        std::vector<Tensor> inputs;
        for (const auto& [name, tensor] : in_float64(network)) {
          names.push_back(name);
          inputs.push_back(tensor);
        }
        const auto op = [&](const std::vector<Tensor>& all) {
          TensorMap p;
          for (size_t i = 0; i < all.size(); ++i) p[names[i]] = all[i];
          return composed(p, features, o);
        };
        CHECK(test::gradient_error(op, inputs) < 1e-6);
      }
}

TEST_CASE("Network: any number of features", "[parse]") {
  NetworkOptions o = small_options("layernorm", HiddenActivation::relu, false);
  for (const int64_t features : {1, 3, kTagFeatures}) {
    o.features = features;
    Network network(o);
    CHECK(network(random_features(o, 5, 1)).shape() == Shape{5, 3});
    CHECK(network(random_features(o, 0, 1)).shape() == Shape{0, 3});
    CHECK(error_of<ShapeError>([&] {
            network(Tensor::zeros({2, features + 1}, DType::int32));
          }) == "Network: features must be [N, " + std::to_string(features) + "], got [2, " +
                    std::to_string(features + 1) + "]");
    CHECK(network.state().at("weight").shape() == Shape{features, 3, 6});
    o.features = 0;
    CHECK_THROWS_AS(Network(o), ArgumentError);
  }
}

TEST_CASE("Network: dropout while training only, of the hidden layer", "[parse]") {
  NetworkOptions o = small_options("layernorm", HiddenActivation::relu, true);
  o.dropout = 0.5;
  Network network(o);
  scramble(network, 1);
  const Tensor features = random_features(o, 9, 2);
  manual_seed(1);
  const Tensor one = network(features);
  CHECK_FALSE(same_bits(one, network(features)));
  network.eval();
  const Tensor two = network(features);
  CHECK(same_bits(two, network(features)));
  o.dropout = 0;
  CHECK(max_difference(two, composed(in_float64(network), features, o)) < 1e-4);
}

// --- frozen networks --------------------------------------------------------------------------

namespace {

/// Position p has "nothing" at row p, then rows up to `known` more of them are known.
std::vector<RowRange> ranges_of(const NetworkOptions& o, int32_t known) {
  std::vector<RowRange> ranges;
  for (int32_t p = 0; p < o.features; ++p)
    ranges.push_back({p, std::min(known, static_cast<int32_t>(o.rows) - p)});
  return ranges;
}

/// Rows as positions have them, half of them "nothing".
Tensor features_from(const NetworkOptions& o, int64_t n, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  Tensor features = Tensor::zeros({n, o.features}, DType::int32);
  for (int64_t i = 0; i < n * o.features; ++i) {
    const int64_t p = i % o.features;
    features.data<int32_t>()[i] = static_cast<int32_t>(
        random() % 2 ? p : p + static_cast<int64_t>(random() % static_cast<uint32_t>(o.rows - p)));
  }
  return features;
}

}  // namespace

TEST_CASE("FrozenNetwork: the logits of the network in evaluation mode", "[parse]") {
  for (const NormTraits& variant : kNormVariants)
    for (const auto activation : {HiddenActivation::cube, HiddenActivation::relu})
      for (const bool input_norm : {false, true})
        for (const int64_t hidden : {1, 3, 16, 33}) {
          NetworkOptions o = small_options(std::string(variant.name), activation, input_norm);
          o.hidden = hidden;
          o.dropout = 0.5;
          CAPTURE(o.norm.name(), name_of(activation), input_norm, hidden);
          Network network(o);
          scramble(network, 11);
          const Tensor features = features_from(o, 9, 12);
          const Tensor frozen = FrozenNetwork(network, ranges_of(o, 5)).logits(features);
          CHECK(network.training());
          network.eval();
          const Tensor expected = network(features);
          REQUIRE(frozen.shape() == Shape{9, kFrozenLanes});
          CHECK_FALSE(frozen.requires_grad());
          CHECK(max_difference(slice(frozen, 1, 0, o.classes), expected) <
                1e-5 * (1 + max(abs(expected)).item()));
        }
}

TEST_CASE("FrozenNetwork: the same bits in any company, with any rows known", "[parse]") {
  const test::Threads threads(1);
  for (const NormTraits& variant : kNormVariants)
    for (const bool input_norm : {false, true})
      for (const int64_t hidden : {3, 33}) {
        NetworkOptions o =
            small_options(std::string(variant.name), HiddenActivation::cube, input_norm);
        o.hidden = hidden;
        o.classes = 35;
        CAPTURE(o.norm.name(), input_norm, hidden);
        Network network(o);
        scramble(network, 13);
        const Tensor features = features_from(o, 67, 14);
        set_num_threads(1);
        const Tensor all = FrozenNetwork(network, ranges_of(o, 0)).logits(features);
        CHECK(all.shape() == Shape{67, 48});
        for (const int32_t known : {1, 5, 100}) {
          const FrozenNetwork frozen(network, ranges_of(o, known));
          for (const int n : {1, 2, 5}) {
            set_num_threads(n);
            CHECK(same_bits(frozen.logits(features), all));
          }
          bool same = true;
          for (int64_t i = 0; i < 67; ++i)
            same = same && same_bits(frozen.logits(features.slice(i, i + 1)), all.slice(i, i + 1));
          CHECK(same);
          CHECK(same_bits(frozen.logits(features.slice(3, 20)), all.slice(3, 20)));
          CHECK(frozen.logits(features.slice(0, 0)).shape() == Shape{0, 48});
        }
      }
}

TEST_CASE("FrozenNetwork: keeps a copy", "[parse]") {
  for (const std::string norm : {"layernorm", "batchnorm", "dyt"}) {
    NetworkOptions o = small_options(norm, HiddenActivation::relu, true);
    Network network(o);
    scramble(network, 15);
    const Tensor features = features_from(o, 5, 16);
    const FrozenNetwork frozen(network, ranges_of(o, 3));
    const Tensor before = frozen.logits(features);
    scramble(network, 17);
    CHECK(same_bits(frozen.logits(features), before));
    CHECK_FALSE(same_bits(FrozenNetwork(network, ranges_of(o, 3)).logits(features), before));
  }
}

// --- parser -----------------------------------------------------------------------------------

namespace {

/// Sentences with trees: frequent words and rare ones, four tags, three relations.
std::vector<Sentence> treebank(int n, int longest, uint32_t seed) {
  std::mt19937 random(seed);
  const Words tags = {"NOUN|NN", "NOUN|NNS", "VERB|VB", "PUNCT|."}, labels = {"a", "b", "c"};
  std::vector<Sentence> all;
  for (int i = 0; i < n; ++i) {
    Sentence sentence;
    const auto length = static_cast<int32_t>(1 + random() % static_cast<uint32_t>(longest));
    for (int32_t w = 1; w <= length; ++w) {
      const uint32_t number = random() % (1 + random() % 40);
      const std::string& tag = tags[number % 4];
      Word word{.form = "w" + std::string(number / 8, 'x') + std::string(1, 'a' + number % 26)};
      word.upos = tag.substr(0, tag.find('|'));
      word.xpos = tag.substr(tag.find('|') + 1);
      word.head = w == 1 ? 0 : 1;
      word.deprel = w == 1 ? "root" : labels[random() % 3];
      sentence.words.push_back(std::move(word));
    }
    all.push_back(std::move(sentence));
  }
  return all;
}

struct Kind {
  std::string norm = "layernorm";
  HiddenActivation activation = HiddenActivation::relu;
  bool input_norm = false;
  bool tagger = true;
  Tags tags = Tags::both;
};

std::shared_ptr<Network> random_network(const Kind& kind, int64_t rows, int64_t features,
                                        int64_t classes, uint64_t seed) {
  NetworkOptions o = small_options(kind.norm, kind.activation, kind.input_norm);
  o.rows = rows;
  o.features = features;
  o.classes = classes;
  o.hidden = 21;
  auto network = std::make_shared<Network>(o);
  scramble(*network, seed);
  return network;
}

/// With random weights: its trees are as good as any.
Model random_model(const Kind& kind = {}, uint64_t seed = 21) {
  const std::vector<Sentence> all = treebank(60, 20, 3);
  const Vocabulary vocabulary = Vocabulary::of(all, {.least = 3, .tags = kind.tags});
  Model model{
      random_network(kind, vocabulary.size(), kFeatures, vocabulary.transitions().classes(), seed),
      vocabulary};
  if (kind.tagger) {
    const TagVocabulary tags = TagVocabulary::of(all, 3);
    model.tagger = Tagger{random_network(kind, tags.size(), kTagFeatures,
                                         static_cast<int64_t>(tags.tags().size()), seed + 1),
                          tags};
  }
  model.notes = {{"task", "parse"}, {"", "x\ny"}};
  return model;
}

std::vector<Sentence> without_tags(std::vector<Sentence> sentences) {
  for (Sentence& sentence : sentences)
    for (Word& word : sentence.words) word.upos = word.xpos = "_";
  return sentences;
}

std::vector<Sentence> without_trees(std::vector<Sentence> sentences) {
  for (Sentence& sentence : sentences)
    for (Word& word : sentence.words) {
      word.head = kNone;
      word.deprel = "_";
    }
  return sentences;
}

std::vector<Sentence> parsed(const Parser& parser, std::vector<Sentence> sentences) {
  parser.parse(sentences);
  return sentences;
}

bool are_trees(const std::vector<Sentence>& sentences, const Vocabulary& vocabulary) {
  for (const Sentence& sentence : sentences) {
    check_tree(heads_of(sentence));
    for (const Word& word : sentence.words)
      if ((word.head == 0) != (word.deprel == vocabulary.root()) ||
          vocabulary.label(word.deprel) == kNone)
        return false;
  }
  return true;
}

int64_t different_words(const std::vector<Sentence>& a, const std::vector<Sentence>& b) {
  int64_t n = 0;
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t w = 0; w < a[i].words.size(); ++w) n += a[i].words[w] != b[i].words[w];
  return n;
}

}  // namespace

TEST_CASE("Parser: the best legal transition of the network, step by step", "[parse]") {
  for (const Tags tags : {Tags::upos, Tags::xpos, Tags::both}) {
    const Model model = random_model({.tagger = false, .tags = tags});
    const std::vector<Sentence> all = parsed(Parser(model), without_trees(treebank(40, 25, 5)));
    model.network->eval();
    const Transitions transitions = model.vocabulary.transitions();
    const std::vector<Sentence> gold = treebank(40, 25, 5);
    // Each transition that a tree took must have been the best one, but for rounding.
    for (const Sentence& sentence : all) {
      Configuration at = start(model.vocabulary, sentence);
      const Oracle oracle(heads_of(sentence));
      while (!at.state.done()) {
        Tensor rows = Tensor::empty({1, kFeatures}, DType::int32);
        features(at.state, at.ids, model.vocabulary.labels_begin(), rows.data<int32_t>());
        const Tensor logits = model.network->forward(rows);
        int32_t best = kNone;
        for (int32_t t = 0; t < transitions.classes(); ++t)
          if (transitions.legal(at.state.moves(), t) &&
              (best == kNone || logits.data<float>()[t] > logits.data<float>()[best]))
            best = t;
        transitions.apply(at.state, best);
      }
      REQUIRE(at.state.heads() == heads_of(sentence));
      for (size_t w = 0; w < sentence.words.size(); ++w)
        REQUIRE(model.vocabulary.label(sentence.words[w].deprel) ==
                at.state.label(static_cast<int32_t>(w + 1)));
    }
    CHECK(are_trees(all, model.vocabulary));
    CHECK(different_words(all, gold) > 100);
  }
}

TEST_CASE("Parser: the same trees for any width, threads, known words and company", "[parse]") {
  const test::Threads threads(1);
  for (const Kind& kind :
       {Kind{}, Kind{.norm = "none", .activation = HiddenActivation::cube},
        Kind{.norm = "adanorm", .input_norm = true}, Kind{.norm = "batchnorm", .tagger = false}}) {
    CAPTURE(kind.norm);
    const Model model = random_model(kind);
    const std::vector<Sentence> gold = treebank(150, 30, 6);
    const std::vector<Sentence> given = without_trees(kind.tagger ? without_tags(gold) : gold);
    set_num_threads(1);
    const std::vector<Sentence> expected = parsed(Parser(model, {.width = 1}), given);
    CHECK(are_trees(expected, model.vocabulary));
    for (const int n : {1, 2, 5}) {
      set_num_threads(n);
      for (const int64_t width :
           {int64_t{1}, int64_t{7}, int64_t{64}, std::numeric_limits<int64_t>::max()})
        CHECK(parsed(Parser(model, {.width = width}), given) == expected);
      for (const int64_t known : {int64_t{0}, int64_t{3}, std::numeric_limits<int64_t>::max()})
        CHECK(parsed(Parser(model, {.known_words = known}), given) == expected);
    }
    const Parser parser(model);
    std::vector<Sentence> alone = given;
    for (Sentence& sentence : alone) parser.parse(std::span(&sentence, 1));
    CHECK(alone == expected);
    std::vector<Sentence> turned(given.rbegin(), given.rend());
    parser.parse(turned);
    CHECK(std::equal(turned.rbegin(), turned.rend(), expected.begin()));
  }
}

TEST_CASE("Parser: threads may share it", "[parse]") {
  const Model model = random_model();
  const Parser parser(model);
  const std::vector<Sentence> given = without_tags(treebank(60, 20, 7));
  const std::vector<Sentence> expected = parsed(parser, given);
  std::vector<std::vector<Sentence>> results(4, given);
  std::vector<std::thread> workers;
  for (auto& result : results) workers.emplace_back([&] { parser.parse(result); });
  for (std::thread& worker : workers) worker.join();
  for (const auto& result : results) CHECK(result == expected);
}

TEST_CASE("Parser: trees even of weights that are not numbers", "[parse]") {
  const std::vector<Sentence> given = without_tags(treebank(30, 20, 8));
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38})
    for (const std::string name : {"table", "weight", "bias", "norm.gain", "output.weight"}) {
      CAPTURE(value, name);
      const Model model = random_model();
      for (const auto& network : {model.network, model.tagger->network})
        Tensor(network->state().at(name)).fill_(value);
      const std::vector<Sentence> all = parsed(Parser(model), given);
      CHECK(are_trees(all, model.vocabulary));
      for (const Sentence& sentence : all)
        for (const Word& word : sentence.words)
          REQUIRE(model.tagger->vocabulary.tag(word) != kNone);
    }
}

TEST_CASE("Parser: sentences of one word and of thousands", "[parse]") {
  const Model model = random_model();
  const Parser parser(model);
  std::vector<Sentence> one = without_trees(treebank(1, 1, 9));
  parser.parse(one);
  CHECK(one[0].words[0].head == 0);
  CHECK(one[0].words[0].deprel == "root");
  std::vector<Sentence> none;
  parser.parse(none);
  Sentence longest;
  for (const Sentence& sentence : treebank(700, 20, 10))
    longest.words.insert(longest.words.end(), sentence.words.begin(), sentence.words.end());
  REQUIRE(longest.words.size() > 5000);
  longest.words.resize(5000);
  std::vector<Sentence> given = without_tags(treebank(20, 20, 11));
  given.insert(given.begin() + 5, without_tags({longest})[0]);
  const std::vector<Sentence> all = parsed(parser, given);
  CHECK(are_trees(all, model.vocabulary));
  parser.parse(std::span(&given[5], 1));
  CHECK(given[5] == all[5]);
}

TEST_CASE("Parser: tags are found where they are missing", "[parse]") {
  const Model model = random_model();
  const Parser parser(model);
  const std::vector<Sentence> gold = treebank(30, 20, 12);
  const std::vector<Sentence> from_words = parsed(parser, without_tags(gold));
  CHECK(different_words(from_words, gold) > 0);
  // Tags that are there stay as they are.
  const std::vector<Sentence> with_tags = parsed(parser, gold);
  for (size_t i = 0; i < gold.size(); ++i)
    for (size_t w = 0; w < gold[i].words.size(); ++w) {
      REQUIRE(with_tags[i].words[w].upos == gold[i].words[w].upos);
      REQUIRE(with_tags[i].words[w].xpos == gold[i].words[w].xpos);
    }
  // One of two that is missing is found, and the other one stays.
  std::vector<Sentence> half = gold;
  for (Sentence& sentence : half) sentence.words.back().xpos = "_";
  parser.parse(half);
  for (size_t i = 0; i < gold.size(); ++i) {
    REQUIRE(half[i].words.back().upos == gold[i].words.back().upos);
    REQUIRE(half[i].words.back().xpos == from_words[i].words.back().xpos);
  }
  // A parser of UPOS does not ask for XPOS, but has it found along with UPOS.
  const Parser by_upos(random_model({.tags = Tags::upos}));
  std::vector<Sentence> upos = gold;
  for (Sentence& sentence : upos)
    for (Word& word : sentence.words) word.xpos = "_";
  upos[0].words[0].upos = "_";
  by_upos.parse(upos);
  CHECK(upos[0].words[0].upos == from_words[0].words[0].upos);
  CHECK(upos[0].words[0].xpos != "_");
  CHECK(upos[1].words[0].xpos == "_");
}

TEST_CASE("Parser: columns, comments and extras that are not its own stay", "[parse]") {
  const Parser parser(random_model());
  Sentence given = without_trees(treebank(1, 9, 13))[0];
  given.words.resize(1);
  given.words[0].lemma = "l";
  given.words[0].feats = "A=B";
  given.words[0].deps = "0:root";
  given.words[0].misc = "M=N";
  given.comments = {"# sent_id = 1", "#x"};
  given.extras = {{0, "1-1\tx\t_\t_\t_\t_\t_\t_\t_\t_"}};
  Sentence expected = given;
  expected.words[0].head = 0;
  expected.words[0].deprel = "root";
  std::vector<Sentence> all = {given};
  parser.parse(all);
  CHECK(all[0] == expected);
}

TEST_CASE("Parser: keeps a copy of the weights", "[parse]") {
  const Model model = random_model();
  Parser parser(model);
  const std::vector<Sentence> given = without_tags(treebank(30, 20, 14));
  const std::vector<Sentence> before = parsed(parser, given);
  scramble(*model.network, 99);
  scramble(*model.tagger->network, 98);
  CHECK(parsed(parser, given) == before);
  CHECK(parsed(Parser(model), given) != before);
  CHECK(parser.model().network == model.network);
  Parser moved = std::move(parser);
  CHECK(parsed(moved, given) == before);
  parser = Parser(model);
  CHECK(parsed(parser, given) != before);
}

TEST_CASE("Parser: refuses what does not fit", "[parse]") {
  const Model model = random_model({.tagger = false});
  const Parser parser(model);
  std::vector<Sentence> given = without_trees(treebank(3, 9, 15));
  const std::vector<Sentence> before = given;
  const auto error = [&](const Parser& by) {
    return error_of<ArgumentError>([&] { by.parse(given); });
  };
  given.emplace_back();
  CHECK(error(parser) == "parse: sentence 4 must have words");
  given.pop_back();
  given[1].words[0].upos = given[1].words[0].xpos = "_";
  CHECK(error(parser) == "parse: sentence 2 has no tags, and the model has no tagger");
  given[1] = before[1];
  CHECK(given == before);  // nothing was done
  given[1].words[0].xpos = "_";
  CHECK(error(parser).empty());
  CHECK(contains(error(Parser(random_model({.tagger = false, .tags = Tags::xpos}))),
                 "sentence 2 has no tags"));
  given[2].words.resize(static_cast<size_t>(kMaxSentenceLines) + 1, given[2].words[0]);
  CHECK(error(parser) == "parse: sentence 3 must have at most 100000 words, has 100001");
  CHECK(error_of<ArgumentError>([&] { parser.parse("the dog"); }) ==
        "parse: sentence 1 has no tags, and the model has no tagger");
  CHECK(error_of<ArgumentError>([&] { Parser(model, {.width = 0}); }) ==
        "Parser: known_words must not be negative and width be positive, got 1500 and 0");
  CHECK_THROWS_AS(Parser(model, {.known_words = -1}), ArgumentError);
}

TEST_CASE("Parser: refuses a model whose parts do not fit", "[parse]") {
  const auto error = [](const Model& model) {
    const Folder folder;
    const std::string message = error_of<ArgumentError>([&] { save_model(folder.file(), model); });
    CHECK_FALSE(fs::exists(folder.file()));
    const std::string other = error_of<ArgumentError>([&] { Parser{model}; });
    CHECK(message == (message.empty() ? "" : "save_model" + other.substr(6)));
    return other;
  };
  const Model model = random_model();
  const auto rows = std::to_string(model.vocabulary.size());
  Model wrong = model;
  wrong.vocabulary = Vocabulary({"a"}, {"X"}, {"r"}, "r");
  CHECK(error(wrong) ==
        "Parser: the parser's network must have 10 rows, 48 features and 3 "
        "classes, as its vocabulary has, it has " +
            rows + ", 48 and 9");
  wrong = model;
  wrong.network = model.tagger->network;
  CHECK(contains(error(wrong),
                 "it has " + std::to_string(model.tagger->vocabulary.size()) + ", 19 and 4"));
  wrong.network = nullptr;
  CHECK(error(wrong) == "Parser: the model has no parser network");
  wrong = model;
  wrong.tagger->network = model.network;
  CHECK(contains(error(wrong), "Parser: the tagger's network must have"));
  wrong.tagger->network = nullptr;
  CHECK(error(wrong) == "Parser: the model has no tagger network");
}

// --- raw text ---------------------------------------------------------------------------------

TEST_CASE("Parser: a line of raw text", "[parse]") {
  const Model model = random_model();
  const Parser parser(model);
  std::vector<Sentence> expected = {sentence_of("Wa wxb, isn't it?")};
  parser.parse(expected);
  CHECK(parser.parse("Wa wxb, isn't it?") == expected[0]);
  CHECK(are_trees(expected, model.vocabulary));
  CHECK(expected[0].note("text") == "Wa wxb, isn't it?");
  CHECK(expected[0].words[0].form == "Wa");
  CHECK_THROWS_AS(parser.parse(""), ArgumentError);
  CHECK_THROWS_AS(parser.parse("\xFF"), ArgumentError);
}

// --- model files ------------------------------------------------------------------------------

namespace {

/// What load_model() says of a model file after `damage`.
template <class Damage>
std::string load_error(const Damage& damage, bool tagger = true) {
  const TensorFile whole = test::saved_by([&](const std::string& path) {
    save_model(path, random_model({.input_norm = true, .tagger = tagger}));
  });
  return test::error_after(damage, whole, load_model);
}

std::string error_with(const std::string& key, const std::string& text) {
  return load_error([&](TensorFile& file) { file.metadata[key] = text; });
}

const Words kSettings = {"embedding",  "hidden", "activation",  "dropout", "input_norm",
                         "norm",       "eps",    "denominator", "C",       "k",
                         "topk_share", "groups", "momentum"};

}  // namespace

TEST_CASE("parser files: everything comes back, bit for bit", "[parse]") {
  const Folder folder;
  const std::vector<Sentence> gold = treebank(40, 20, 17);
  const std::pair<bool, std::string> cases[] = {
      {true, "topk"}, {false, "topk"}, {true, "adanorm"}, {false, "batchnorm"}};
  for (const auto& [with_tagger, norm] : cases) {
    const bool tagger = with_tagger;
    Kind kind{.norm = norm,
              .activation = HiddenActivation::cube,
              .input_norm = true,
              .tagger = tagger,
              .tags = Tags::xpos};
    Model model = random_model(kind);
    NetworkOptions o = model.network->options();
    o.dropout = 0.25;
    o.norm.settings.denominator = Denominator::std_eps;
    if (norm == "topk") o.norm.settings.topk_share = 1.0 / 3;
    if (norm == "adanorm") o.norm.settings.C = o.norm.settings.k = 1.0 / 7;
    if (norm == "batchnorm") o.norm.settings.momentum = 0.7;
    model.network = std::make_shared<Network>(o);
    scramble(*model.network, 33);
    save_model(folder.file(), model);
    manual_seed(9);
    default_generator().advance(3);
    const Model loaded = load_model(folder.file());
    CHECK(default_generator().seed() == 9);
    CHECK(default_generator().offset() == 3);
    CHECK_FALSE(loaded.network->training());
    CHECK(loaded.vocabulary.words() == model.vocabulary.words());
    CHECK(loaded.vocabulary.tags() == model.vocabulary.tags());
    CHECK(loaded.vocabulary.labels() == model.vocabulary.labels());
    CHECK(loaded.vocabulary.root() == model.vocabulary.root());
    CHECK(loaded.vocabulary.options().least == 3);
    CHECK(loaded.vocabulary.options().tags == Tags::xpos);
    CHECK(loaded.vocabulary.options().lower);
    CHECK(loaded.notes == model.notes);
    const NetworkOptions& l = loaded.network->options();
    CHECK(l.activation == HiddenActivation::cube);
    CHECK(l.dropout == 0.25);
    CHECK(l.input_norm);
    CHECK(l.norm.name() == norm);
    CHECK(l.norm.settings.eps == o.norm.settings.eps);
    CHECK(l.norm.settings.denominator == Denominator::std_eps);
    CHECK(l.norm.settings.topk_share == o.norm.settings.topk_share);
    CHECK(l.norm.settings.C == o.norm.settings.C);
    CHECK(l.norm.settings.k == o.norm.settings.k);
    CHECK(l.norm.settings.momentum == o.norm.settings.momentum);
    for (const auto& [name, tensor] : model.network->state())
      CHECK(same_bits(loaded.network->state().at(name), tensor));
    REQUIRE(loaded.tagger.has_value() == tagger);
    if (tagger) {
      CHECK_FALSE(loaded.tagger->network->training());
      CHECK(loaded.tagger->vocabulary.words() == model.tagger->vocabulary.words());
      CHECK(loaded.tagger->vocabulary.affixes() == model.tagger->vocabulary.affixes());
      CHECK(loaded.tagger->vocabulary.tags() == model.tagger->vocabulary.tags());
      for (const auto& [name, tensor] : model.tagger->network->state())
        CHECK(same_bits(loaded.tagger->network->state().at(name), tensor));
    }
    const std::vector<Sentence> given = without_trees(tagger ? without_tags(gold) : gold);
    CHECK(parsed(Parser(loaded), given) == parsed(Parser(model), given));
    save_model(folder.file("again"), loaded);
    CHECK(read_bytes(folder.file("again")) == read_bytes(folder.file()));
  }
}

TEST_CASE("parser files: options that the norm does not take are passed over", "[parse]") {
  const Folder folder;  // written before Norm refused them
  save_model(folder.file(), random_model());
  TensorFile file = load(folder.file());
  for (const char* network : {"parser.", "tagger."})
    for (const char* option : {"C", "k", "topk_share", "momentum"})
      file.metadata[std::string(network) + option] = "0.75";
  save(folder.file(), file.tensors, file.metadata);
  const NormSettings o = load_model(folder.file()).network->options().norm.settings, usual;
  CHECK(o.C == usual.C);
  CHECK(o.momentum == usual.momentum);
}

TEST_CASE("parser files: every norm variant", "[parse]") {
  const Folder folder;
  const std::vector<Sentence> given = without_tags(treebank(10, 20, 18));
  for (const NormTraits& variant : kNormVariants)
    for (const bool input_norm : {false, true}) {
      CAPTURE(std::string(variant.name), input_norm);
      const Model model =
          random_model({.norm = std::string(variant.name), .input_norm = input_norm});
      save_model(folder.file(), model);
      const Model loaded = load_model(folder.file());
      CHECK(loaded.network->state().size() == model.network->state().size());
      CHECK(parsed(Parser(loaded), given) == parsed(Parser(model), given));
    }
}

TEST_CASE("parser files: wrong metadata is refused in words", "[parse]") {
  CHECK(contains(load_error([](TensorFile& file) { file.metadata.clear(); }),
                 "metadata: \"format\" is missing"));
  CHECK(contains(error_with("format", "normlab.text_classifier"),
                 "this is a model of another task, \"normlab.text_classifier\", expected "
                 "\"normlab.parser\""));
  CHECK(contains(error_with("version", "2"), "version: must be 1, is \"2\""));
  CHECK(contains(error_with("sise", "2"), "\"sise\" is not known"));
  Words keys = {"format",
                "version",
                "words",
                "tags",
                "labels",
                "root",
                "vocabulary.least",
                "vocabulary.lower",
                "vocabulary.digits",
                "vocabulary.tag",
                "tagger.words",
                "tagger.affixes"};
  for (const std::string& name : kSettings)
    for (const std::string network : {"parser.", "tagger."}) keys.push_back(network + name);
  for (const std::string& key : keys) {
    const std::string message = load_error([&](TensorFile& file) { file.metadata.erase(key); });
    CAPTURE(key, message);
    CHECK(contains(message, "metadata: \"" + key + "\" is missing"));
  }
  // Without its tags there is no tagger, and nothing may be left of one.
  CHECK(contains(load_error([](TensorFile& file) { file.metadata.erase("tagger.tags"); }),
                 "\"tagger.bias\" is not known"));
  const auto of_tagger = [](TensorFile& file) {
    std::erase_if(file.tensors, [](const auto& one) { return one.first.starts_with("tagger."); });
  };
  CHECK(contains(load_error(of_tagger), "\"tagger.table\" is missing"));
  CHECK(contains(load_error([&](TensorFile& file) {
                   of_tagger(file);
                   file.metadata.erase("tagger.tags");
                 }),
                 "\"tagger.C\" is not known"));
}

TEST_CASE("parser files: nonsense in the metadata is refused in words", "[parse]") {
  struct Case {
    std::string key, text, reason;
  };
  const Case cases[] = {
      {"vocabulary.least", "x", "vocabulary.least: must be a whole number, is \"x\""},
      {"vocabulary.least", "0", "least must be at least 1"},
      {"vocabulary.lower", "1", "vocabulary.lower: must be true or false"},
      {"vocabulary.digits", "", "vocabulary.digits: must be true or false"},
      {"vocabulary.tag", "pos", "must be 'upos', 'xpos' or 'both', got \"pos\""},
      {"words", "a\nb", "\"parser.table\" must have shape"},
      {"words", "a\n\nb", "word 1 must be"},
      {"words", "a\nb\na", "each word must come once"},
      {"words", "a\tb", "word 0 must be"},
      {"tags", "X", "\"parser.table\" must have shape"},
      {"tags", "X\nX", "each tag must come once"},
      {"labels", "root", "must have shape"},
      {"labels", "", "the root's label must be one of the labels"},
      {"labels", "root\nroot", "each label must come once"},
      {"root", "x", "the root's label must be one of the labels, is \"x\""},
      {"root", "", "the root's label must be one of the labels, is \"\""},
      {"tagger.words", "", "\"tagger.table\" must have shape"},
      {"tagger.affixes", "a\na", "each affix must come once"},
      {"tagger.tags", "", "there must be at least one tag"},
      {"tagger.tags", "NOUN", "a tag must be UPOS|XPOS, is \"NOUN\""},
      {"tagger.tags", "NOUN|NN", "\"tagger.output.weight\" must have shape [1, 21]"},
  };
  const Case network_cases[] = {
      {"embedding", "", "must be a whole number, is \"\""},
      {"embedding", "3.0", "must be a whole number"},
      {"embedding", "0", "table\" must have shape"},
      {"embedding", "-3", "table\" must have shape"},
      {"embedding", "9223372036854775807", "table\" must have shape"},
      {"hidden", "99999999999999999999", "must be a whole number"},
      {"hidden", "1000000000000", "weight\" must have shape"},
      {"hidden", "0", "weight\" must have shape"},
      {"activation", "gelu", "must be 'cube' or 'relu', got 'gelu'"},
      {"dropout", "nan", "must be a finite number"},
      {"dropout", "1", "dropout must be in [0, 1)"},
      {"dropout", "-0.5", "dropout must be in [0, 1)"},
      {"input_norm", "yes", "must be true or false"},
      {"input_norm", "false", "unexpected \"input_norm."},
      {"norm", "x", "unknown variant 'x'"},
      {"norm", "none", "unexpected"},
      {"norm", "rmsnorm", "unexpected"},
      {"norm", "batchnorm", "running_mean"},
      {"eps", "-1", "eps must be finite and not negative"},
      {"eps", "inf", "must be a finite number"},
      {"denominator", "eps", "denominator must be"},
      {"C", "", "must be a finite number"},
      {"k", "0,1", "must be a finite number"},
      {"topk_share", "2", "topk_share"},
      {"groups", "-2", "groups"},
      {"momentum", "2", "momentum"},
  };
  const auto check = [](const std::string& key, const Case& c) {
    const std::string message = error_with(key, c.text);
    CAPTURE(key, c.text, message);
    CHECK(contains(message, c.reason));
  };
  for (const Case& c : cases) check(c.key, c);
  for (const Case& c : network_cases)
    for (const std::string network : {"parser.", "tagger."}) check(network + c.key, c);
}

TEST_CASE("parser files: wrong tensors are refused in words", "[parse]") {
  const auto with = [](const std::string& name, const Tensor& value) {
    return load_error([&](TensorFile& file) { file.tensors[name] = value; });
  };
  const Model model = random_model({.input_norm = true});
  for (const std::string network : {"parser.", "tagger."})
    for (const auto& [name, tensor] :
         (network == "parser." ? model.network : model.tagger->network)->state()) {
      const std::string full = network + name;
      CAPTURE(full);
      const auto missing = load_error([&](TensorFile& file) { file.tensors.erase(full); });
      CHECK(contains(missing, name + "\""));
      CHECK(contains(missing, "missing"));
      const std::string shape = with(full, Tensor::zeros({7}));
      CHECK(contains(shape, name + "\" must have shape"));
      CHECK(contains(with(full, Tensor::zeros(tensor.shape(), DType::float64)), "must be float32"));
    }
  CHECK(contains(with("extra", Tensor::zeros({1})), "\"extra\" is not known"));
  CHECK(contains(with("parser.extra", Tensor::zeros({1})), "unexpected \"extra\""));
  CHECK(contains(with("tagger.norm.extra", Tensor::zeros({1})), "unexpected \"norm.extra\""));
  CHECK(contains(
      load_error([](TensorFile& file) { file.tensors["tagger.table"] = Tensor::zeros({1}); },
                 false),
      "\"tagger.table\" is not known"));
}

TEST_CASE("parser files: files that are none", "[parse]") {
  const Folder folder;
  CHECK_THROWS_AS(load_model(folder.file()), FileError);
  write_bytes(folder.file(), "no model");
  CHECK_THROWS_AS(load_model(folder.file()), FileError);
  save(folder.file(), {});
  CHECK(contains(error_of<FileError>([&] { load_model(folder.file()); }), "\"format\" is missing"));
  text::ClassifierOptions options{.vocabulary = 2, .classes = 2};
  options.encoder.size = options.encoder.hidden = 4;
  options.encoder.heads = options.encoder.layers = 1;
  const text::Model other{
      std::make_shared<text::Classifier>(options), text::Vocabulary({"a"}), {"x", "y"}, {}};
  text::save_model(folder.file(), other);
  CHECK(contains(error_of<FileError>([&] { load_model(folder.file()); }),
                 "this is a model of another task, \"normlab.text_classifier\""));
}

TEST_CASE("parser files: damaged bytes are an error or a model, never a crash", "[parse]") {
  const Folder folder;
  save_model(folder.file(), random_model());
  const std::vector<Sentence> given = without_tags(treebank(3, 9, 19));
  const int refused = refusals_of_damage(folder.file(), 600, [&] {
    const Model model = load_model(folder.file());
    CHECK(are_trees(parsed(Parser(model), given), model.vocabulary));
  });
  CHECK(refused > 300);
  CHECK(refused < 600);
}
