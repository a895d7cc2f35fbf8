#include "models/language/model.h"

#include "models/transformer_file.h"
#include "normlab/autograd.h"

namespace normlab::language {

void check_model(const char* op, const Model& model) {
  check<ArgumentError>(model.network != nullptr, op, "the model has no network");
  check<ArgumentError>(model.vocabulary.size() == model.network->options().vocabulary, op,
                       "the vocabulary must have the network's ",
                       model.network->options().vocabulary, " characters, it has ",
                       model.vocabulary.size(), " with the unknown one");
}

namespace {

constexpr ModelFormat kFormat = {"normlab.language_model", "1"};

/// Calls visit(name, member) for every setting beside vocabulary and norm; Options may be constant.
template <class Options, class Visit>
void for_settings(Options& o, const Visit& visit) {
  visit("context", o.context);
  visit("tied", o.tied);
  for_encoder_settings(o.encoder, visit);
}

/// The first two bound size and context, so that nothing overflows.
void check_matrices(const TensorMap& tensors, const LanguageModelOptions& options) {
  const int64_t size = options.encoder.size;
  check_matrix(tensors, "embedding.weight", {options.vocabulary, size});
  check_matrix(tensors, "positions.weight", {options.context, size});
  if (!options.tied) check_matrix(tensors, "output.weight", {options.vocabulary, size});
  check_encoder(tensors, options.encoder);
}

Model model_of(TensorFile file) {
  take_format(file.metadata, kFormat);
  Model model;
  model.vocabulary = Vocabulary(take_entry(file.metadata, "vocabulary"));
  LanguageModelOptions options;
  for_settings(options, taking("", file.metadata));
  options.encoder.norm = take_norm("", file.metadata);
  options.vocabulary = model.vocabulary.size();
  model.notes = notes_of(file.metadata);
  check_matrices(file.tensors, options);
  model.network = make_network<LanguageModel>(options);
  model.network->load_state(file.tensors);
  const NoGrad no_grad;
  model.network->forward(Tensor::zeros({1}, DType::int64));  // settings that no input can meet
  return model;
}

}  // namespace

void save_model(const std::string& path, const Model& model) {
  check_model("save_model", model);
  Metadata metadata;
  const LanguageModelOptions& options = model.network->options();
  for_settings(options, writing("", metadata));
  write_norm(options.encoder.norm, "", metadata);
  metadata["vocabulary"] = model.vocabulary.characters();
  write_model(path, kFormat, model.network->state(), std::move(metadata), model.notes);
}

Model load_model(const std::string& path) {
  return read_model(path, model_of);
}

}  // namespace normlab::language
