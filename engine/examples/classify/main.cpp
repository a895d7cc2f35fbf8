// Labels each line of standard input as it comes: prints label, tab, line. The model is a file
// that text::save_model(), or Python's normlab.text.save_model(), has written.

#include <normlab/normlab.h>

#include <exception>
#include <iomanip>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>

namespace nl = normlab;

namespace {

void print_logits(const nl::Tensor& logits) {
  for (int64_t i = 0; i < logits.numel(); ++i)
    std::cout << (i == 0 ? '\t' : ' ') << logits.data<float>()[i];
}

int run(const std::string& path, bool with_logits) {
  const nl::text::Model model = nl::text::load_model(path);
  std::cout << std::setprecision(std::numeric_limits<float>::max_digits10);
  int64_t number = 1;
  for (std::string line; std::getline(std::cin, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    try {
      const auto [logits, label] = model.label(line);
      std::cout << label;
      if (with_logits) print_logits(logits);
      std::cout << '\t' << line << std::endl;  // flushed: who writes to us may wait for it
    } catch (const nl::Error& error) {
      std::cerr << "classify: line " << number << ": " << error.what() << "\n";
      return 1;
    }
  }
  return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool with_logits = argc == 3 && std::string_view(argv[2]) == "--logits";
  if (argc != 2 && !with_logits) {
    std::cerr << "usage: classify MODEL.safetensors [--logits] < lines\n";
    return 1;
  }
  try {
    return run(argv[1], with_logits);
  } catch (const std::exception& error) {
    std::cerr << "classify: " << error.what() << "\n";
    return 1;
  }
}
