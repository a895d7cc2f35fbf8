// Parses each line of standard input, a sentence, as it comes: prints its words and their tree as
// CoNLL-U. Empty lines are passed over. The model is a file that parse::save_model(), or Python's
// normlab.parse.save_model(), has written.

#include <normlab/normlab.h>

#include <exception>
#include <iostream>
#include <string>

namespace nl = normlab;

namespace {

int run(const std::string& path) {
  const nl::parse::Parser parser(nl::parse::load_model(path));
  int64_t number = 1;
  for (std::string line; std::getline(std::cin, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      // Flushed: who writes to us may wait for it.
      std::cout << nl::parse::to_conllu(parser.parse(line)) << std::flush;
    } catch (const nl::Error& error) {
      std::cerr << "parse: line " << number << ": " << error.what() << "\n";
      return 1;
    }
  }
  return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: parse MODEL.safetensors < lines\n";
    return 1;
  }
  try {
    return run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "parse: " << error.what() << "\n";
    return 1;
  }
}
