#include "normlab/translate.h"

#include <cmath>
#include <random>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "model_files.h"
#include "normlab/autograd.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::Folder;
using test::refusals_of_damage;
using test::with_threads;
using namespace translate;

namespace {

using Pieces = std::vector<std::string>;
using Sentences = std::vector<std::vector<int64_t>>;

constexpr int64_t kVocabulary = 30;

/// Not trained; its logits are spread, so that translations differ.
std::shared_ptr<Translator> toy(TranslatorOptions options = {}) {
  options.source_vocabulary = options.target_vocabulary = kVocabulary;
  options.positions = 40;
  options.decoder_layers = 2;
  options.network = {.size = 16, .heads = 2, .hidden = 24, .layers = 2, .dropout = 0.1};
  auto net = std::make_shared<Translator>(options);
  for (Tensor x : net->parameters()) {
    Tensor values = x.detach();
    values.copy_(values * 1.5);
  }
  net->eval();
  return net;
}

Sentences sentences(size_t n, unsigned seed) {
  std::mt19937 random(seed);
  Sentences made(n);
  for (auto& sentence : made) {
    sentence.resize(1 + random() % 9);
    for (int64_t& token : sentence) token = 3 + static_cast<int64_t>(random() % 27);
  }
  return made;
}

Sentences tokens(const std::vector<Hypothesis>& found) {
  Sentences made;
  for (const Hypothesis& each : found) made.push_back(each.tokens);
  return made;
}

Model toy_model() {
  Pieces pieces = {"\u2581"};
  for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
  const Subwords subwords(pieces);
  REQUIRE(subwords.size() == kVocabulary);
  return {toy(), subwords, subwords, "en", "de", {{"task", "translate"}}};
}

}  // namespace

TEST_CASE("subwords: the first pieces are joined first, equals from the left", "[translate]") {
  const Subwords subwords({"ab", "bc", "aa", "a", "b", "c", "\u2581"});
  CHECK(subwords.split("abc") == Pieces{"\u2581", "ab", "c"});
  CHECK(subwords.split("aaa") == Pieces{"\u2581", "aa", "a"});
  CHECK(subwords.split("  b  xy ") == Pieces{"\u2581", "b", "\u2581", "xy"});
  CHECK(subwords.split(" ").empty());
  CHECK(subwords.split("a\xFF\xC3") == Pieces{"\u2581", "a", "\uFFFD\uFFFD"});
  CHECK(subwords.encode("abc x") == std::vector<int64_t>{9, 3, 8, 9, 0});
  CHECK(subwords.decode({1, 9, 3, 9, 8, 0, 2}) == "ab c \u2047 ");
  CHECK(error_of<ArgumentError>([] { Subwords({"a", "a"}); }).find("once") != std::string::npos);
}

TEST_CASE("translator: gradients of shared tables", "[translate][grad]") {
  const bool embeddings = GENERATE(false, true), output = GENERATE(false, true);
  const auto net = toy({.share_embeddings = embeddings, .share_output = output});
  net->to(DType::float64);
  const text::Packed source = text::pack({{5, 6, 2}, {7, 2}});
  const text::Packed target = text::pack({{1, 8}, {1, 9, 10}});
  const Tensor w = randn({5, kVocabulary}).to(DType::float64);
  for (const auto& [name, parameter] : net->named_parameters()) {
    if (name != "target.weight" && name != "source.weight" && name != "output.weight") continue;
    CAPTURE(name);
    net->zero_grad();
    sum(w * net->forward(source, target)).backward();
    Tensor x = parameter.detach();
    const Tensor before = x.clone(), grad = parameter.grad().clone();
    const Tensor along = randn(x.shape()).to(DType::float64);
    const auto moved = [&](double step) {
      const NoGrad no_grad;
      x.copy_(before + along * step);
      const double value = sum(w * net->forward(source, target)).item();
      x.copy_(before);
      return value;
    };
    const double expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
    CHECK(std::abs(sum(grad * along).item() - expected) < 1e-6 * (1 + std::abs(expected)));
  }
}

TEST_CASE("search: nothing depends on company and threads", "[translate]") {
  const auto net = toy();
  const Sentences sources = sentences(40, 1);
  for (const int64_t beam : {1, 5}) {
    const Sentences expected = tokens(search(*net, sources, {.beam = beam}));
    for (size_t i = 0; i < sources.size(); ++i)
      CHECK(search(*net, {sources[i]}, {.beam = beam}).front().tokens == expected[i]);
    for (const int64_t together : {1, 7, 40})
      CHECK(tokens(search(*net, sources, {.beam = beam, .sentences = together})) == expected);
    for (const int threads : {1, 3})
      CHECK(with_threads(threads, [&] { return tokens(search(*net, sources, {.beam = beam})); }) ==
            expected);
  }
}

TEST_CASE("translator: a file gives the same translations", "[translate]") {
  const Model model = toy_model();
  const Folder folder;
  save_model(folder.file(), model);
  const Model read = load_model(folder.file());
  const Pieces lines = {"the cat", "", "zebra \U0001F600", "x"};
  CHECK(read.translate(lines) == model.translate(lines));
  CHECK(read.translate(lines)[1].empty());
  CHECK(read.notes == model.notes);
  CHECK(error_of<ArgumentError>([&] { read.translate({std::string(60, 'q')}); }) ==
        "translate: the line has 61 subwords, the model takes at most 39: divide it");
}

TEST_CASE("translator files: damaged bytes are an error or a model", "[translate]") {
  const Folder folder;
  save_model(folder.file(), toy_model());
  CHECK(refusals_of_damage(folder.file(), 300, [&] {
          load_model(folder.file()).translate({"the cat"}, {.beam = 2});
        }) > 150);
}
