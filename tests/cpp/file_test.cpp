#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "catch.h"
#include "folder.h"

namespace fs = std::filesystem;
using namespace normlab;
using test::Folder;

namespace {

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& text) {
  OutputFile file("save", path);
  file.write(text.data(), static_cast<int64_t>(text.size()));
  file.commit();
}

}  // namespace

TEST_CASE("OutputFile: what a killed writer has left goes with the next", "[io]") {
  const Folder folder;
  std::ofstream(folder.path / ".normlab-0.tmp") << "half";
  write_file(folder.path / "x", "whole");
  CHECK(content(folder.path / "x") == "whole");
  CHECK(folder.entries() == 1);
}

TEST_CASE("OutputFile: one that is being written is left alone", "[io]") {
  const Folder folder;
  OutputFile first("save", folder.path / "x");
  first.write("1", 1);
  write_file(folder.path / "y", "2");
  CHECK(folder.entries() == 2);  // y, and the first one's
  first.write("1", 1);
  first.commit();
  CHECK(content(folder.path / "x") == "11");
  CHECK(content(folder.path / "y") == "2");
  CHECK(folder.entries() == 2);
}

TEST_CASE("OutputFile: without a commit nothing is left", "[io]") {
  const Folder folder;
  {
    OutputFile file("save", folder.path / "x");
    file.write("1", 1);
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("OutputFile: a link in the temporary file's place is not followed", "[io]") {
  const Folder folder;
  std::ofstream(folder.path / "victim") << "kept";
  fs::create_symlink("victim", folder.path / ".normlab-0.tmp");
  write_file(folder.path / "x", "whole");
  CHECK(content(folder.path / "victim") == "kept");
  CHECK(content(folder.path / "x") == "whole");
  CHECK_FALSE(fs::is_symlink(folder.path / "x"));
}

TEST_CASE("OutputFile: many writers in one folder, each file whole", "[io]") {
  const Folder folder;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&, w] {
      const std::string text(1000, static_cast<char>('a' + w));
      for (int i = 0; i < 200; ++i) {
        const fs::path own = folder.path / std::to_string(w);
        try {
          write_file(own, text);
          write_file(folder.path / "shared", text);
        } catch (const Error&) {
          ++wrong;
        }
        if (content(own) != text) ++wrong;
        const std::string shared = content(folder.path / "shared");
        if (shared.size() != 1000 || shared.find_first_not_of(shared[0]) != std::string::npos)
          ++wrong;
      }
    });
  for (std::thread& writer : writers) writer.join();
  CHECK(wrong == 0);
  CHECK(folder.entries() == 5);
}
