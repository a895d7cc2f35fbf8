#include "normlab/text.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"
#include "model_files.h"
#include "normlab/cuda.h"
#include "normlab/ops.h"

using namespace normlab;
using test::contains;
using test::error_of;
using test::Folder;
using test::read_bytes;
using test::refusals_of_damage;
using test::same_bits;
using test::write_bytes;
using text::Packed;
using text::tokenize;
using text::Vocabulary;

namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : " ").append(word);
  return out;
}

std::vector<int64_t> values(const Tensor& x) {
  return {x.data<int64_t>(), x.data<int64_t>() + x.numel()};
}

Tensor integers(const std::vector<int64_t>& list) {
  return Tensor::of<int64_t>({static_cast<int64_t>(list.size())}, list);
}

}  // namespace

// --- words ------------------------------------------------------------------------------------

TEST_CASE("tokenize: cuts lines as the treebank does", "[text]") {
  struct Case {
    std::string line, words;
  };
  const Case cases[] = {
      {"", ""},
      {" \t\r\n", ""},
      {"A good, GOOD film.", "a good , good film ."},
      {"It's so good!\r", "it 's so good !"},
      {"I'd've said they'll; we're, I'm", "i 'd 've said they 'll ; we 're , i 'm"},
      {"Don't, can't, won't, cannot", "do n't , ca n't , wo n't , cannot"},
      {"'the '70s' and shoot 'em up", "' the '70s ' and shoot 'em up"},
      {"dogs' o'clock rock'n'roll ol' 'n'", "dogs ' o'clock rock'n'roll ol' 'n'"},
      {"the '50's, 2002's", "the '50 's , 2002 's"},
      {"\"Hi\" ``Hi'' ''Hi''", "\" hi \" \" hi \" \" hi \""},
      {"\xE2\x80\x9CHi\xE2\x80\x9D \xE2\x80\x98it\xE2\x80\x99s\xE2\x80\x99", "\" hi \" ' it 's '"},
      {"(one) [T]he {two} -LRB- x -RSB- -lcb-", "( one ) ( t ) he ( two ) ( x ) ("},
      {"wait--no\xE2\x80\x94yes \xE2\x80\x93 - pro- --- x", "wait -- no -- yes -- -- pro -- -- x"},
      {"3-d, 90-minute co-writer", "3-d , 90-minute co-writer"},
      {"1,000.50 at 10:30, .5 -5 5. 1,x", "1,000.50 at 10:30 , .5 -5 5 . 1 , x"},
      {"$9.99 #1 100% b+ R&D", "$ 9.99 # 1 100 % b + r&d"},
      {"the U.S. and e.g. J.R.R. Mr. X.", "the u.s. and e.g. j.r.r. mr . x ."},
      {"so... \xE2\x80\xA6.. no.... . . . . .", "so ... ... no ... ..."},
      {"why?!? (\"yes.\")", "why ? ! ? ( \" yes . \" )"},
      {"writer\\/director \\*\\*\\* 1\\/2 a\\b", "writer/director * * * 1/2 a\\b"},
      {"CLICH\xC3\x89S \xC3\x97 \xC5\xA0", "clich\xC3\xA9s \xC3\x97 \xC5\xA0"},
      {"a\xC2\xA0"
       "b\xC2\x85"
       "c\xE2\x80\x80"
       "d\xE3\x80\x80"
       "e\xEF\xBB\xBF"
       "f\x01g",
       "a b c d e f g"},
      {"\xF0\x9F\x98\x80!", "\xF0\x9F\x98\x80 !"},
      {"' - . , \\ ''' 's n't", "' -- . , \\ \" ' 's n't"},
  };
  for (const Case& c : cases) {
    CHECK(joined(tokenize(c.line)) == c.words);
    CHECK(tokenize(c.words) == tokenize(c.line));
  }
}

