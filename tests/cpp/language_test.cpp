#include "normlab/language.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"
#include "model_files.h"
#include "threads.h"

using namespace normlab;
using language::LanguageModel;
using language::LanguageModelOptions;
using language::Model;
using language::Vocabulary;
using language::Writer;
using test::contains;
using test::error_of;
using test::Folder;
using test::read_bytes;
using test::refusals_of_damage;
using test::same_bits;

namespace {

std::vector<int64_t> values(const Tensor& x) {
  return {x.data<int64_t>(), x.data<int64_t>() + x.numel()};
}

Tensor integers(const std::vector<int64_t>& list) {
  return Tensor::of<int64_t>({static_cast<int64_t>(list.size())}, list);
}

LanguageModelOptions small_options(const std::string& norm = "layernorm", bool tied = false) {
  LanguageModelOptions options{.vocabulary = 6, .context = 8, .tied = tied};
  options.encoder.size = 8;
  options.encoder.heads = 2;
  options.encoder.hidden = 12;
  options.encoder.layers = 2;
  options.encoder.dropout = 0.25;
  options.encoder.norm = norm;
  options.encoder.norm.settings.eps = 0.1;
  return options;
}

constexpr char kCharacters[] = "a\nb\xC3\xA9\xF0\x9F\x90\xBB";  // a, LF, b, e acute, a bear

Model small_model(const LanguageModelOptions& options = small_options()) {
  return {std::make_shared<LanguageModel>(options), Vocabulary(kCharacters), {{"task", "charlm"}}};
}

/// Logits of one sequence in evaluation mode.
Tensor logits_of(const Model& model, const std::vector<int64_t>& numbers) {
  model.network->eval();
  const NoGrad no_grad;
  return model.network->LanguageModel::forward(integers(numbers));
}

}  // namespace

// --- characters -------------------------------------------------------------------------------

TEST_CASE("language Vocabulary: characters by number", "[language]") {
  const Vocabulary vocabulary = Vocabulary::of(
      "b\xC3\xA9"
      "a\n\xF0\x9F\x90\xBB"
      "aab");
  CHECK(vocabulary.characters() == "\nab\xC3\xA9\xF0\x9F\x90\xBB");
  CHECK(vocabulary.size() == 6);
  CHECK(values(vocabulary.encode("ba\xF0\x9F\x90\xBB-\xC3\xA9")) ==
        std::vector<int64_t>{3, 2, 5, 0, 4});
  CHECK(vocabulary.character(4) == "\xC3\xA9");
  CHECK(vocabulary.character(0) == "\uFFFD");
  CHECK_THROWS_AS(vocabulary.character(6), RangeError);
  CHECK_THROWS_AS(vocabulary.character(-1), RangeError);
  CHECK(Vocabulary().size() == 1);
  CHECK(vocabulary.encode("").shape() == Shape{0});
}

TEST_CASE("language Vocabulary: refuses what is no text", "[language]") {
  CHECK(error_of<ArgumentError>([] {
          Vocabulary(
              "ab\xC3\xA9"
              "b");
        }) == "Vocabulary: each character must come once, \"b\" is number 2 and 4");
  CHECK(contains(error_of<ArgumentError>([] { Vocabulary("a\xFF"); }), "at byte 1 it is not"));
  CHECK(contains(error_of<ArgumentError>([] { Vocabulary::of(std::string_view("a\0b", 3)); }),
                 "byte 1 of the text is NUL"));
  CHECK_THROWS_AS(Vocabulary("a").encode("\xED\xA0\x80"), ArgumentError);  // half a pair
}

// --- network ----------------------------------------------------------------------------------

TEST_CASE("LanguageModel: a character sees itself and those before it alone", "[language]") {
  for (const bool tied : {false, true}) {
    const Model model = small_model(small_options("layernorm", tied));
    const Tensor all = logits_of(model, {1, 2, 3, 4, 5});
    CHECK(all.shape() == Shape{5, 6});
    const Tensor changed = logits_of(model, {1, 2, 3, 1, 1});
    const Tensor difference = abs(all - changed);
    for (const int64_t row : {0, 1, 2}) CHECK(max(difference[row]).item() < 1e-6);
    CHECK(max(difference[3]).item() > 1e-3);
  }
}

