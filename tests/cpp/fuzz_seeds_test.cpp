#include "fuzz.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "catch.h"

namespace fs = std::filesystem;
using namespace normlab;

TEST_CASE("fuzzing: what was found stays mended, the readers keep their promises", "[fuzz]") {
  for (const fuzz::Target& target : fuzz::kTargets) {
    int seeds = 0;
    for (const auto& entry : fs::directory_iterator(fs::path(NORMLAB_FUZZ_SEEDS) / target.name)) {
      CAPTURE(target.name, entry.path().string());
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      CHECK_NOTHROW(target.run(bytes));
      CHECK_NOTHROW(target.run(std::string_view(bytes).substr(0, bytes.size() / 2)));
      ++seeds;
    }
    CHECK(seeds > 0);
  }
}