TEST_CASE("tokenize: cutting again changes nothing", "[text]") {
  const Words pieces = {"'",
                        "`",
                        "\"",
                        ".",
                        "-",
                        "\\",
                        "/",
                        "*",
                        ",",
                        ":",
                        "1",
                        "5",
                        "s",
                        "t",
                        "n",
                        "d",
                        "m",
                        "re",
                        "u",
                        "lrb",
                        "(",
                        " ",
                        "[",
                        "&",
                        "e",
                        "$",
                        "?",
                        "''",
                        "\xE2\x80\x99",
                        "\xE2\x80\xA6",
                        "\xE2\x80\x94",
                        "\xC3\x89",
                        "\xC2\xAD"};
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string line;
    for (size_t n = random() % 14; n > 0; --n) line += pieces[random() % pieces.size()];
    const Words words = tokenize(line);
    CAPTURE(line);
    REQUIRE(tokenize(joined(words)) == words);
    for (const std::string& word : words) REQUIRE_FALSE(word.empty());
  }
}

TEST_CASE("tokenize: takes a long line of anything", "[text]") {
  const size_t n = 300'000;
  CHECK(tokenize(std::string(n, '(')).size() == n);
  CHECK(tokenize(std::string(n, '*')).size() == n);
  CHECK(tokenize(std::string(n, '\\')).size() == n);
  CHECK(tokenize(std::string(n, 'a')).size() == 1);
  CHECK(tokenize(std::string(n, '.')) == Words{"..."});
  std::string clitics, initials;
  for (size_t i = 0; i < n; ++i) (clitics += "'s", initials += "a.");
  CHECK(tokenize(clitics).size() == n);
  CHECK(tokenize(initials) == Words{initials});
}

TEST_CASE("tokenize: refuses what is no text", "[text]") {
  const std::string bad[] = {"\x80",
                             "\xFF",
                             "\xC0\xAF",
                             "\xC1\xBF",
                             "\xC3",
                             "\xC3(",
                             "\xE0\x80\xAF",
                             "\xE2\x82",
                             "\xED\xA0\x80",
                             "\xED\xBF\xBF",
                             "\xF0\x80\x80\x80",
                             "\xF4\x90\x80\x80",
                             "\xF5\x80\x80\x80",
                             "\xF0\x9F\x98"};
  for (const std::string& bytes : bad) {
    CAPTURE(bytes);
    CHECK(error_of<ArgumentError>([&] { tokenize("ab " + bytes); }) ==
          "tokenize: the line must be UTF-8, at byte 3 it is not");
    CHECK_THROWS_AS(tokenize(bytes + "x"), ArgumentError);
  }
  CHECK(error_of<ArgumentError>([] { tokenize(std::string("a\0b", 3)); }) ==
        "tokenize: byte 1 of the line is NUL");
  CHECK(tokenize("\xF4\x8F\xBF\xBF \xED\x9F\xBF \xEE\x80\x80").size() == 3);
}

// --- vocabulary -------------------------------------------------------------------------------

TEST_CASE("Vocabulary: words by number and numbers by word", "[text]") {
  const Vocabulary vocabulary({"b", "a", "\xC3\xA9"});
  CHECK(vocabulary.size() == 4);
  CHECK(vocabulary.words() == Words{"b", "a", "\xC3\xA9"});
  for (int64_t i = 0; i < vocabulary.size(); ++i) CHECK(vocabulary.number(vocabulary.word(i)) == i);
  CHECK(vocabulary.word(0) == "<unk>");
  CHECK(vocabulary.number("c") == Vocabulary::kUnknown);
  CHECK(vocabulary.number("") == Vocabulary::kUnknown);
  CHECK(Vocabulary().size() == 1);
  CHECK(Vocabulary().words().empty());
  for (const int64_t outside : {int64_t{-1}, int64_t{4}, INT64_MIN, INT64_MAX})
    CHECK(contains(error_of<RangeError>([&] { vocabulary.word(outside); }), "in [0, 4)"));
}

