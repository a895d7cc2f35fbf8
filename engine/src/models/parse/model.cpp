#include "models/parse/model.h"

#include "models/model_file.h"
#include "normlab/autograd.h"

namespace normlab::parse {

// --- settings ---------------------------------------------------------------------------------

// Found by the type of the argument, so not in a namespace without a name.
static std::string text_of(HiddenActivation value) {
  return name_of(value);
}
static bool value_from(const std::string& text, HiddenActivation& value) {
  value = hidden_activation_named(text);
  return true;
}
static constexpr const char* kTagNames[] = {"upos", "xpos", "both"};
static std::string text_of(Tags value) {
  return kTagNames[static_cast<size_t>(value)];
}
static bool value_from(const std::string& text, Tags& value) {
  for (size_t i = 0; i < std::size(kTagNames); ++i)
    if (text == kTagNames[i]) {
      value = static_cast<Tags>(i);
      return true;
    }
  fail<ArgumentError>("tag", "must be 'upos', 'xpos' or 'both', got ", json_excerpt(text));
}

namespace {

constexpr ModelFormat kFormat = {"normlab.parser", "1"};

/// Calls visit(name, member) for every setting of a network; Options may be constant.
template <class Options, class Visit>
void for_network_settings(Options& o, const Visit& visit) {
  visit("embedding", o.embedding);
  visit("hidden", o.hidden);
  visit("activation", o.activation);
  visit("dropout", o.dropout);
  visit("input_norm", o.input_norm);
}
/// The same for a vocabulary.
template <class Options, class Visit>
void for_vocabulary_settings(Options& o, const Visit& visit) {
  visit("least", o.least);
  visit("lower", o.lower);
  visit("digits", o.digits);
  visit("tag", o.tags);
}

// --- checks -----------------------------------------------------------------------------------

void check_network(const char* op, const char* what, const std::shared_ptr<Network>& network,
                   int64_t rows, int64_t features, int64_t classes) {
  check<ArgumentError>(network != nullptr, op, "the model has no ", what, " network");
  const NetworkOptions& o = network->options();
  check<ArgumentError>(o.rows == rows && o.features == features && o.classes == classes, op, "the ",
                       what, "'s network must have ", rows, " rows, ", features, " features and ",
                       classes, " classes, as its vocabulary has, it has ", o.rows, ", ",
                       o.features, " and ", o.classes);
}

}  // namespace

void check_model(const char* op, const Model& model) {
  check_network(op, "parser", model.network, model.vocabulary.size(), kFeatures,
                model.vocabulary.transitions().classes());
  if (model.tagger)
    check_network(op, "tagger", model.tagger->network, model.tagger->vocabulary.size(),
                  kTagFeatures, static_cast<int64_t>(model.tagger->vocabulary.tags().size()));
}

// --- files ------------------------------------------------------------------------------------

namespace {

void add_tensors(const std::string& prefix, const Network& network, TensorMap& tensors) {
  for (const auto& [name, value] : network.state()) tensors[prefix + name] = value;
}

TensorMap tensors_of(const std::string& prefix, const TensorMap& tensors) {
  TensorMap own;
  for (const auto& [name, value] : tensors)
    if (name.starts_with(prefix)) own[name.substr(prefix.size())] = value;
  return own;
}

void write_network(const NetworkOptions& options, const std::string& prefix, Metadata& metadata) {
  for_network_settings(options, writing(prefix, metadata));
  write_norm(options.norm, prefix, metadata);
}

NetworkOptions take_network(const std::string& prefix, Metadata& metadata) {
  NetworkOptions options;
  for_network_settings(options, taking(prefix, metadata));
  options.norm = take_norm(prefix, metadata);
  return options;
}

/// A network of the file's tensors. Its matrices must be there before it is built: settings alone
/// could ask for any size. This thread's random numbers go on as if there had been none.
std::shared_ptr<Network> read_network(const std::string& prefix, const NetworkOptions& o,
                                      const TensorMap& tensors) {
  check_matrix(tensors, prefix + "table", {o.rows, o.embedding});
  check_matrix(tensors, prefix + "weight", {o.features, o.embedding, o.hidden});
  check_matrix(tensors, prefix + "output.weight", {o.classes, o.hidden});
  const Generator before = default_generator();
  auto network = std::make_shared<Network>(o);
  default_generator() = before;
  network->load_state(tensors_of(prefix, tensors));
  network->eval();
  const NoGrad no_grad;
  network->forward(Tensor::zeros({1, o.features}, DType::int32));  // settings no input can meet
  return network;
}

Vocabulary read_vocabulary(Metadata& metadata) {
  VocabularyOptions options;
  for_vocabulary_settings(options, taking("vocabulary.", metadata));
  std::vector<std::string> words = split_lines(take_entry(metadata, "words"));
  std::vector<std::string> tags = split_lines(take_entry(metadata, "tags"));
  std::vector<std::string> labels = split_lines(take_entry(metadata, "labels"));
  return Vocabulary(std::move(words), std::move(tags), std::move(labels),
                    take_entry(metadata, "root"), options);
}

Tagger read_tagger(Metadata& metadata, const TensorMap& tensors) {
  std::vector<std::string> words = split_lines(take_entry(metadata, "tagger.words"));
  std::vector<std::string> affixes = split_lines(take_entry(metadata, "tagger.affixes"));
  std::vector<std::string> tags = split_lines(take_entry(metadata, "tagger.tags"));
  TagVocabulary vocabulary(std::move(words), std::move(affixes), std::move(tags));
  NetworkOptions options = take_network("tagger.", metadata);
  options.rows = vocabulary.size();
  options.features = kTagFeatures;
  options.classes = static_cast<int64_t>(vocabulary.tags().size());
  return {read_network("tagger.", options, tensors), std::move(vocabulary)};
}

Model model_of(TensorFile file) {
  Metadata& metadata = file.metadata;
  take_format(metadata, kFormat);
  Vocabulary vocabulary = read_vocabulary(metadata);
  NetworkOptions options = take_network("parser.", metadata);
  options.rows = vocabulary.size();
  options.classes = vocabulary.transitions().classes();
  Model model{read_network("parser.", options, file.tensors), std::move(vocabulary)};
  if (metadata.contains("tagger.tags")) model.tagger = read_tagger(metadata, file.tensors);
  for (const auto& [name, tensor] : file.tensors)  // a network refuses what is not its own
    check<ArgumentError>(
        name.starts_with("parser.") || (model.tagger && name.starts_with("tagger.")), "tensors",
        json_excerpt(name), " is not known");
  model.notes = notes_of(metadata);
  return model;
}

}  // namespace

void save_model(const std::string& path, const Model& model) {
  check_model("save_model", model);
  Metadata metadata;
  metadata["words"] = joined(model.vocabulary.words());
  metadata["tags"] = joined(model.vocabulary.tags());
  metadata["labels"] = joined(model.vocabulary.labels());
  metadata["root"] = model.vocabulary.root();
  for_vocabulary_settings(model.vocabulary.options(), writing("vocabulary.", metadata));
  write_network(model.network->options(), "parser.", metadata);
  TensorMap tensors;
  add_tensors("parser.", *model.network, tensors);
  if (model.tagger) {
    const TagVocabulary& vocabulary = model.tagger->vocabulary;
    metadata["tagger.words"] = joined(vocabulary.words());
    metadata["tagger.affixes"] = joined(vocabulary.affixes());
    metadata["tagger.tags"] = joined(vocabulary.tags());
    write_network(model.tagger->network->options(), "tagger.", metadata);
    add_tensors("tagger.", *model.tagger->network, tensors);
  }
  write_model(path, kFormat, tensors, std::move(metadata), model.notes);
}

Model load_model(const std::string& path) {
  return read_model(path, model_of);
}

}  // namespace normlab::parse
