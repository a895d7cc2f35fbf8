#include <cmath>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::error_of;
using test::max_difference;

namespace {

/// Sentences of a toy language: "the big dog sees the cat", subject and object under the verb.
std::vector<parse::Sentence> treebank(int64_t n, uint64_t seed) {
  const std::vector<std::string> nouns = {"dog", "cat", "man", "tree"}, verbs = {"sees", "likes"};
  Generator generator(seed);
  const auto draw = [&](int64_t high) {
    return static_cast<int64_t>(randint(0, high, {1}, generator).item());
  };
  std::vector<parse::Sentence> sentences;
  for (int64_t i = 0; i < n; ++i) {
    parse::Sentence s;
    const auto add = [&](const std::string& form, const std::string& tag, int64_t head,
                         const std::string& label) {
      parse::Word word;
      word.form = form;
      word.upos = tag;
      word.head = static_cast<int32_t>(head);
      word.deprel = label;
      s.words.push_back(word);
    };
    const auto phrase = [&](int64_t adjectives, int64_t verb, const std::string& label) {
      const int64_t noun = static_cast<int64_t>(s.words.size()) + adjectives + 2;
      add("the", "DET", noun, "det");
      for (int64_t a = 0; a < adjectives; ++a) add("big", "ADJ", noun, "amod");
      add(nouns[draw(4)], "NOUN", verb, label);
    };
    const int64_t before = draw(3), verb = before + 3;
    phrase(before, verb, "nsubj");
    add(verbs[draw(2)], "VERB", 0, "root");
    phrase(draw(3), verb, "obj");
    sentences.push_back(s);
  }
  return sentences;
}

parse::NetworkOptions options_for(const parse::Vocabulary& vocabulary) {
  parse::NetworkOptions options;
  options.rows = vocabulary.size();
  options.classes = vocabulary.transitions().classes();
  options.embedding = 10;
  options.hidden = 32;
  options.dropout = 0.1;
  return options;
}

double share_right(parse::Network& network, const parse::Examples& examples, const Tensor& masks) {
  const NoGrad no_grad;
  network.eval();
  const Tensor illegal = logical_not(take(masks, examples.moves.to(DType::int64)));
  const Tensor best = argmax(masked_fill(network(examples.features), illegal, -1e9), 1);
  network.train();
  return mean(compare(best, examples.classes, Comparison::eq).to(DType::float32)).item();
}

}  // namespace

TEST_CASE("the parser's network learns a toy language under every kind of norm", "[parse]") {
  const std::string norm = GENERATE("none", "layernorm", "adanorm", "detachnorm");
  const std::string activation = GENERATE("cube", "relu");
  CAPTURE(norm, activation);
  const std::vector<parse::Sentence> sentences = treebank(60, 1), others = treebank(20, 2);
  const parse::Vocabulary vocabulary = parse::Vocabulary::of(sentences);
  const parse::Examples examples = parse::examples(sentences, vocabulary);
  const Tensor masks = vocabulary.transitions().masks();
  manual_seed(3);
  parse::NetworkOptions options = options_for(vocabulary);
  options.norm = norm;
  options.activation = parse::hidden_activation_named(activation);
  parse::Network network(options);
  optim::Adam optimizer(network.parameters(), 0.01);
  for (int step = 0; step < 150; ++step) {
    optimizer.zero_grad();
    parse::transition_loss(network(examples.features), masks, examples.classes, examples.moves)
        .backward();
    optimizer.step();
  }
  CHECK(share_right(network, parse::examples(others, vocabulary), masks) > 0.97);
}

TEST_CASE("transition_loss is softmax over what is legal", "[parse]") {
  const parse::Transitions transitions(2, 1);
  const Tensor masks = transitions.masks();
  const Tensor logits = Tensor::of<float>({2, 5}, {1, 2, 3, 4, 5, 5, 4, 3, 2, 1});
  const Tensor classes = Tensor::of<int64_t>({2}, {0, 1});
  const Tensor moves =
      Tensor::of<uint8_t>({2}, {uint8_t(parse::Moves::shift), uint8_t(parse::Moves::any)});
  double total = 0;
  for (int64_t j = 0; j < 5; ++j)
    if (transitions.legal(parse::Moves::any, static_cast<int32_t>(j)))
      total += std::exp(5.0 - static_cast<double>(j));
  // Only shift is legal in the first row: its loss is 0.
  const double expected = (0 + std::log(total) - 4) / 2;
  CHECK(std::abs(parse::transition_loss(logits, masks, classes, moves).item() - expected) < 1e-6);
}

TEST_CASE("the parser's network refuses what does not fit", "[parse]") {
  parse::NetworkOptions options;
  options.rows = 9;
  options.classes = 3;
  options.hidden = 4;
  parse::Network network(options);
  CHECK(error_of<ShapeError>([&] {
          network(Tensor::zeros({2, 47}, DType::int32));
        }) == "Network: features must be [N, 48], got [2, 47]");
  CHECK(error_of<RangeError>([&] {
          network(Tensor::full({1, 48}, 9, DType::int32));
        }) == "feature_linear: features must be in [0, 9), got 9 at [0, 0]");
  options.rows = 0;
  CHECK(error_of<ArgumentError>([&] { parse::Network{options}; }) ==
        "Network: rows, classes, features, embedding and hidden must be positive, got 0, 3, 48, 50 "
        "and 4");
  CHECK(error_of<ArgumentError>([&] { parse::hidden_activation_named("gelu"); }) ==
        "activation: must be 'cube' or 'relu', got 'gelu'");
}

TEST_CASE("a parser's network learns on the GPU as on the CPU", "[parse][cuda]") {
  if (!test::has_device()) return;
  Generator generator(5);
  const Tensor features = randint(0, 30, {20, 48}, generator).to(DType::int32);
  const Tensor masks = Tensor::of<int32_t>({2, 3}, {1, 1, 0, 1, 1, 1}).to(DType::boolean);
  const Tensor moves = randint(0, 2, {20}, generator).to(DType::uint8);
  const Tensor classes = randint(0, 2, {20}, generator);
  for (const bool input_norm : {false, true}) {
    std::vector<std::vector<double>> results[2];
    for (const Device device : {Device::cpu, Device::cuda}) {
      manual_seed(3);
      parse::NetworkOptions options;
      options.rows = 30;
      options.classes = 3;
      options.embedding = 4;
      options.hidden = 16;
      options.input_norm = input_norm;
      parse::Network network(options);
      network.to(device);
      const Tensor logits = network.forward(features.to(device));
      const Tensor loss =
          parse::transition_loss(logits, masks.to(device), classes.to(device), moves.to(device));
      loss.backward();
      auto& values = results[device == Device::cuda];
      values.push_back(logits.to_vector());
      values.push_back(loss.to_vector());
      for (const Tensor& p : network.parameters()) values.push_back(p.grad().to_vector());
    }
    for (size_t k = 0; k < results[0].size(); ++k) {
      CAPTURE(input_norm, k);
      double worst = 0;
      for (size_t i = 0; i < results[0][k].size(); ++i)
        worst = std::max(worst, std::abs(results[0][k][i] - results[1][k][i]));
      CHECK(worst < 1e-4);
    }
  }
}
