#include <algorithm>

#include "models/evaluation.h"
#include "models/transformer_file.h"
#include "normlab/autograd.h"
#include "normlab/text.h"

namespace normlab::text {
namespace {

constexpr ModelFormat kFormat = {"normlab.text_classifier", "1"};

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
  for_encoder_settings(o.encoder, visit);
}

struct Contents {
  Vocabulary vocabulary;
  std::vector<std::string> labels;
  ClassifierOptions options;
  Metadata notes;
};

Contents read_metadata(Metadata metadata) {
  take_format(metadata, kFormat);
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

/// The first bounds size, so that nothing overflows.
void check_matrices(const TensorMap& tensors, const ClassifierOptions& options) {
  check_matrix(tensors, "embedding.weight", {options.vocabulary, options.encoder.size});
  check_matrix(tensors, "output.weight", {options.classes, options.encoder.size});
  check_encoder(tensors, options.encoder);
}

Model model_of(TensorFile file) {
  Contents contents = read_metadata(std::move(file.metadata));
  check_matrices(file.tensors, contents.options);
  Model model{make_network<Classifier>(contents.options), std::move(contents.vocabulary),
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
  metadata["vocabulary"] = joined(model.vocabulary.words());
  metadata["labels"] = joined(model.labels);
  write_model(path, kFormat, model.classifier->state(), std::move(metadata), model.notes);
}

Model load_model(const std::string& path) {
  return read_model(path, model_of);
}

}  // namespace normlab::text
