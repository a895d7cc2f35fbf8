// Writes the seeds that nobody writes by hand: small models. Run it after a change of their format.
//
//   fuzz_make_seeds tests/fuzz/seeds

#include <filesystem>

#include "fuzz.h"

int main(int argc, char** argv) {
  using namespace normlab;
  if (argc != 2) return 2;
  const std::filesystem::path seeds = argv[1];
  for (const char* name : {"language_model", "parse_model", "text_model", "translate_model"})
    std::filesystem::create_directories(seeds / name);
  parse::Model parser = fuzz::small_parser();
  parse::save_model(seeds / "parse_model" / "with_tagger", parser);
  parser.tagger.reset();
  parse::save_model(seeds / "parse_model" / "without_tagger", parser);
  language::save_model(seeds / "language_model" / "adanorm", fuzz::small_language_model());
  text::save_model(seeds / "text_model" / "adanorm", fuzz::small_classifier());
  translate::save_model(seeds / "translate_model" / "shared", fuzz::small_translator());
}
