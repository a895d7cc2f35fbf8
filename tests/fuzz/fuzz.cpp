#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace normlab::fuzz {

namespace {

/// A folder that goes with the process, in memory where there is one.
const std::string& folder() {
  struct Folder {
    std::string path;
    Folder() {
      const bool in_memory = std::filesystem::is_directory("/dev/shm");
      path = in_memory ? "/dev/shm" : std::filesystem::temp_directory_path().string();
      path += "/normlab-fuzz-XXXXXX";
      if (!::mkdtemp(path.data())) throw std::runtime_error("no temporary folder");
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder instance;
  return instance.path;
}

}  // namespace

const std::string& file_of(std::string_view bytes) {
  static const std::string path = folder() + "/in";
  static const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const auto length = static_cast<ssize_t>(bytes.size());
  if (::ftruncate(file, length) != 0 || ::pwrite(file, bytes.data(), bytes.size(), 0) != length)
    throw std::runtime_error("no room for an input");
  return path;
}

const std::string& output_path() {
  static const std::string path = folder() + "/out";
  return path;
}

parse::Model small_parser() {
  using namespace parse;
  manual_seed(5);
  Vocabulary words({"the", "dog", "sees", "0"}, {"DET", "NOUN", "VERB"}, {"det", "nsubj", "root"},
                   "root", {.tags = Tags::upos});
  TagVocabulary tagged({"the", "dog"}, {"e", "he", "th"}, {"DET|DT", "NOUN|NN", "VERB|VBZ"});
  NetworkOptions options{.rows = words.size(),
                         .classes = words.transitions().classes(),
                         .embedding = 2,
                         .hidden = 4,
                         .norm = "adanorm"};
  auto network = std::make_shared<Network>(options);
  options.rows = tagged.size();
  options.features = kTagFeatures;
  options.classes = static_cast<int64_t>(tagged.tags().size());
  auto tagger = std::make_shared<Network>(options);
  network->eval();
  tagger->eval();
  return {network, std::move(words), Tagger{tagger, std::move(tagged)}, {{"task", "parse"}}};
}

language::Model small_language_model() {
  using namespace language;
  manual_seed(7);
  Vocabulary characters("\n ab\xC3\xA9");
  LanguageModelOptions options{.vocabulary = characters.size(), .context = 4, .tied = true};
  options.encoder = {.size = 4, .heads = 2, .hidden = 4, .layers = 1, .norm = "adanorm"};
  auto network = std::make_shared<LanguageModel>(options);
  network->eval();
  return {network, std::move(characters), {{"task", "charlm"}}};
}

text::Model small_classifier() {
  using namespace text;
  manual_seed(6);
  Vocabulary words({"good", "film", "n't", "."});
  ClassifierOptions options{.vocabulary = words.size(), .classes = 2};
  options.encoder = {.size = 4, .heads = 2, .hidden = 4, .layers = 1, .norm = "adanorm"};
  auto classifier = std::make_shared<Classifier>(options);
  classifier->eval();
  return {classifier, std::move(words), {"negative", "positive"}, {{"task", "rt"}}};
}

translate::Model small_translator() {
  using namespace translate;
  manual_seed(7);
  const Subwords subwords({"\u2581a", "\u2581", "a", "b"});
  TranslatorOptions options{.source_vocabulary = subwords.size(),
                            .target_vocabulary = subwords.size(),
                            .positions = 8,
                            .decoder_layers = 1};
  options.network = {.size = 4, .heads = 2, .hidden = 4, .layers = 1, .norm = "adanorm"};
  auto translator = std::make_shared<Translator>(options);
  translator->eval();
  return {translator, subwords, subwords, "en", "de", {{"task", "translate"}}};
}

}  // namespace normlab::fuzz
