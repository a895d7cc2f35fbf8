// Translates each line of standard input as it comes. The model is a file that
// translate::save_model(), or Python's normlab.translate.save_model(), has written.

#include <normlab/normlab.h>

#include <exception>
#include <iostream>
#include <string>

namespace nl = normlab;

namespace {

int run(const std::string& path) {
  const nl::translate::Model model = nl::translate::load_model(path);
  int64_t number = 1;
  for (std::string line; std::getline(std::cin, line); ++number) {
    nl::text::trim_line(line, number == 1);
    try {
      std::cout << model.translate({line}).front() << std::endl;  // who writes to us may wait
    } catch (const nl::Error& error) {
      std::cerr << "translate: standard input, line " << number << ": " << error.what() << "\n";
      return 1;
    }
  }
  return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: translate MODEL.safetensors < lines\n";
    return 1;
  }
  std::ios::sync_with_stdio(false);  // many bytes at a time
  try {
    return run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "translate: " << error.what() << "\n";
    return 1;
  }
}
