// Continues a text, printed character by character. The model is a file that
// language::save_model(), or Python's normlab.language.save_model(), has written. The characters
// are those of `normlab generate` with the same seed.

#include <normlab/normlab.h>

#include <charconv>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

namespace nl = normlab;

namespace {

template <class Number>
Number number_of(const char* name, const char* text) {
  Number number{};
  const auto [rest, error] = std::from_chars(text, text + std::strlen(text), number);
  if (error != std::errc() || *rest != '\0')
    throw nl::ArgumentError(std::string(name) + " must be a number, is " + text);
  return number;
}

int run(int argc, char** argv) {
  const nl::language::Model model = nl::language::load_model(argv[1]);
  const auto length = number_of<int64_t>("LENGTH", argv[3]);
  if (length < 0) throw nl::ArgumentError("LENGTH must be 0 or more, is " + std::string(argv[3]));
  nl::language::Sampling sampling;
  if (argc > 4) sampling.seed = number_of<uint64_t>("SEED", argv[4]);
  if (argc > 5) sampling.temperature = number_of<double>("TEMPERATURE", argv[5]);
  if (argc > 6) sampling.top_k = number_of<int64_t>("TOP_K", argv[6]);
  nl::language::Writer writer(model, argv[2], sampling);
  std::cout << argv[2];
  for (int64_t i = 0; i < length && std::cout; ++i) std::cout << writer.next() << std::flush;
  std::cout << '\n';
  return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 7) {
    std::cerr << "usage: generate MODEL.safetensors PROMPT LENGTH [SEED [TEMPERATURE [TOP_K]]]\n";
    return 1;
  }
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "generate: " << error.what() << "\n";
    return 1;
  }
}
