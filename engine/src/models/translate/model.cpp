#include "models/transformer_file.h"

#include <algorithm>

#include "normlab/autograd.h"
#include "normlab/translate.h"

namespace normlab::translate {
namespace {

constexpr ModelFormat kFormat = {"normlab.translator", "1"};
/// Files of models that take text as it is lack it, as those of the first version do.
constexpr const char* kLower = "lower";

void check_language(const std::string& language) {
  check<ArgumentError>(!language.empty() && language.find('\n') == std::string::npos, "language",
                       "must be a name such as 'en', got ", json_excerpt(language));
}

void check_model(const char* op, const Model& model) {
  check<ArgumentError>(model.translator != nullptr, op, "the model has no translator");
  const TranslatorOptions& o = model.translator->options();
  const int64_t source = model.source.size(), target = model.target.size();
  check<ArgumentError>(source == o.source_vocabulary && target == o.target_vocabulary, op,
                       "the vocabularies must have the translator's ", o.source_vocabulary, " and ",
                       o.target_vocabulary, " subwords, they have ", source, " and ", target);
  check<ArgumentError>(!o.share_embeddings || model.source.pieces() == model.target.pieces(), op,
                       "with shared embeddings both languages must have the same subwords");
  check_language(model.source_language);
  check_language(model.target_language);
}

/// Calls visit(name, member) for every setting beside vocabularies and norm; Options may be
/// constant.
template <class Options, class Visit>
void for_settings(Options& o, const Visit& visit) {
  visit("positions", o.positions);
  visit("share_embeddings", o.share_embeddings);
  visit("share_output", o.share_output);
  visit("size", o.network.size);
  visit("heads", o.network.heads);
  visit("hidden", o.network.hidden);
  visit("encoder_layers", o.network.layers);
  visit("decoder_layers", o.decoder_layers);
  visit("dropout", o.network.dropout);
  visit("pre_norm", o.network.pre_norm);
  visit("activation", o.network.activation);
}

[[noreturn]] void refuse(const std::vector<std::string>& lines, size_t i, size_t has, size_t most) {
  const std::string what = lines.size() == 1 ? "the line" : "line " + std::to_string(i);
  fail<ArgumentError>("translate", what, " has ", has, " subwords, the model takes at most ", most,
                      ": divide it");
}

/// The largest number of positions that a file may ask for: their sines are computed.
constexpr int64_t kMostPositions = 1 << 20;

/// All matrices must be there before a network is built: settings alone could ask for any size.
/// The first bounds size, so that nothing overflows.
void check_matrices(const TensorMap& tensors, const TranslatorOptions& o) {
  const int64_t size = o.network.size;
  check_matrix(tensors, "target.weight", {o.target_vocabulary, size});
  if (!o.share_embeddings) check_matrix(tensors, "source.weight", {o.source_vocabulary, size});
  if (!o.share_output) check_matrix(tensors, "output.weight", {o.target_vocabulary, size});
  check_encoder(tensors, o.network);
  for (int64_t i = 0; i < o.decoder_layers; ++i) {
    const std::string layer = "decoder." + std::to_string(i) + ".";
    check_layer(tensors, layer, o.network);
    check_matrix(tensors, layer + "cross.query.weight", {size, size});
    check_matrix(tensors, layer + "cross.key_value.weight", {2 * size, size});
  }
  check<ArgumentError>(o.positions <= kMostPositions, "positions", "must be at most ",
                       kMostPositions, ", is ", o.positions);
}

Model model_of(TensorFile file) {
  Metadata& metadata = file.metadata;
  take_format(metadata, kFormat);
  Model model;
  model.target = Subwords(split_lines(take_entry(metadata, "target_pieces")));
  model.source = metadata.contains("source_pieces")
                     ? Subwords(split_lines(take_entry(metadata, "source_pieces")))
                     : model.target;
  model.source_language = take_entry(metadata, "source_language");
  model.target_language = take_entry(metadata, "target_language");
  if (metadata.contains(kLower)) take_setting(kLower, model.lower, metadata);
  TranslatorOptions options;
  for_settings(options, taking("", metadata));
  options.network.norm = take_norm("", metadata);
  options.source_vocabulary = model.source.size();
  options.target_vocabulary = model.target.size();
  model.notes = notes_of(metadata);
  check_matrices(file.tensors, options);
  model.translator = make_network<Translator>(options);
  model.translator->load_state(file.tensors);
  check_model("load_model", model);
  const NoGrad no_grad;
  const text::Packed one = text::pack({{Subwords::kEnd}});
  model.translator->forward(one, one);  // settings that no input can meet
  return model;
}

}  // namespace

std::vector<std::string> Model::translate(const std::vector<std::string>& lines,
                                          const SearchOptions& options) const {
  check_model("translate", *this);
  const auto most = static_cast<size_t>(translator->options().positions - 1);
  std::vector<std::vector<int64_t>> sources;
  std::vector<size_t> numbers;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::vector<int64_t> subwords = source.encode(lower ? lower_case(lines[i]) : lines[i]);
    if (subwords.size() > most) refuse(lines, i, subwords.size(), most);
    if (subwords.empty()) continue;
    sources.push_back(std::move(subwords));
    numbers.push_back(i);
  }
  const std::vector<Hypothesis> found = search(*translator, sources, options);
  std::vector<std::string> translations(lines.size());
  for (size_t i = 0; i < numbers.size(); ++i)
    translations[numbers[i]] = target.decode(found[i].tokens);
  return translations;
}

void save_model(const std::string& path, const Model& model) {
  check_model("save_model", model);
  Metadata metadata;
  const TranslatorOptions& options = model.translator->options();
  for_settings(options, writing("", metadata));
  write_norm(options.network.norm, "", metadata);
  metadata["target_pieces"] = joined(model.target.pieces());
  if (model.source.pieces() != model.target.pieces())
    metadata["source_pieces"] = joined(model.source.pieces());
  metadata["source_language"] = model.source_language;
  metadata["target_language"] = model.target_language;
  if (model.lower) write_setting(kLower, model.lower, metadata);
  write_model(path, kFormat, model.translator->state(), std::move(metadata), model.notes);
}

Model load_model(const std::string& path) {
  return read_model(path, model_of);
}

}  // namespace normlab::translate
