#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "normlab/language.h"
#include "normlab/parse.h"
#include "normlab/text.h"
#include "normlab/translate.h"

/// Readers of foreign input, each as a function of bytes. Whatever these are, it returns: an error
/// that the reader promises is an answer too. What it throws otherwise is a broken promise.
namespace normlab::fuzz {

void conllu(std::string_view input);
void conllx(std::string_view input);
void conllu_stream(std::string_view input);
void json(std::string_view input);
void language_model(std::string_view input);
void parse_model(std::string_view input);
void raw_text(std::string_view input);
void safetensors(std::string_view input);
void text_model(std::string_view input);
void tokenizer(std::string_view input);
void translate_model(std::string_view input);

struct Target {
  const char* name;
  void (*run)(std::string_view input);
};
inline constexpr Target kTargets[] = {
    {"conllu", conllu},
    {"conllx", conllx},
    {"conllu_stream", conllu_stream},
    {"json", json},
    {"language_model", language_model},
    {"parse_model", parse_model},
    {"raw_text", raw_text},
    {"safetensors", safetensors},
    {"text_model", text_model},
    {"tokenizer", tokenizer},
    {"translate_model", translate_model},
};

inline void require(bool ok, const char* promise) {
  if (!ok) throw std::logic_error(std::string("broken promise: ") + promise);
}

/// Whether body throws an Error of one of these kinds.
template <class... Kinds, class Body>
bool refuses(const Body& body) {
  try {
    body();
    return false;
  } catch (const Error& error) {
    require(*error.what() != '\0', "an error says something");
    if ((dynamic_cast<const Kinds*>(&error) || ...)) return true;
    throw;
  }
}

/// The path of a file that holds these bytes until the next call.
const std::string& file_of(std::string_view bytes);
/// A path beside it, for what is written.
const std::string& output_path();

/// Small models with random weights, always the same.
parse::Model small_parser();
language::Model small_language_model();
text::Model small_classifier();
translate::Model small_translator();

}  // namespace normlab::fuzz
