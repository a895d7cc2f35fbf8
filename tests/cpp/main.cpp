#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <iostream>

#include "normlab/normlab.h"

int main(int argc, char** argv) {
  const int failed = Catch::Session().run(argc, argv);
  using namespace normlab;
  if (cuda::is_available())
    std::cout << "compared with the GPU: " << cuda::properties().name << "\n";
  else
    std::cout << "comparisons with a GPU skipped: no device (" << cuda::why_not() << ")\n";
  return failed;
}