TEST_CASE("LanguageModel: gradients reach all parameters", "[language]") {
  for (const bool tied : {false, true}) {
    LanguageModelOptions options = small_options("layernorm", tied);
    options.encoder.dropout = 0;
    options.encoder.activation = Activation::gelu;
    LanguageModel network(options);
    network.to(DType::float64);
    std::vector<Tensor> parameters = network.parameters();
    const text::Packed packed = text::pack({{1, 2, 3}, {0, 5, 4, 4, 1}});
    const Tensor targets = integers({2, 3, 1, 5, 4, 4, 1, 2});
    cross_entropy(network.forward(packed), targets).backward();
    const NoGrad no_grad;
    for (const auto& [name, parameter] : network.named_parameters()) {
      CAPTURE(tied, name);
      Tensor flat = parameter.detach().reshape({parameter.numel()});
      const std::vector<double> found = parameter.grad().to_vector();
      double worst = 0;
      for (int64_t i = 0; i < flat.numel(); i += 5) {
        double* at = flat.data<double>() + i;
        const double here = *at, h = 1e-6;
        *at = here + h;
        const double above = cross_entropy(network.forward(packed), targets).item();
        *at = here - h;
        const double below = cross_entropy(network.forward(packed), targets).item();
        *at = here;
        worst =
            std::max(worst, std::abs((above - below) / (2 * h) - found[static_cast<size_t>(i)]));
      }
      CHECK(worst < 1e-7);
    }
  }
}

TEST_CASE("LanguageModel: a tied output has no weights of its own", "[language]") {
  const Model model = small_model(small_options("layernorm", true));
  CHECK_FALSE(model.network->state().contains("output.weight"));
  CHECK(model.network->state().contains("embedding.weight"));
  CHECK(small_model().network->state().contains("output.bias"));
}

TEST_CASE("LanguageModel: with a cache as without", "[language]") {
  for (const NormTraits& variant : kNormVariants) {
    if (variant.group == Group::batch) continue;  // in training alone
    CAPTURE(std::string(variant.name));
    const Model model = small_model(small_options(std::string(variant.name)));
    const std::vector<int64_t> numbers = {1, 5, 2, 2, 0, 3, 4, 1};
    const Tensor whole = logits_of(model, numbers);
    const NoGrad no_grad;
    nn::KeyValueCache cache;
    std::vector<Tensor> parts;
    for (const auto& [from, to] : std::vector<std::pair<int, int>>{{0, 3}, {3, 4}, {4, 8}})
      parts.push_back(model.network->forward(
          text::pack({{numbers.begin() + from, numbers.begin() + to}}), cache));
    for (int64_t row = 0, part = 0, at = 0; row < 8; ++row, ++at) {
      if (at == parts[static_cast<size_t>(part)].size(0)) {
        ++part;
        at = 0;
      }
      CHECK(max(abs(whole[row] - parts[static_cast<size_t>(part)][at])).item() < 1e-4);
    }
    CHECK(
        contains(error_of<ArgumentError>([&] { model.network->forward(text::pack({{1}}), cache); }),
                 "at most 8 characters, the context; sequence 0 has 9"));
  }
}

TEST_CASE("LanguageModel: refuses what does not fit", "[language]") {
  const Model model = small_model();
  CHECK(contains(error_of<ArgumentError>([&] {
                   model.network->forward(text::pack({{1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}}));
                 }),
                 "at most 8 characters, the context; sequence 1 has 9"));
  CHECK_THROWS_AS(model.network->LanguageModel::forward(integers({6})), RangeError);
  CHECK_THROWS_AS(model.network->LanguageModel::forward(Tensor::zeros({2, 2}, DType::int64)),
                  ShapeError);
  CHECK_THROWS_AS(LanguageModel({.vocabulary = 0}), ArgumentError);
  CHECK_THROWS_AS(LanguageModel({.vocabulary = 3, .context = 0}), ArgumentError);
  CHECK_THROWS_AS(LanguageModel({.vocabulary = 3, .encoder = {.size = 0}}), ArgumentError);
}

// --- generation -------------------------------------------------------------------------------

TEST_CASE("Writer: greedy takes the likeliest known character", "[language]") {
  const Model model = small_model();
  Tensor bias = model.network->state().at("output.bias");
  bias.data<float>()[Vocabulary::kUnknown] = 100;
  std::vector<int64_t> numbers = {1};
  std::string expected;
  for (int i = 0; i < 7; ++i) {
    const Tensor logits = logits_of(model, numbers)[static_cast<int64_t>(numbers.size()) - 1];
    const float* z = logits.data<float>();
    numbers.push_back(std::max_element(z + 1, z + 6) - z);
    expected += model.vocabulary.character(numbers.back());
  }
  CHECK(language::generate(model, "a", 7, {.temperature = 0}) == expected);
  CHECK(language::generate(model, "a", 7, {.top_k = 1, .seed = 3}) == expected);
}

