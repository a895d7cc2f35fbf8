// CoNLL-U as it is found in the wild: white space between sentences, and what comes after a
// sentence that is refused.

#include <sstream>
#include <stdexcept>

#include "catch.h"
#include "errors.h"
#include "normlab/parse.h"

using namespace normlab;
using namespace normlab::parse;
using test::error_of;

namespace {

std::string line(int id, const std::string& form) {
  return std::to_string(id) + "\t" + form + "\t_\t_\t_\t_\t" + std::to_string(id - 1) +
         "\tx\t_\t_\n";
}

/// First forms of the sentences, and the errors' words in between.
std::vector<std::string> read_all(Reader& reader) {
  std::vector<std::string> found;
  for (Sentence sentence;;) {
    try {
      if (!reader.next(sentence)) return found;
      found.push_back(sentence.words[0].form);
    } catch (const FileError& error) {
      found.emplace_back(error.what());
      CHECK(reader.skip());
    }
  }
}

std::vector<std::string> read_all(const std::string& text) {
  std::istringstream in(text);
  Reader reader(in, "x");
  return read_all(reader);
}

}  // namespace

TEST_CASE("CoNLL-U: a line of spaces and tabs ends a sentence", "[parse]") {
  using Forms = std::vector<std::string>;
  for (const std::string blank :
       {"\n", " \n", "\t\n", " \t \r\n", "\t\t\t\t\t\t\t\t\t\n", " \n\n\t\n"}) {
    CAPTURE(blank);
    CHECK(read_all(line(1, "a") + line(2, "b") + blank + line(1, "c") + blank) == Forms{"a", "c"});
    CHECK(read_all("\xEF\xBB\xBF" + blank + line(1, "a")) == Forms{"a"});
  }
  std::istringstream in("# c\n" + line(1, "a") + " \n");
  Reader reader(in, "x");
  Sentence sentence;
  REQUIRE(reader.next(sentence));
  CHECK(to_conllu(sentence) == "# c\n" + line(1, "a") + "\n");
  CHECK_FALSE(reader.next(sentence));
}

TEST_CASE("Reader: skip() goes on after a sentence that was refused", "[parse]") {
  const std::string bad_tree = "1\tb\t_\t_\t_\t_\t7\tx\t_\t_\n\n", good = line(1, "a") + "\n";
  const std::vector<std::string> bad = {
      bad_tree,
      "1\tb\n2\tb\n\n",
      "# \xFF\n" + line(1, "b") + "\n",
      line(1, "b") + line(3, "b") + line(4, "b") + " \n",
      "# only a comment\n\n",
      line(1, "b") + std::string(kMaxLineBytes + 2, 'b') + "\n" + line(2, "b") + "\n",
      line(1, "b") + std::string(3 * kMaxLineBytes, ' ') + "x\n" + line(2, "b") + "\n",
  };
  std::string text = good;
  for (const std::string& each : bad) text += each + good;
  const std::vector<std::string> found = read_all(text);
  REQUIRE(found.size() == 2 * bad.size() + 1);
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i, found[i]);
    CHECK((found[i] == "a") == (i % 2 == 0));
    if (i % 2 == 1) CHECK(found[i].find("read_conllu: \"x\", line ") == 0);
  }
  // The numbers of lines go on.
  CHECK(found[1].find("line 3: word 1: its head") != std::string::npos);
  CHECK(found[3].find("line 7: must have 10 columns") != std::string::npos);
  CHECK(read_all(good + "1\tb").size() == 2);
}

TEST_CASE("Reader: skip() is for text, not for streams", "[parse]") {
  int taken = 0;
  Reader reader(
      [&](std::string& out) -> bool {
        if (++taken == 2) throw std::runtime_error("gone");
        out = "1\ta";
        return true;
      },
      "x");
  Sentence sentence;
  CHECK_FALSE(reader.skip());
  CHECK_THROWS_AS(reader.next(sentence), FileError);
  CHECK_THROWS_AS(reader.skip(), std::runtime_error);
  CHECK_FALSE(reader.next(sentence));
  CHECK_FALSE(reader.skip());

  Reader broken([](std::string&) -> bool { throw std::runtime_error("gone"); }, "x");
  CHECK_THROWS_AS(broken.next(sentence), std::runtime_error);
  CHECK_FALSE(broken.skip());
  CHECK_FALSE(broken.next(sentence));
}