TEST_CASE("Vocabulary: the most frequent first, equals by their bytes", "[text]") {
  const std::vector<Words> sentences = {{"b", "\xC3\xA9", "a"}, {}, {"b", "c", "c", "b", "a"}};
  CHECK(Vocabulary::of(sentences).words() == Words{"b", "a", "c", "\xC3\xA9"});
  CHECK(Vocabulary::of(sentences, 2).words() == Words{"b", "a", "c"});
  CHECK(Vocabulary::of(sentences, 9).size() == 1);
  CHECK(Vocabulary::of({}).size() == 1);
  CHECK_THROWS_AS(Vocabulary::of(sentences, 0), ArgumentError);
}

TEST_CASE("Vocabulary: refuses what is no word", "[text]") {
  const std::string bad[] = {
      "", " ", "a b", "a\n", "a\xC2\xA0", "\xE3\x80\x80", "\xFF", std::string("a\0", 2)};
  for (const std::string& word : bad) {
    CAPTURE(word);
    CHECK(contains(error_of<ArgumentError>([&] { Vocabulary({"x", word}); }), "word 2 must be"));
  }
  CHECK(error_of<ArgumentError>([] {
          Vocabulary({"x", "y", "x"});
        }) == "Vocabulary: each word must come once, \"x\" is number 1 and 3");
  CHECK(contains(error_of<ArgumentError>([] { Vocabulary({"<unk>"}); }), "is number 0 and 1"));
}

// --- batches ----------------------------------------------------------------------------------

TEST_CASE("pack and take: sentences one after the other", "[text]") {
  const Packed packed = text::pack({{5, 6}, {}, {7}});
  CHECK(packed.size() == 3);
  CHECK(values(packed.tokens) == std::vector<int64_t>{5, 6, 7});
  CHECK(values(packed.offsets) == std::vector<int64_t>{0, 2, 2, 3});
  const Packed taken = text::take(packed, integers({2, 0, 2, 1}));
  CHECK(values(taken.tokens) == std::vector<int64_t>{7, 5, 6, 7});
  CHECK(values(taken.offsets) == std::vector<int64_t>{0, 1, 3, 4, 4});
  const Packed none = text::take(packed, integers({}));
  CHECK(none.size() == 0);
  CHECK(none.tokens.shape() == Shape{0});
  CHECK(text::pack({}).size() == 0);
}

TEST_CASE("take: refuses what does not fit", "[text]") {
  const Packed packed = text::pack({{5, 6}, {7}});
  for (const int64_t outside : {int64_t{-1}, int64_t{2}, INT64_MAX})
    CHECK(contains(error_of<RangeError>([&] {
                     text::take(packed, integers({0, outside}));
                   }),
                   "index must be in [0, 2), index[1] is "));
  CHECK_THROWS_AS(text::take(packed, Tensor::zeros({1}, DType::int32)), DtypeError);
  CHECK_THROWS_AS(text::take(packed, Tensor::zeros({1, 1}, DType::int64)), ShapeError);
  CHECK_THROWS_AS(text::take({}, integers({})), ArgumentError);
  const auto offsets_error = [&](const std::vector<int64_t>& offsets) {
    return error_of<ArgumentError>([&] {
      text::take({packed.tokens, integers(offsets)}, integers({0}));
    });
  };
  CHECK(contains(offsets_error({0, 2}), "offsets must end with the number of rows, 3, got 2"));
  CHECK(contains(offsets_error({1, 3}), "offsets must begin with 0, got 1"));
  CHECK(contains(offsets_error({0, 4, 3}), "offsets must not fall, got 4 and then 3"));
  CHECK(contains(offsets_error({0, -9, 3}), "offsets must not fall"));
  CHECK(contains(offsets_error({}), "offsets must be [S + 1], got [0]"));
}

namespace {

std::vector<std::vector<int64_t>> batches_of(const std::vector<int64_t>& lengths, int64_t tokens,
                                             int64_t bucket, uint64_t seed) {
  Generator generator(seed);
  std::vector<std::vector<int64_t>> batches;
  for (const Tensor& batch : text::token_batches(integers(lengths), tokens, bucket, generator))
    batches.push_back(values(batch));
  return batches;
}

/// How far the lengths of one batch lie apart, at most.
int64_t spread(const std::vector<int64_t>& batch, const std::vector<int64_t>& lengths) {
  const auto [least, most] = std::ranges::minmax_element(
      batch, {}, [&](int64_t i) { return lengths[static_cast<size_t>(i)]; });
  return lengths[static_cast<size_t>(*most)] - lengths[static_cast<size_t>(*least)];
}

}  // namespace

