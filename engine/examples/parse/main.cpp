// Parses standard input as it comes and prints the words of each sentence with their tree as
// CoNLL-U. The model is a file that parse::save_model(), or Python's normlab.parse.save_model(),
// has written. Without an option, a text that begins as CoNLL-U is CoNLL-U, any other is raw.

#include <normlab/normlab.h>

#include <algorithm>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace nl = normlab;

namespace {

struct Option {
  std::string_view name;
  nl::parse::Format format;
};
constexpr Option kOptions[] = {
    {"--raw", nl::parse::Format::raw},
    {"--tokenized", nl::parse::Format::tokenized},
    {"--conllu", nl::parse::Format::conllu},
};

int run(const std::string& path, std::optional<nl::parse::Format> format) {
  const nl::parse::Parser parser(nl::parse::load_model(path));
  const nl::parse::TreeSink sink{.write = [](std::string_view trees) {
    std::cout << trees << std::flush;  // a program that writes to us may wait for it
  }};
  nl::parse::parse_stream(parser, nl::parse::source_of(std::cin, "standard input"), sink,
                          {.format = format});
  return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto* option = argc == 3 ? std::ranges::find(kOptions, argv[2], &Option::name) : nullptr;
  if (argc < 2 || argc > 3 || option == std::end(kOptions)) {
    std::cerr << "usage: parse MODEL.safetensors [--raw | --tokenized | --conllu] < text\n";
    return 1;
  }
  std::ios::sync_with_stdio(false);  // many bytes at a time
  try {
    return run(argv[1], option ? std::optional(option->format) : std::nullopt);
  } catch (const std::exception& error) {
    std::cerr << "parse: " << error.what() << "\n";
    return 1;
  }
}