TEST_CASE("Writer: the same characters for a seed with any number of threads", "[language]") {
  const Model model = small_model();
  const auto write = [&](const language::Sampling& sampling) {
    return language::generate(model, "ab\xC3\xA9", 60, sampling);
  };
  const std::string first = write({.seed = 1});
  CHECK(first == write({.seed = 1}));
  CHECK(first != write({.seed = 2}));
  CHECK(first != write({.temperature = 0.1, .seed = 1}));
  for (const int threads : {1, 3})
    CHECK(test::with_threads(threads, [&] { return write({.seed = 1}); }) == first);
  manual_seed(5);
  const uint64_t before = default_generator().offset();
  Writer writer(model, "ab\xC3\xA9", {.seed = 1});
  std::string text;
  for (int i = 0; i < 60; ++i) text += writer.next();
  CHECK(text == first);
  CHECK(default_generator().offset() == before);
  CHECK(model.network->training());
}

TEST_CASE("Writer: draws are as likely as the network says", "[language]") {
  const Model model = small_model();
  const Tensor logits = logits_of(model, {2})[0];
  for (const double temperature : {0.5, 1.0, 2.0})
    for (const int64_t top_k : {int64_t{0}, int64_t{3}}) {
      std::vector<std::pair<double, int64_t>> order;
      for (int64_t i = 1; i < 6; ++i) order.emplace_back(-logits.data<float>()[i], i);
      std::ranges::sort(order);
      if (top_k) order.resize(static_cast<size_t>(top_k));
      double sum = 0;
      std::map<std::string, double> expected;
      for (const auto& [z, i] : order) sum += std::exp(-z / temperature);
      for (const auto& [z, i] : order)
        expected[model.vocabulary.character(i)] = std::exp(-z / temperature) / sum;
      std::map<std::string, double> found;
      constexpr int kDraws = 4000;
      for (uint64_t seed = 0; seed < kDraws; ++seed)
        found[Writer(model, "\n", {temperature, top_k, seed}).next()] += 1.0 / kDraws;
      for (const auto& [character, share] : found) {
        CAPTURE(temperature, top_k, character);
        CHECK(expected.contains(character));
        CHECK(std::abs(share - expected[character]) < 5 * std::sqrt(0.25 / kDraws));
      }
    }
}

TEST_CASE("Writer: a full context slides on", "[language]") {
  const Model model = small_model();  // of context 8
  const language::Sampling greedy{.temperature = 0};
  const std::string all = language::generate(model, "a", 40, greedy);
  const Tensor numbers = model.vocabulary.encode("a" + all);
  const int64_t* n = numbers.data<int64_t>();
  // What the cache holds after character i: up to 8, then the newer 4 of them and more again.
  std::vector<int64_t> seen;
  for (int64_t i = 0; i < 40; ++i) {
    seen.push_back(n[i]);
    if (seen.size() > 8) seen.erase(seen.begin(), seen.end() - 4);
    const Tensor logits = logits_of(model, seen)[static_cast<int64_t>(seen.size()) - 1];
    const float* z = logits.data<float>();
    CAPTURE(i);
    CHECK(std::max_element(z + 1, z + 6) - z == n[i + 1]);
  }
  const std::string prompt = "abababab\nabababab";
  CHECK(language::generate(model, prompt, 20, greedy) ==
        language::generate(model, prompt.substr(prompt.size() - 8), 20, greedy));
  LanguageModelOptions shortest = small_options();
  shortest.context = 1;
  CHECK(language::generate(small_model(shortest), "ab", 5, greedy).size() >= 5);
}

