#include <algorithm>

#include "core/state.h"
#include "models/evaluation.h"
#include "models/model_file.h"
#include "normlab/autograd.h"
#include "normlab/text.h"

namespace normlab::text {
namespace {

constexpr char kFormat[] = "normlab.text_classifier";
constexpr char kVersion[] = "1";

void check_model(const char* op, const Model& model) {
  check<ArgumentError>(model.classifier != nullptr, op, "the model has no classifier");
  const ClassifierOptions& options = model.classifier->options();
  check<ArgumentError>(model.vocabulary.size() == options.vocabulary, op,
                       "the vocabulary must have the classifier's ", options.vocabulary,
                       " words, it has ", model.vocabulary.size(), " with the unknown one");
  check<ArgumentError>(static_cast<int64_t>(model.labels.size()) == options.classes, op,
                       "there must be a label for each of ", options.classes, " classes, got ",
                       model.labels.size());
}

// --- labelling --------------------------------------------------------------------------------

/// Logits [classes] of a line, on the CPU; without gradients and in evaluation mode.
Tensor logits_of(std::string_view line, const Model& model) {
  const std::vector<std::string> words = tokenize(line);
  Tensor numbers = Tensor::empty({static_cast<int64_t>(words.size())}, DType::int64);
  std::ranges::transform(words, numbers.data<int64_t>(),
                         [&](const std::string& word) { return model.vocabulary.number(word); });
  const Device device = model.classifier->parameters().front().device();
  return model.classifier->Classifier::forward(numbers.to(device)).to(Device::cpu);
}

}  // namespace

Tensor Model::logits(const std::vector<std::string>& lines) const {
  check_model("logits", *this);
  const NoGrad no_grad;
  const Evaluation evaluation(*classifier);
  Tensor all = Tensor::empty({static_cast<int64_t>(lines.size()), classifier->options().classes});
  // Each line on its own: the last bits of a product depend on its number of rows, and batches are
  // hardly faster where nothing is kept for a backward pass.
  for (size_t i = 0; i < lines.size(); ++i) {
    try {
      all[static_cast<int64_t>(i)].copy_(logits_of(lines[i], *this));
    } catch (const ArgumentError& error) {
      fail<ArgumentError>("logits", "line ", i, ": ", error.what());
    }
  }
  return all;
}

std::pair<Tensor, std::string> Model::label(std::string_view line) const {
  check_model("label", *this);
  const NoGrad no_grad;
  const Evaluation evaluation(*classifier);
  const Tensor logits = logits_of(line, *this);
  const float* first = logits.data<float>();
  return {logits,
          labels[static_cast<size_t>(std::max_element(first, first + logits.numel()) - first)]};
}

// --- files ------------------------------------------------------------------------------------

namespace {

void check_labels(const std::vector<std::string>& labels) {
  for (const std::string& label : labels)
    check<ArgumentError>(!label.empty() && label.find('\n') == std::string::npos, "labels",
                         "each must have one line of text, got ", json_excerpt(label));
}

/// Calls visit(name, member) for every setting beside vocabulary, classes and norm; Options may be
/// constant.
template <class Options, class Visit>
void for_settings(Options& o, const Visit& visit) {
  visit("position_scale", o.position_scale);
  visit("size", o.encoder.size);
  visit("heads", o.encoder.heads);
  visit("hidden", o.encoder.hidden);
  visit("layers", o.encoder.layers);
  visit("dropout", o.encoder.dropout);
  visit("pre_norm", o.encoder.pre_norm);
  visit("activation", o.encoder.activation);
}

struct Contents {
  Vocabulary vocabulary;
  std::vector<std::string> labels;
  ClassifierOptions options;
  Metadata notes;
};

Contents read_metadata(Metadata metadata) {
  take_format(metadata, kFormat, kVersion);
  Contents contents;
  contents.vocabulary = Vocabulary(split_lines(take_entry(metadata, "vocabulary")));
  contents.labels = split_lines(take_entry(metadata, "labels"));
  check_labels(contents.labels);
  for_settings(contents.options, taking("", metadata));
  contents.options.encoder.norm = take_norm("", metadata);
  contents.options.vocabulary = contents.vocabulary.size();
  contents.options.classes = static_cast<int64_t>(contents.labels.size());
  contents.notes = notes_of(metadata);
  return contents;
}

/// All matrices must be there before a network is built: settings alone could ask for any size.
/// The first bounds size, so that nothing overflows.
void check_matrices(const TensorMap& tensors, const ClassifierOptions& options) {
  const nn::TransformerOptions& o = options.encoder;
  check_matrix(tensors, "embedding.weight", {options.vocabulary, o.size});
  check_matrix(tensors, "output.weight", {options.classes, o.size});
  for (int64_t i = 0; i < o.layers; ++i) {
    const std::string layer = "encoder." + std::to_string(i) + ".";
    check_matrix(tensors, layer + "attention.qkv.weight", {3 * o.size, o.size});
    check_matrix(tensors, layer + "attention.out.weight", {o.size, o.size});
    check_matrix(tensors, layer + "up.weight", {o.hidden, o.size});
    check_matrix(tensors, layer + "down.weight", {o.size, o.hidden});
  }
}

/// A new classifier; this thread's random numbers go on as if there had been none.
std::shared_ptr<Classifier> make_classifier(const ClassifierOptions& options) {
  const Generator before = default_generator();
  auto classifier = std::make_shared<Classifier>(options);
  default_generator() = before;
  classifier->eval();
  return classifier;
}

Model model_of(TensorFile file) {
  Contents contents = read_metadata(std::move(file.metadata));
  check_matrices(file.tensors, contents.options);
  Model model{make_classifier(contents.options), std::move(contents.vocabulary),
              std::move(contents.labels), std::move(contents.notes)};
  model.classifier->load_state(file.tensors);
  const NoGrad no_grad;
  model.classifier->forward(Tensor::zeros({1}, DType::int64));  // settings that no input can meet
  return model;
}

}  // namespace

void save_model(const std::string& path, const Model& model) {
  check_model("save_model", model);
  check_labels(model.labels);
  Metadata metadata;
  const ClassifierOptions& options = model.classifier->options();
  for_settings(options, writing("", metadata));
  write_norm(options.encoder.norm, "", metadata);
  metadata["format"] = kFormat;
  metadata["version"] = kVersion;
  metadata["vocabulary"] = joined(model.vocabulary.words());
  metadata["labels"] = joined(model.labels);
  add_notes(model.notes, metadata);
  const TensorMap tensors = model.classifier->state();
  check_finite("save_model", tensors);
  save(path, tensors, metadata);
}

Model load_model(const std::string& path) {
  return read_model(path, model_of);
}

}  // namespace normlab::text
