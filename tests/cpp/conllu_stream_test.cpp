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

// --- text with a sentence a line ----------------------------------------------------------------

namespace {

std::vector<Sentence> sentences_of(const std::string& text, Format format) {
  std::istringstream in(text);
  Reader reader(in, "x", {.format = format});
  std::vector<Sentence> all;
  for (Sentence sentence; reader.next(sentence);) all.push_back(sentence);
  return all;
}

}  // namespace

TEST_CASE("Reader: raw text is cut by sentence_of()", "[parse]") {
  const std::string text = "\xEF\xBB\xBF It isn't.\r\n\n \xE2\x80\x8B\t\n\xC2\xAD\nyes";
  const std::vector<Sentence> expected = {sentence_of("It isn't."), sentence_of("yes")};
  CHECK(sentences_of(text, Format::raw) == expected);
  CHECK(sentences_of("", Format::raw).empty());
}

TEST_CASE("Reader: white space divides the words of tokenized text", "[parse]") {
  const auto sentences =
      sentences_of(" it's  \xE3\x80\x80 a.b\tc \r\n\r\n\xC2\xAD x", Format::tokenized);
  REQUIRE(sentences.size() == 2);
  CHECK(sentences[0].comments == std::vector<std::string>{"# text = it's a.b c"});
  REQUIRE(sentences[0].words.size() == 3);
  CHECK(sentences[0].words[1].form == "a.b");
  CHECK(sentences[1].words[0].form == "\xC2\xAD");
}

TEST_CASE("Reader: a line of text that is refused ends there", "[parse]") {
  std::istringstream in("a\nb\xFF\n" + std::string(kMaxLineBytes + 9, 'x') + "\n" +
                        std::string("c\0", 2) + "\n\xC3\nd\n");
  Reader reader(in, "x", {.format = Format::raw});
  std::vector<std::string> found = read_all(reader);
  CHECK(found == std::vector<std::string>{"a", "x, line 2: must be UTF-8, at byte 1 it is not",
                                          "x, line 3: must have at most 1,048,576 bytes",
                                          "x, line 4: byte 1 is NUL",
                                          "x, line 5: must be UTF-8, at byte 0 it is not", "d"});
}

TEST_CASE("Lines: chunks may end anywhere", "[text]") {
  const std::string text = "ab\n\nc\r\nlast";
  for (size_t size = 1; size <= text.size(); ++size) {
    CAPTURE(size);
    text::Lines lines([&text, size, at = size_t{0}](std::string& chunk) mutable {
      chunk = text.substr(std::min(at, text.size()), size);
      at += size;
      return !chunk.empty();
    });
    std::vector<std::string> found;
    for (std::string line; lines.next(line);) found.push_back(line);
    CHECK(found == std::vector<std::string>{"ab", "", "c\r", "last"});
  }
}