TEST_CASE("token_batches: every sentence once, within the limit, of like lengths", "[text]") {
  std::mt19937 random(3);
  std::vector<int64_t> lengths;
  for (int i = 0; i < 3000; ++i) lengths.push_back(static_cast<int64_t>(random() % 60));
  lengths[7] = 900;
  const auto batches = batches_of(lengths, 512, 4, 1);
  std::vector<int64_t> all;
  for (const auto& batch : batches) {
    int64_t total = 0;
    for (const int64_t i : batch) total += lengths[static_cast<size_t>(i)];
    CHECK((total <= 512 || batch == std::vector<int64_t>{7}));
    CHECK(spread(batch, lengths) <= 12);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  CHECK_FALSE(std::ranges::is_sorted(all));
  std::ranges::sort(all);
  CHECK(all == values(Tensor::arange(3000)));
  // Nearly full: about 175 batches hold all tokens.
  CHECK(batches.size() < 190);
}

TEST_CASE("token_batches: another shuffle for each draw, the same for a seed", "[text]") {
  const std::vector<int64_t> lengths(100, 5);
  CHECK(batches_of(lengths, 50, 4, 1) == batches_of(lengths, 50, 4, 1));
  CHECK(batches_of(lengths, 50, 4, 1) != batches_of(lengths, 50, 4, 2));
  Generator generator(1);
  const auto first = text::token_batches(integers(lengths), 50, 4, generator);
  const auto second = text::token_batches(integers(lengths), 50, 4, generator);
  CHECK(values(first[0]) != values(second[0]));
}

TEST_CASE("token_batches: odd lengths", "[text]") {
  CHECK(batches_of({}, 10, 4, 1).empty());
  CHECK(batches_of({0, 0, 0}, 1, 4, 1).size() == 1);
  CHECK(batches_of({0, 99, 0}, 10, 4, 1).size() == 2);
  CHECK(batches_of({INT64_MAX, INT64_MAX, 1}, 10, 4, 1).size() == 3);
  CHECK(batches_of({3, 3, 3, 3}, 6, 1, 1).size() == 2);
  CHECK(batches_of({1, 1, 1, 1}, 1, 4, 1).size() == 4);
}

TEST_CASE("token_batches: refuses what does not fit", "[text]") {
  CHECK(contains(error_of<ArgumentError>([] {
                   batches_of({1, -2}, 10, 4, 1);
                 }),
                 "lengths[1] is -2"));
  CHECK_THROWS_AS(batches_of({1}, 0, 4, 1), ArgumentError);
  CHECK_THROWS_AS(batches_of({1}, 1, 0, 1), ArgumentError);
  CHECK_THROWS_AS(text::token_batches(Tensor::zeros({2}), 10), DtypeError);
  CHECK_THROWS_AS(text::token_batches(Tensor::zeros({2, 1}, DType::int64), 10), ShapeError);
}

// --- model files ------------------------------------------------------------------------------

namespace {

namespace fs = std::filesystem;

text::ClassifierOptions small_options(const std::string& norm = "layernorm") {
  text::ClassifierOptions options{.vocabulary = 5, .classes = 3};
  options.encoder.size = 8;
  options.encoder.heads = 2;
  options.encoder.hidden = 12;
  options.encoder.layers = 2;
  options.encoder.dropout = 0.25;
  options.encoder.norm = norm;
  options.encoder.norm.settings.eps = 0.1;
  return options;
}

text::Model small_model(const text::ClassifierOptions& options = small_options()) {
  return {std::make_shared<text::Classifier>(options),
          Vocabulary({"good", "bad", "\xC3\xA9", "."}),
          {"negative", "so so", "positive"},
          {{"task", "rt"}, {"", "x\ny"}}};
}

const Words kLines = {"Good, good film.", "", "bad", "\xC3\x89 ... good . bad bad bad unheard-of"};

std::vector<bool> training_flags(const nn::Module& module) {
  std::vector<bool> flags{module.training()};
  for (const auto& [name, part] : module.named_modules()) flags.push_back(part->training());
  return flags;
}

}  // namespace

TEST_CASE("Model: logits of lines, whatever their company", "[text]") {
  const text::Model model = small_model();
  const Tensor all = model.logits(kLines);
  CHECK(all.shape() == Shape{4, 3});
  CHECK_FALSE(all.requires_grad());
  for (size_t i = 0; i < kLines.size(); ++i)
    CHECK(same_bits(model.logits({kLines[i]})[0], all[static_cast<int64_t>(i)]));
  CHECK(model.logits({}).shape() == Shape{0, 3});
  const auto [logits, label] = model.label(kLines[3]);
  CHECK(same_bits(logits, all[3]));
  CHECK(label == model.labels[static_cast<size_t>(argmax(logits, 0).item())]);
}

TEST_CASE("Model: labelling leaves the classifier's mode as it was", "[text]") {
  const text::Model model = small_model();
  model.classifier->children()[0].second->eval();
  const std::vector<bool> before = training_flags(*model.classifier);
  const Tensor all = model.logits(kLines);
  CHECK(training_flags(*model.classifier) == before);
  CHECK(same_bits(model.logits(kLines), all));
  CHECK_THROWS_AS(model.logits({"\xFF"}), ArgumentError);
  CHECK(training_flags(*model.classifier) == before);
}

TEST_CASE("Model: lines that are no text, parts that do not fit", "[text]") {
  const text::Model model = small_model();
  CHECK(error_of<ArgumentError>([&] {
          model.logits({"a", "b\xFF"});
        }) == "logits: line 1: tokenize: the line must be UTF-8, at byte 1 it is not");
  CHECK_THROWS_AS(model.label(std::string_view("\0", 1)), ArgumentError);
  const Folder folder;
  const auto save_error = [&](const text::Model& wrong) {
    const std::string message =
        error_of<ArgumentError>([&] { text::save_model(folder.file(), wrong); });
    CHECK_FALSE(fs::exists(folder.file()));
    return message;
  };
  text::Model wrong = model;
  wrong.labels.pop_back();
  CHECK(contains(save_error(wrong), "a label for each of 3 classes, got 2"));
  CHECK_THROWS_AS(wrong.logits({}), ArgumentError);
  wrong.labels = {"a", "b\nc", "d"};
  CHECK(contains(save_error(wrong), "one line of text, got \"b\\nc\""));
  wrong = model;
  wrong.vocabulary = Vocabulary({"good"});
  CHECK(contains(save_error(wrong), "5 words, it has 2"));
  wrong.classifier = nullptr;
  CHECK(contains(save_error(wrong), "no classifier"));
}

TEST_CASE("model files: everything comes back, bit for bit", "[text]") {
  const Folder folder;
  text::ClassifierOptions options = small_options("topk");
  options.encoder.pre_norm = false;
  options.encoder.activation = Activation::gelu;
  options.encoder.norm.settings.denominator = Denominator::std_eps;
  options.encoder.norm.settings.topk_share = 1.0 / 3;
  const text::Model model = small_model(options);
  text::save_model(folder.file(), model);
  manual_seed(9);
  default_generator().advance(3);
  const text::Model loaded = text::load_model(folder.file());
  CHECK(default_generator().seed() == 9);
  CHECK(default_generator().offset() == 3);
  CHECK_FALSE(loaded.classifier->training());
  CHECK(loaded.vocabulary.words() == model.vocabulary.words());
  CHECK(loaded.labels == model.labels);
  CHECK(loaded.notes == model.notes);
  const nn::TransformerOptions& o = loaded.classifier->options().encoder;
  CHECK(o.dropout == options.encoder.dropout);
  CHECK_FALSE(o.pre_norm);
  CHECK(o.activation == Activation::gelu);
  CHECK(o.norm.name() == "topk");
  CHECK(o.norm.settings.eps == options.encoder.norm.settings.eps);
  CHECK(o.norm.settings.denominator == Denominator::std_eps);
  CHECK(o.norm.settings.topk_share == 1.0 / 3);
  CHECK(same_bits(loaded.logits(kLines), model.logits(kLines)));
  text::save_model(folder.file("again"), loaded);
  CHECK(read_bytes(folder.file("again")) == read_bytes(folder.file()));
}

TEST_CASE("model files: every norm variant", "[text]") {
  const Folder folder;
  for (const NormTraits& variant : kNormVariants) {
    CAPTURE(std::string(variant.name));
    const text::Model model = small_model(small_options(std::string(variant.name)));
    text::save_model(folder.file(), model);
    CHECK(same_bits(text::load_model(folder.file()).logits(kLines), model.logits(kLines)));
  }
}

namespace {

/// What load_model() says of a model file after `damage`.
template <class Damage>
std::string load_error(const Damage& damage) {
  static const TensorFile whole =
      test::saved_by([](const std::string& path) { text::save_model(path, small_model()); });
  return test::error_after(damage, whole, text::load_model);
}

std::string error_with(const std::string& key, const std::string& text) {
  return load_error([&](TensorFile& file) { file.metadata[key] = text; });
}

}  // namespace

TEST_CASE("model files: wrong metadata is refused in words", "[text]") {
  CHECK(contains(load_error([](TensorFile& file) { file.metadata.clear(); }),
                 "metadata: \"format\" is missing"));
  CHECK(contains(error_with("format", "mnist"), "a model of another task, \"mnist\""));
  CHECK(contains(error_with("version", "2"), "version: must be 1, is \"2\""));
  CHECK(contains(error_with("sise", "2"), "\"sise\" is not known"));
  for (const char* key : {"format", "version", "vocabulary", "labels", "size", "heads", "hidden",
                          "layers", "dropout", "pre_norm", "activation", "norm", "eps",
                          "denominator", "C", "k", "topk_share", "groups", "momentum"}) {
    const std::string message = load_error([&](TensorFile& file) { file.metadata.erase(key); });
    CHECK(contains(message, "\"" + std::string(key) + "\" is missing"));
  }
  struct Case {
    std::string key, text, reason;
  };
  const Case cases[] = {
      {"size", "", "size: must be a whole number, is \"\""},
      {"size", "8.0", "must be a whole number"},
      {"size", " 8", "must be a whole number"},
      {"size", "99999999999999999999", "must be a whole number"},
      {"size", "9223372036854775807", "\"embedding.weight\" must have shape"},
      {"size", "0", "\"embedding.weight\" must have shape"},
      {"heads", "3", "heads"},
      {"heads", "0", "heads"},
      {"hidden", "1000000000000", "\"encoder.0.up.weight\" must have shape [1000000000000, 8]"},
      {"hidden", "-1", "must have shape"},
      {"layers", "1000000000000", "\"encoder.2.attention.qkv.weight\" is missing"},
      {"layers", "1", "unexpected \"encoder.1."},
      {"layers", "0", "layers must be positive"},
      {"dropout", "nan", "must be a finite number"},
      {"dropout", "1e999", "must be a finite number"},
      {"dropout", "1", "dropout must be in [0, 1)"},
      {"pre_norm", "True", "must be true or false, is \"True\""},
      {"pre_norm", "false", "unexpected \"encoder.norm."},
      {"activation", "swish", "'swish'"},
      {"norm", "none", "unexpected"},
      {"norm", "rmsnorm", "unexpected"},
      {"norm", "x", "unknown variant 'x'"},
      {"eps", "-1", "eps must be finite and not negative"},
      {"denominator", "eps", "denominator must be"},
      {"topk_share", "2", "topk_share"},
      {"groups", "-1", "groups"},
      {"momentum", "2", "momentum"},
      {"vocabulary", "good\nbad", "\"embedding.weight\" must have shape [3, 8]"},
      {"vocabulary", "", "\"embedding.weight\" must have shape [1, 8]"},
      {"vocabulary", "a\nb\nb\nc", "each word must come once"},
      {"vocabulary", "a\nb c\nd\ne", "word 2 must be"},
      {"vocabulary", "a\n\nd\ne", "word 2 must be"},
      {"vocabulary", "a\nb\nc\n", "word 4 must be"},
      {"labels", "a\nb", "\"output.weight\" must have shape [2, 8]"},
      {"labels", "", "\"output.weight\" must have shape [0, 8]"},
      {"labels", "a\n\nb", "labels: each must have"},
  };
  for (const Case& c : cases) {
    const std::string message = error_with(c.key, c.text);
    CAPTURE(c.key, c.text, message);
    CHECK(contains(message, c.reason));
  }
}

TEST_CASE("model files: wrong tensors are refused in words", "[text]") {
  const auto with = [](const std::string& name, const Tensor& value) {
    return load_error([&](TensorFile& file) { file.tensors[name] = value; });
  };
  const TensorMap state = small_model().classifier->state();
  for (const auto& [name, tensor] : state) {
    const auto missing = load_error([&name = name](TensorFile& file) { file.tensors.erase(name); });
    CHECK(contains(missing, "\"" + name + "\""));
    CHECK(contains(missing, "missing"));
  }
  for (const std::string name : {"embedding.weight", "encoder.1.norm2.gain", "output.bias"}) {
    CHECK(contains(with(name, Tensor::zeros({7})), "\"" + name + "\" must have shape"));
    const Tensor other = Tensor::zeros(state.at(name).shape(), DType::float64);
    CHECK(contains(with(name, other), "must be float32"));
  }
  CHECK(contains(with("extra", Tensor::zeros({1})), "unexpected \"extra\""));
}

TEST_CASE("model files: files that are none", "[text]") {
  const Folder folder;
  CHECK_THROWS_AS(text::load_model(folder.file()), FileError);
  write_bytes(folder.file(), "no model");
  CHECK_THROWS_AS(text::load_model(folder.file()), FileError);
  save(folder.file(), {});
  CHECK(contains(error_of<FileError>([&] { text::load_model(folder.file()); }),
                 "\"format\" is missing"));
}

TEST_CASE("model files: damaged bytes are an error or a model, never a crash", "[text]") {
  const Folder folder;
  text::save_model(folder.file(), small_model());
  CHECK(refusals_of_damage(folder.file(), 1500,
                           [&] { text::load_model(folder.file()).logits(kLines); }) > 1000);
}

TEST_CASE("a classifier learns on the GPU as on the CPU", "[text][cuda]") {
  if (!test::has_device()) return;
  const Packed sentences = text::pack({{1, 2, 3}, {4}, {0, 0, 2, 1, 4, 3, 2}});
  const Tensor labels = integers({2, 0, 1});
  std::vector<std::vector<double>> results[2];
  for (const Device device : {Device::cpu, Device::cuda}) {
    manual_seed(3);
    text::ClassifierOptions options = small_options();
    options.encoder.dropout = 0.1;
    text::Classifier model(options);
    model.to(device);
    const Tensor logits =
        model.forward({sentences.tokens.to(device), sentences.offsets.to(device)});
    cross_entropy(logits, labels.to(device)).backward();
    auto& values = results[device == Device::cuda];
    values.push_back(logits.to_vector());
    values.push_back(model.forward(integers({1, 4, 2}).to(device)).to_vector());
    for (const Tensor& p : model.parameters()) values.push_back(p.grad().to_vector());
  }
  for (size_t k = 0; k < results[0].size(); ++k) {
    double worst = 0;
    for (size_t i = 0; i < results[0][k].size(); ++i)
      worst = std::max(worst, std::abs(results[0][k][i] - results[1][k][i]));
    CHECK(worst < 1e-5);
  }
}