TEST_CASE("Writer: refuses what does not fit", "[language]") {
  const Model model = small_model();
  const auto error = [&](std::string_view prompt, const language::Sampling& sampling = {}) {
    return error_of<ArgumentError>([&] { Writer(model, prompt, sampling); });
  };
  CHECK(contains(error(""), "the prompt must have a character or more"));
  CHECK(contains(error("a\xC3\xA9z"), "does not know character 3 of the prompt, \"z\""));
  CHECK(contains(error("a\xFF"), "at byte 1 it is not"));
  CHECK(contains(error("a", {.temperature = -1}), "temperature must be finite and 0 or more"));
  CHECK(contains(error("a", {.temperature = std::nan("")}), "temperature must be finite"));
  CHECK(contains(error("a", {.top_k = -1}), "top_k must be 1 or more"));
  CHECK_THROWS_AS(language::generate(model, "a", -1), ArgumentError);
  CHECK(language::generate(model, "a", 0).empty());
  CHECK_THROWS_AS(Writer({model.network, Vocabulary("ab")}, "a"), ArgumentError);
  CHECK_THROWS_AS(Writer({nullptr, Vocabulary("ab")}, "a"), ArgumentError);
}

// --- model files ------------------------------------------------------------------------------

TEST_CASE("language model files: everything comes back, bit for bit", "[language]") {
  const Folder folder;
  for (const NormTraits& variant : kNormVariants)
    for (const bool tied : {false, true}) {
      CAPTURE(std::string(variant.name), tied);
      const Model model = small_model(small_options(std::string(variant.name), tied));
      language::save_model(folder.file(), model);
      manual_seed(9);
      const Model loaded = language::load_model(folder.file());
      CHECK(default_generator().offset() == 0);
      CHECK_FALSE(loaded.network->training());
      CHECK(loaded.vocabulary.characters() == kCharacters);
      CHECK(loaded.notes == model.notes);
      CHECK(loaded.network->options().context == 8);
      CHECK(same_bits(logits_of(loaded, {1, 2, 3, 0}), logits_of(model, {1, 2, 3, 0})));
      language::save_model(folder.file("again"), loaded);
      CHECK(read_bytes(folder.file("again")) == read_bytes(folder.file()));
    }
}

namespace {

/// What load_model() says of a model file after `damage`.
template <class Damage>
std::string load_error(const Damage& damage) {
  static const TensorFile whole =
      test::saved_by([](const std::string& path) { language::save_model(path, small_model()); });
  return test::error_after(damage, whole, language::load_model);
}

}  // namespace

TEST_CASE("language model files: wrong ones are refused in words", "[language]") {
  struct Case {
    std::string key, text, reason;
  };
  const Case cases[] = {
      {"format", "normlab.parser", "a model of another task, \"normlab.parser\""},
      {"version", "2", "version: must be 1, is \"2\""},
      {"sise", "2", "\"sise\" is not known"},
      {"size", "9223372036854775807", "\"embedding.weight\" must have shape"},
      {"context", "1000000000000", "\"positions.weight\" must have shape [1000000000000, 8]"},
      {"context", "0", "\"positions.weight\" must have shape"},
      {"tied", "true", "unexpected \"output."},
      {"tied", "yes", "tied: must be true or false"},
      {"hidden", "1000000000000", "\"encoder.0.up.weight\" must have shape [1000000000000, 8]"},
      {"layers", "1000000000000", "\"encoder.2.attention.qkv.weight\" is missing"},
      {"vocabulary", "abcdd", "each character must come once"},
      {"vocabulary", "abcd", "\"embedding.weight\" must have shape [5, 8]"},
  };
  for (const Case& c : cases) {
    const std::string message =
        load_error([&](TensorFile& file) { file.metadata[c.key] = c.text; });
    CAPTURE(c.key, c.text, message);
    CHECK(contains(message, c.reason));
  }
  for (const char* key : {"format", "version", "vocabulary", "context", "tied", "size", "heads",
                          "hidden", "layers", "dropout", "pre_norm", "activation", "norm", "eps"})
    CHECK(contains(load_error([&](TensorFile& file) { file.metadata.erase(key); }),
                   "\"" + std::string(key) + "\" is missing"));
  for (const auto& [name, tensor] : small_model().network->state())
    CHECK(contains(load_error([&name = name](TensorFile& file) { file.tensors.erase(name); }),
                   "\"" + name + "\""));
  Model wrong = small_model();
  wrong.vocabulary = Vocabulary("ab");
  const Folder folder;
  CHECK(contains(error_of<ArgumentError>([&] { language::save_model(folder.file(), wrong); }),
                 "6 characters, it has 3 with the unknown one"));
}

TEST_CASE("language model files: damaged bytes are an error or a model", "[language]") {
  const Folder folder;
  language::save_model(folder.file(), small_model());
  CHECK(refusals_of_damage(folder.file(), 1000, [&] {
          logits_of(language::load_model(folder.file()), {1, 2});
        }) > 600);
}
