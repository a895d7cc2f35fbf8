#include "normlab/parse.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "threads.h"

using namespace normlab;
using test::contains;
using test::Folder;
using namespace normlab::parse;
using test::error_of;
using test::read_bytes;
using test::write_bytes;

namespace {

using HeadList = std::vector<int32_t>;

std::vector<Sentence> read_text(const std::string& text, const ReadOptions& options = {}) {
  std::istringstream in(text);
  Reader reader(in, "x", options);
  std::vector<Sentence> all;
  for (Sentence sentence; reader.next(sentence);) all.push_back(sentence);
  return all;
}

std::string text_of(const std::vector<Sentence>& sentences) {
  std::string text;
  for (const Sentence& sentence : sentences) text += to_conllu(sentence);
  return text;
}

/// "1 a _ 0 root" and so on as lines with ten columns: ID, FORM, UPOS, HEAD, DEPREL.
std::string conllu(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    std::istringstream in(line);
    std::string id, form, upos, head, deprel;
    in >> id >> form >> upos >> head >> deprel;
    text += id + '\t' + form + "\t_\t" + upos + "\t_\t_\t" + head + '\t' + deprel + "\t_\t_\n";
  }
  return text + '\n';
}

/// A sentence of words w1, w2, ... with tags t1, ... and labels: the root's "root", others "l0" to
/// "l4".
Sentence sentence_of(const HeadList& heads) {
  Sentence sentence;
  for (size_t w = 1; w < heads.size(); ++w) {
    Word word{.form = "w" + std::to_string(w), .upos = "t" + std::to_string(w % 7)};
    word.head = heads[w];
    word.deprel = heads[w] == 0 ? "root" : "l" + std::to_string(w * w % 5);
    sentence.words.push_back(word);
  }
  return sentence;
}

/// Words from `first` to `last` below `head`, as a tree of which no arc crosses another.
void grow(std::mt19937& random, int32_t first, int32_t last, int32_t head, HeadList& heads) {
  if (first > last) return;
  const auto draw = [&](int32_t n) { return static_cast<int32_t>(random() % n); };
  const int32_t top = first + draw(last - first + 1);
  heads[top] = head;
  for (auto [from, to] : {std::pair{first, top - 1}, std::pair{top + 1, last}}) {
    while (from <= to) {
      const int32_t end = from + draw(to - from + 1);
      grow(random, from, end, top, heads);
      from = end + 1;
    }
  }
}

HeadList projective_tree(std::mt19937& random, int32_t n) {
  HeadList heads(n + 1, kNone);
  grow(random, 1, n, 0, heads);
  return heads;
}

/// Any tree with one root.
HeadList any_tree(std::mt19937& random, int32_t n) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 1);
  std::shuffle(order.begin(), order.end(), random);
  HeadList heads(n + 1, kNone);
  for (int32_t i = 0; i < n; ++i) heads[order[i]] = i == 0 ? 0 : order[random() % i];
  return heads;
}

bool is_under(const HeadList& heads, int32_t word, int32_t ancestor) {
  while (word != ancestor && word > 0) word = heads[word];
  return word == ancestor;
}

/// The definition itself.
std::vector<int32_t> slow_nonprojective_words(const HeadList& heads) {
  std::vector<int32_t> found;
  for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) {
    bool is = false;
    for (int32_t k = std::min(w, heads[w]) + 1; k < std::max(w, heads[w]); ++k)
      is = is || !is_under(heads, k, heads[w]);
    if (is) found.push_back(w);
  }
  return found;
}

}  // namespace

// --- files ------------------------------------------------------------------------------------

namespace {

const std::string kText =
    "# newdoc id = a\n"
    "# sent_id = a-1\n"
    "# text = vámonos al mar = #1\n"
    "#\n"
    "0.1\tella\tella\tPRON\t_\t_\t_\t_\t2:nsubj\t_\n"
    "1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "1\tvamos\tir\tVERB\tVB\tMood=Imp|Number=Plur\t0\troot\t0:root\t_\n"
    "2\tnos\tnosotros\tPRON\tPRP\tCase=Acc\t1\tobj:x\t1:obj\t_\n"
    "2.1\ty\ty\tCCONJ\t_\t_\t_\t_\t_\t_\n"
    "2.2\tno\tno\tADV\t_\t_\t_\t_\t_\t_\n"
    "3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\ta\ta\tADP\tIN\t_\t5\tcase\t_\t_\n"
    "4\tel\tel\tDET\tDT\t_\t5\tdet\t_\t_\n"
    "5\t10 000\t#1\tNUM\tCD\t_\t1\tobl\t_\tA=1|B=\xF0\x9F\x98\x80\n"
    "\n"
    "1-1\t.\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\t.\t.\tPUNCT\t.\t_\t0\troot\t_\t_\n"
    "1.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "\n";

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("CoNLL-U: what is read is written back", "[parse]") {
  const std::vector<Sentence> all = read_text(kText);
  REQUIRE(all.size() == 2);
  CHECK(text_of(all) == kText);
  const Sentence& first = all[0];
  CHECK(first.comments.size() == 4);
  CHECK(first.note("sent_id") == "a-1");
  CHECK(first.note("newdoc id") == "a");
  CHECK(first.note("text") == "vámonos al mar = #1");
  CHECK(first.note("") == "");
  CHECK(first.note("none") == "");
  REQUIRE(first.words.size() == 5);
  CHECK(first.words[0] == Word{.form = "vamos",
                               .lemma = "ir",
                               .upos = "VERB",
                               .xpos = "VB",
                               .feats = "Mood=Imp|Number=Plur",
                               .head = 0,
                               .deprel = "root",
                               .deps = "0:root",
                               .misc = "_"});
  CHECK(first.words[4].form == "10 000");
  CHECK(heads_of(first) == HeadList{kNone, 0, 1, 5, 5, 1});
  std::vector<int32_t> after;
  for (const Extra& extra : first.extras) after.push_back(extra.after);
  CHECK(after == std::vector<int32_t>{0, 0, 2, 2, 2});
  CHECK(first.extras[4].line == "3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_");
}

TEST_CASE("CoNLL-U: other line ends and beginnings", "[parse]") {
  std::string windows;
  for (const char c : kText) windows += c == '\n' ? "\r\n" : std::string(1, c);
  const std::vector<Sentence> all = read_text(kText);
  CHECK(read_text(windows) == all);
  CHECK(read_text("\xEF\xBB\xBF" + kText) == all);
  CHECK(read_text("\xEF\xBB\xBF\r\n" + windows) == all);
  CHECK(read_text("\n\n" + kText + "\n\n" + kText).size() == 4);
  CHECK(read_text(kText.substr(0, kText.size() - 1)) == all);
  CHECK(read_text(kText.substr(0, kText.size() - 2)) == all);
  CHECK(read_text("").empty());
  CHECK(read_text("\n\r\n\n").empty());
  CHECK(read_text("\xEF\xBB\xBF").empty());
}

TEST_CASE("Reader: takes the lines of one sentence and no more", "[parse]") {
  std::istringstream in(kText);
  int64_t taken = 0;
  Reader reader(
      [&](std::string& line) {
        ++taken;
        return static_cast<bool>(std::getline(in, line));
      },
      "lines");
  Sentence sentence;
  CHECK(reader.next(sentence));
  CHECK(taken == 15);
  CHECK(reader.next(sentence));
  CHECK(taken == 19);
  CHECK(sentence == read_text(kText)[1]);
  CHECK_FALSE(reader.next(sentence));
  CHECK_FALSE(reader.next(sentence));
}

TEST_CASE("Reader: nothing can be read after an error", "[parse]") {
  std::istringstream in("1\n\n" + kText);
  Reader reader(in, "x");
  Sentence sentence;
  CHECK_THROWS_AS(reader.next(sentence), FileError);
  CHECK_FALSE(reader.next(sentence));
}

TEST_CASE("Reader: streams that cannot be read", "[parse]") {
  std::ifstream none("/nowhere/at/all");
  CHECK(contains(error_of<FileError>([&] { Reader(none, "none"); }),
                 "read_conllu: \"none\": the stream cannot be read"));
  struct Broken : std::streambuf {
    int underflow() override { throw std::ios_base::failure("broken"); }
  } broken;
  std::istream in(&broken);
  Reader reader(in, "broken");
  Sentence sentence;
  CHECK(contains(error_of<FileError>([&] { reader.next(sentence); }), "cannot be read: broken"));
}

TEST_CASE("CoNLL-U: broken lines are refused with their number", "[parse]") {
  const std::string ok = "1\ta\t_\t_\t_\t_\t0\troot\t_\t_\n";
  const std::string rest = "\ta\t_\t_\t_\t_\t1\tx\t_\t_\n";
  struct Case {
    std::string text, message;
  };
  const Case cases[] = {
      {"1\ta\t_\t_\t_\t_\t0\troot\t_\n\n", "line 1: must have 10 columns divided by tabs, has 9"},
      {ok + "2" + rest.substr(0, rest.size() - 1) + "\t_\n\n",
       "line 2: must have 10 columns divided by tabs, has 11"},
      {"word\n", "line 1: must have 10 columns divided by tabs, has 1"},
      {kText + ok + "2\t\t_\t_\t_\t_\t1\tx\t_\t_\n", "line 21: FORM must not be empty"},
      {ok + "2\t \xC2\xA0\t_\t_\t_\t_\t1\tx\t_\t_\n", "line 2: FORM must not be only white space"},
      {ok + "\t\t_\t_\t_\t_\t1\tx\t_\t_\n", "line 2: ID must not be empty"},
      {ok + "2\ta\t_\t_\t_\t_\t1\t\t_\t_\n", "line 2: DEPREL must not be empty"},
      {ok + "2\ta\t_\t_\t_\t_\t1\tx\t_\t\n", "line 2: MISC must not be empty"},
      {ok + "x" + rest, "line 2: ID must be 2, is \"x\""},
      {ok + "3" + rest, "line 2: ID must be 2, is \"3\""},
      {ok + "1" + rest, "line 2: ID must be 2, is \"1\""},
      {ok + "02" + rest, "line 2: ID must be 2, is \"02\""},
      {ok + "+2" + rest, "line 2: ID must be 2, is \"+2\""},
      {ok + "2 " + rest, "line 2: ID must be 2, is \"2 \""},
      {ok + "4294967298" + rest, "line 2: ID must be 2, is \"4294967298\""},
      {ok + "1-2" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"1-2\""},
      {ok + "2-1" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"2-1\""},
      {ok + "2-" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"2-\""},
      {ok + "2-x" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"2-x\""},
      {ok + "-2" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"-2\""},
      {ok + "2-3-4" + rest,
       "line 2: ID of a multi-word token must be 2- and its last word, is \"2-3-4\""},
      {ok + "2-3" + rest + "2" + rest + "3-4" + rest,
       "line 4: a multi-word token must not begin within another, which goes on to word 3"},
      {ok + "2-3" + rest + "2-2" + rest,
       "line 3: a multi-word token must not begin within another, which goes on to word 3"},
      {"# c\n" + ok + "2-3" + rest + "2" + rest,
       "line 3: a multi-word token must end with a word of its sentence, which has 2"},
      {ok + "2.1" + rest, "line 2: ID of an empty node must be 1.1 here, is \"2.1\""},
      {ok + "1.2" + rest, "line 2: ID of an empty node must be 1.1 here, is \"1.2\""},
      {ok + "1.1" + rest + "1.1" + rest,
       "line 3: ID of an empty node must be 1.2 here, is \"1.1\""},
      {ok + "1.0" + rest, "line 2: ID of an empty node must be 1.1 here, is \"1.0\""},
      {ok + "1." + rest, "line 2: ID of an empty node must be 1.1 here, is \"1.\""},
      {ok + "# late\n", "line 2: a comment must come before the words of its sentence"},
      {"0.1" + rest + "# late\n", "line 2: a comment must come before the words of its sentence"},
      {kText + "# a\n# b\n\n" + ok, "line 20: a sentence must have words"},
      {"# a", "line 1: a sentence must have words"},
      {"0.1" + rest, "line 1: a sentence must have words"},
      {"# \xFF\n" + ok, "line 1: must be UTF-8, at byte 2 it is not"},
      {ok + "2\t\xED\xA0\x80\n", "line 2: must be UTF-8, at byte 2 it is not"},
      {ok + std::string("2\0", 2) + rest, "line 2: byte 1 is NUL"},
      {ok + "2\ra" + rest, "line 2: byte 1 is a line break inside the line"},
      {ok + "\r\r\n", "line 2: byte 0 is a line break inside the line"},
      {"\xFF\xFE" + ok, "line 1: must be UTF-8, at byte 0 it is not"},
      {ok + "\n\xEF\xBB\xBF" + ok,
       "line 3: ID must be 1, is \"\xEF\xBB\xBF"
       "1\""},
      {"\x1F\x8B\x08\x00\n", "line 1: is packed with gzip; unpack it"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(error_of<FileError>([&] { read_text(c.text); }) == "read_conllu: \"x\", " + c.message);
  }
}

TEST_CASE("CoNLL-U: broken trees are refused with their line", "[parse]") {
  struct Case {
    std::vector<std::string> lines;
    std::string message;
  };
  const Case cases[] = {
      {{"1 a _ _ root"}, "line 2: HEAD must be a whole number, is \"_\""},
      {{"1 a _ x root"}, "line 2: HEAD must be a whole number, is \"x\""},
      {{"1 a _ -1 root"}, "line 2: HEAD must be a whole number, is \"-1\""},
      {{"1 a _ 1.0 root"}, "line 2: HEAD must be a whole number, is \"1.0\""},
      {{"1 a _ 00 root"}, "line 2: HEAD must be a whole number, is \"00\""},
      {{"1 a _ 9999999999 root"}, "line 2: HEAD must be a whole number, is \"9999999999\""},
      {{"1 a _ 0 root", "2 b _ 3 x"}, "line 3: word 2: its head must be in [0, 2], is 3"},
      {{"1 a _ 0 root", "2 b _ 2 x"}, "line 3: word 2: it must not be its own head"},
      {{"1 a _ 2 x", "2 b _ 1 x"},
       "line 2: word 1: its sentence must have a root, a word with head 0"},
      {{"1 a _ 0 root", "2 b _ 1 x", "3 c _ 0 root"},
       "line 4: word 3: its sentence must have one root, it and word 1 have head 0"},
      {{"1 a _ 0 root", "2 b _ 4 x", "3 c _ 2 x", "4 d _ 3 x", "5 e _ 3 x"},
       "line 3: word 2: its heads lead back to it, in a cycle"},
      {{"1 e _ 3 x", "2 b _ 3 x", "3 c _ 2 x", "4 d _ 0 x"},
       "line 4: word 3: its heads lead back to it, in a cycle"},
  };
  for (const Case& c : cases) {
    const std::string text = "# a comment\n" + conllu(c.lines);
    CAPTURE(text);
    CHECK(error_of<FileError>([&] { read_text(text); }) == "read_conllu: \"x\", " + c.message);
  }
  // The line counts lines that are no words.
  const std::string text = "# c\n0.1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n1-2\ta\t_\t_\t_\t_\t_\t_\t_\t_\n" +
                           conllu({"1 a _ 0 root", "2 b _ 3 x"});
  CHECK(contains(error_of<FileError>([&] { read_text(text); }), "line 5: word 2: its head"));
}

TEST_CASE("Reader: heads as they are asked for", "[parse]") {
  const std::string two_roots = conllu({"1 a _ 0 root", "2 b _ 0 root", "3 c _ 2 x"});
  const std::string blind = conllu({"1 a _ _ _", "2 b _ 0 root", "3 c _ _ _"});
  const std::string cycle = conllu({"1 a _ 2 x", "2 b _ 1 x"});
  const std::string outside = conllu({"1 a _ 2 x"});
  const auto reads = [](const std::string& text, Heads heads) {
    try {
      return text_of(read_text(text, {.heads = heads})) == text;
    } catch (const FileError&) {
      return false;
    }
  };
  CHECK_FALSE(reads(two_roots, Heads::tree));
  CHECK(reads(two_roots, Heads::forest));
  CHECK(reads(two_roots, Heads::any));
  CHECK_FALSE(reads(blind, Heads::tree));
  CHECK_FALSE(reads(blind, Heads::forest));
  CHECK(reads(blind, Heads::any));
  CHECK_FALSE(reads(cycle, Heads::forest));
  CHECK(reads(cycle, Heads::any));
  CHECK_FALSE(reads(outside, Heads::any));
  CHECK(read_text(blind, {.heads = Heads::any})[0].words[0].head == kNone);
  CHECK(error_of<FileError>([] { read_text(conllu({"1 a _ x _"}), {.heads = Heads::any}); }) ==
        "read_conllu: \"x\", line 1: HEAD must be a whole number or _, is \"x\"");
}

TEST_CASE("CoNLL-X: ten columns, no multi-word tokens", "[parse]") {
  const ReadOptions options{.format = Format::conllx};
  const std::string text =
      "1\tThe\t_\tDT\tDT\t_\t2\tdet\t_\t_\n"
      "2\tend\t_\tNN\tNN\t_\t0\troot\t0\troot\n\n";
  const std::vector<Sentence> all = read_text(text, options);
  REQUIRE(all.size() == 1);
  CHECK(text_of(all) == text);
  CHECK(all[0].words[1].xpos == "NN");
  CHECK(all[0].words[1].deps == "0");
  const auto error = [&](const std::string& line) {
    return error_of<FileError>([&] { read_text(line, options); });
  };
  CHECK(contains(error("1-2\ta\t_\tDT\tDT\t_\t_\t_\t_\t_\n"), "ID must be 1, is \"1-2\""));
  CHECK(contains(error("1\ta\t_\t\tDT\t_\t_\t_\t_\t_\n"), "CPOSTAG must not be empty"));
  CHECK(contains(error("1\ta\t_\tDT\tDT\t_\t0\troot\t_\t\n"), "PDEPREL must not be empty"));
}

TEST_CASE("Reader: stated limits", "[parse]") {
  const std::string ok = "1\ta\t_\t_\t_\t_\t0\troot\t_\t_\n";
  std::string line = "# " + std::string(kMaxLineBytes - 2, 'x');
  CHECK(read_text(line + "\r\n" + ok).size() == 1);
  CHECK(error_of<FileError>([&] { read_text(ok + "\n" + line + "x\n" + ok); }) ==
        "read_conllu: \"x\", line 3: must have at most 1048576 bytes, has more");
  CHECK_THROWS_AS(read_text(std::string(3 << 20, 'x')), FileError);
  std::string comments;
  for (int i = 0; i < 17; ++i) (comments += line) += '\n';
  CHECK(error_of<FileError>([&] { read_text(comments + ok); }) ==
        "read_conllu: \"x\", line 17: a sentence must have at most 100000 lines and 16777216 "
        "bytes, this has more");
  std::string many;
  for (int i = 0; i < kMaxSentenceLines - 1; ++i) many += "#\n";
  CHECK(read_text(many + ok).size() == 1);
  CHECK(contains(error_of<FileError>([&] { read_text("#\n" + many + ok); }), "line 100001: "));
}

TEST_CASE("to_conllu: refuses what could not be read again", "[parse]") {
  const Sentence good = read_text(kText)[0];
  const auto error = [&](const auto& change) {
    Sentence sentence = good;
    change(sentence);
    return error_of<ArgumentError>([&] { to_conllu(sentence); });
  };
  CHECK(error([](Sentence& s) { s.words.clear(); }) == "to_conllu: a sentence must have words");
  CHECK(error([](Sentence& s) { s.words[1].form = ""; }) ==
        "to_conllu: word 2: has an empty column");
  CHECK(error([](Sentence& s) { s.words[1].form = " "; }) ==
        "to_conllu: word 2: has an empty column");
  CHECK(error([](Sentence& s) { s.words[4].misc = ""; }) ==
        "to_conllu: word 5: has an empty column");
  CHECK(error([](Sentence& s) { s.words[0].form = "a\tb"; }) ==
        "to_conllu: word 1: must have 10 columns divided by tabs, has 11");
  CHECK(contains(error([](Sentence& s) { s.words[0].lemma = "a\nb"; }), "is a line break"));
  CHECK(contains(error([](Sentence& s) { s.words[0].deprel = "\xFF"; }), "must be UTF-8"));
  CHECK(error([](Sentence& s) { s.comments[1] = "text"; }) ==
        "to_conllu: comment 2: must begin with #");
  CHECK(contains(error([](Sentence& s) { s.comments[1] += "\n"; }), "comment 2: byte "));
  CHECK(contains(error([](Sentence& s) { s.extras[1].line = "x"; }),
                 "extra line 2: must have 10 columns"));
  // Number 3 stands nowhere, or number 4 before it.
  for (const auto& [after, number] : {std::pair{-1, '3'}, std::pair{6, '3'}, std::pair{3, '4'}}) {
    const int32_t place = after;
    CHECK(error([&](Sentence& s) { s.extras[2].after = place; }) ==
          std::string("to_conllu: extra line ") + number +
              ": must follow a word, and the extra lines before it");
  }
}

TEST_CASE("read_conllu and write_conllu: files", "[parse]") {
  const Folder folder;
  write_bytes(folder.file("a"), kText);
  const std::vector<Sentence> all = read_conllu(folder.file("a"));
  CHECK(all == read_text(kText));
  write_conllu(folder.file("b"), all);
  CHECK(read_bytes(folder.file("b")) == kText);
  write_conllu(folder.file("c"), Sentences(std::vector<const Sentence*>{&all[1], &all[0]}));
  CHECK(read_conllu(folder.file("c"))[1] == all[0]);
  write_conllu(folder.file("d"), std::vector<Sentence>{});
  CHECK(read_conllu(folder.file("d")).empty());
  CHECK(contains(error_of<FileError>([&] { read_conllu(folder.file("none")); }), "cannot open it"));
  CHECK(contains(error_of<FileError>([&] { read_conllu(folder.path); }), "is a folder"));
  CHECK_THROWS_AS(write_conllu(folder.file("no/where"), all), FileError);
  std::vector<Sentence> bad = all;
  bad[1].words[0].form = "";
  CHECK_THROWS_AS(write_conllu(folder.file("b"), bad), ArgumentError);
  CHECK(read_bytes(folder.file("b")) == kText);
  write_bytes(folder.file("a"), kText + "x\n");
  CHECK(contains(error_of<FileError>([&] { read_conllu(folder.file("a")); }), "a\", line 20: "));
}

TEST_CASE("Reader: damaged bytes are an error or sentences, never a crash", "[parse]") {
  std::mt19937 random(2);
  const std::string bytes = "\t\n\r\0 #-._0123456789ax\x80\xC3\xEF\xFF";
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string text = kText;
    for (size_t n = 1 + random() % 3; n > 0; --n) {
      const size_t at = random() % text.size();
      if (random() % 4 == 0)
        text.erase(at, random() % 20);
      else
        text[at] = bytes[random() % bytes.size()];
    }
    const ReadOptions options{random() % 4 ? Format::conllu : Format::conllx,
                              static_cast<Heads>(random() % 3)};
    try {
      const std::vector<Sentence> all = read_text(text, options);
      REQUIRE(read_text(text_of(all), options) == all);
    } catch (const FileError& error) {
      REQUIRE(contains(error.what(), "read_conllu: \"x\", line "));
      ++refused;
    }
  }
  CHECK(refused > 2000);
  CHECK(refused < 3990);
}

// --- trees ------------------------------------------------------------------------------------

namespace {

/// Calls body(heads) for all heads of n words, trees or not.
template <class Body>
void for_all_heads(int32_t n, const Body& body) {
  HeadList heads(n + 1, 0);
  heads[0] = kNone;
  while (true) {
    body(heads);
    int32_t w = n;
    while (w > 0 && heads[w] == n) heads[w--] = 0;
    if (w == 0) return;
    ++heads[w];
  }
}

bool is_tree(const HeadList& heads) {
  if (std::count(heads.begin() + 1, heads.end(), 0) != 1) return false;
  for (size_t w = 1; w < heads.size(); ++w) {
    int32_t at = static_cast<int32_t>(w);
    for (size_t steps = 0; at != 0 && steps < heads.size(); ++steps) at = heads[at];
    if (at != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("trees: all heads of up to five words", "[parse]") {
  // How many of them are projective: OEIS A006013.
  const int64_t expected[] = {1, 2, 7, 30, 143};
  for (int32_t n = 1; n <= 5; ++n) {
    int64_t projective = 0, trees = 0;
    for_all_heads(n, [&](const HeadList& heads) {
      const std::string error = error_of<ArgumentError>([&] { check_tree(heads); });
      REQUIRE(error.empty() == is_tree(heads));
      if (!error.empty()) return;
      const auto slow = slow_nonprojective_words(heads);
      REQUIRE(nonprojective_words(heads) == slow);
      REQUIRE(is_projective(heads) == slow.empty());
      const std::string stuck = error_of<ArgumentError>([&] { oracle(heads); });
      REQUIRE(stuck.empty() == slow.empty());
      ++trees;
      projective += slow.empty();
    });
    CHECK(trees == static_cast<int64_t>(std::llround(std::pow(n, n - 1))));
    CHECK(projective == expected[n - 1]);
  }
}

TEST_CASE("trees: projectivity of random trees and of forests", "[parse]") {
  std::mt19937 random(4);
  for (int i = 0; i < 400; ++i) {
    const HeadList heads = any_tree(random, 1 + static_cast<int32_t>(random() % 30));
    REQUIRE(nonprojective_words(heads) == slow_nonprojective_words(heads));
    REQUIRE(is_projective(heads) == slow_nonprojective_words(heads).empty());
    REQUIRE(is_projective(projective_tree(random, 1 + static_cast<int32_t>(random() % 60))));
  }
  CHECK(is_projective({kNone, 0, 0, 2, 0}));
  CHECK(nonprojective_words({kNone, 0, 0, 1, 2}) == std::vector<int32_t>{3, 4});
  CHECK(is_projective({kNone}));
}

TEST_CASE("trees: refuses what is none", "[parse]") {
  CHECK(error_of<ArgumentError>([] {
          check_tree({kNone, 0, 5});
        }) == "check_tree: word 2: its head must be in [0, 2], is 5");
  CHECK(contains(error_of<ArgumentError>([] { check_tree({kNone, 0, -2}); }), "is -2"));
  CHECK(contains(error_of<ArgumentError>([] { check_tree({kNone, 0, kNone}); }), "must be known"));
  CHECK(contains(error_of<ArgumentError>([] { check_tree({kNone, 0, 0}); }), "one root"));
  CHECK(contains(error_of<ArgumentError>([] { is_projective({kNone, 2, 1, 0}); }), "in a cycle"));
  for (const HeadList& bad : {HeadList{}, HeadList{0, 0}})
    CHECK(contains(error_of<ArgumentError>([&] { nonprojective_words(bad); }), "must begin with"));
}

// --- transitions ------------------------------------------------------------------------------

namespace {

void act(State& state, Action action, int32_t label) {
  if (action == Action::shift)
    state.shift();
  else if (action == Action::left_arc)
    state.left_arc(label);
  else
    state.right_arc(label);
}

/// Heads after the oracle's actions.
HeadList rebuilt(const HeadList& heads) {
  State state(static_cast<int32_t>(heads.size()) - 1);
  const std::vector<Action> actions = oracle(heads);
  REQUIRE(actions.size() == 2 * (heads.size() - 1));
  for (const Action action : actions) act(state, action, 0);
  REQUIRE(state.done());
  return state.heads();
}

HeadList heads_from(int32_t n, const std::function<int32_t(int32_t)>& head) {
  HeadList heads{kNone};
  for (int32_t w = 1; w <= n; ++w) heads.push_back(head(w));
  return heads;
}

}  // namespace

TEST_CASE("oracle: rebuilds every projective tree", "[parse]") {
  std::mt19937 random(5);
  for (int32_t n = 0; n <= 200; ++n)
    for (int i = 0; i < 5; ++i) {
      const HeadList heads = projective_tree(random, n);
      REQUIRE(rebuilt(heads) == heads);
    }
}

TEST_CASE("oracle: long chains and stars", "[parse]") {
  constexpr int32_t n = 5000;
  const HeadList shapes[] = {
      heads_from(n, [](int32_t w) { return w - 1; }),
      heads_from(n, [](int32_t w) { return w == n ? 0 : w + 1; }),
      heads_from(n, [](int32_t w) { return w == 1 ? 0 : 1; }),
      heads_from(n, [](int32_t w) { return w == n ? 0 : n; }),
      heads_from(n, [](int32_t w) { return w == n / 2 ? 0 : n / 2; }),
      // From the outside in: 1 -> n -> 2 -> n - 1 -> ...
      heads_from(n, [](int32_t w) { return w == 1       ? 0
                                           : w <= n / 2 ? n + 2 - w
                                                        : n + 1 - w; }),
  };
  for (const HeadList& heads : shapes) {
    CHECK(rebuilt(heads) == heads);
    CHECK(nonprojective_words(heads).empty());
  }
  std::mt19937 random(6);
  CHECK_FALSE(nonprojective_words(any_tree(random, n)).empty());
}

TEST_CASE("oracle: a tree as in the textbook", "[parse]") {
  // He has good control .
  const std::vector<Action> actions = oracle({kNone, 2, 0, 4, 2, 2});
  const Action s = Action::shift, l = Action::left_arc, r = Action::right_arc;
  CHECK(actions == std::vector<Action>{s, s, l, s, s, l, r, s, r, r});
  CHECK(oracle({kNone}).empty());
  CHECK(oracle({kNone, 0}) == std::vector<Action>{s, r});
}

TEST_CASE("oracle: refuses what it cannot reach", "[parse]") {
  CHECK(contains(error_of<ArgumentError>([] { oracle({kNone, 3, 4, 0, 3}); }), "not projective"));
  CHECK(contains(error_of<ArgumentError>([] { oracle({kNone, 0, 0}); }), "one root"));
  const Oracle two({kNone, 2, 0});
  CHECK(contains(error_of<ArgumentError>([&] { two.next(State(3)); }), "must be one of 2 words"));
  State state(2);
  for (const Action action : oracle({kNone, 2, 0})) act(state, action, 0);
  CHECK(contains(error_of<ArgumentError>([&] { two.next(state); }), "complete"));
}

TEST_CASE("State: refuses what is not legal", "[parse]") {
  CHECK_THROWS_AS(State(-1), ArgumentError);
  State state(2);
  CHECK(contains(error_of<ArgumentError>([&] { state.left_arc(0); }), "there are 0"));
  CHECK(contains(error_of<ArgumentError>([&] { state.right_arc(0); }), "there are 0"));
  state.shift();
  CHECK(contains(error_of<ArgumentError>([&] { state.left_arc(0); }), "there are 1"));
  CHECK(contains(error_of<ArgumentError>([&] { state.right_arc(0); }), "1, and 1 in the buffer"));
  state.shift();
  CHECK(contains(error_of<ArgumentError>([&] { state.shift(); }), "must be left"));
  state.left_arc(7);
  CHECK(state.moves() == Moves::root);
  CHECK_THROWS_AS(state.left_arc(0), ArgumentError);
  state.right_arc(3);
  CHECK(state.done());
  CHECK(state.heads() == HeadList{kNone, 2, 0});
  CHECK(state.label(1) == 7);
  CHECK_THROWS_AS(state.right_arc(0), ArgumentError);
  state.restart(0);
  CHECK(state.done());
  CHECK(state.stack(0) == 0);
  CHECK_THROWS_AS(state.shift(), ArgumentError);
}

TEST_CASE("Transitions: classes and masks", "[parse]") {
  const Transitions transitions(4, 2);
  CHECK(transitions.classes() == 9);
  const Tensor masks = transitions.masks();
  CHECK(masks.shape() == Shape{kMoveKinds, 9});
  const bool* mask = masks.data<bool>();
  const std::string rows[] = {"000000000", "100000000", "111011101", "011011101", "000000010"};
  for (int m = 0; m < kMoveKinds; ++m) {
    std::string row;
    for (int32_t t = 0; t < 9; ++t) {
      row += mask[m * 9 + t] ? '1' : '0';
      CHECK(transitions.legal(static_cast<Moves>(m), t) == mask[m * 9 + t]);
    }
    CHECK(row == rows[m]);
  }
  for (int32_t label = 0; label < 4; ++label) {
    CHECK(transitions.action(transitions.left(label)) == Action::left_arc);
    CHECK(transitions.label(transitions.left(label)) == label);
    CHECK(transitions.action(transitions.right(label)) == Action::right_arc);
    CHECK(transitions.label(transitions.right(label)) == label);
  }
  CHECK(transitions.label(Transitions::kShift) == kNone);
  CHECK(transitions.forced(Moves::shift) == Transitions::kShift);
  CHECK(transitions.forced(Moves::root) == transitions.right(2));
  CHECK(transitions.forced(Moves::any) == kNone);
  State state(1);
  CHECK_THROWS_AS(transitions.apply(state, 9), RangeError);
  CHECK_THROWS_AS(transitions.apply(state, -1), RangeError);
  CHECK(contains(error_of<ArgumentError>([&] { transitions.apply(state, 3); }),
                 "transition 3 is not legal with 0 words on the stack and 1 in the buffer"));
  CHECK_THROWS_AS(Transitions(0, 0), ArgumentError);
  CHECK_THROWS_AS(Transitions(3, 3), ArgumentError);
  CHECK_THROWS_AS(Transitions(3, -1), ArgumentError);
}

TEST_CASE("Transitions: every legal walk ends in a tree with one root", "[parse]") {
  std::mt19937 random(7);
  const Transitions several(5, 3), one(1, 0);
  for (int i = 0; i < 1500; ++i) {
    const Transitions& transitions = i % 3 ? several : one;
    const auto n = static_cast<int32_t>(random() % 40);
    State state(n);
    int32_t steps = 0;
    for (; !state.done(); ++steps) {
      std::vector<int32_t> legal;
      for (int32_t t = 0; t < transitions.classes(); ++t)
        if (transitions.legal(state.moves(), t)) legal.push_back(t);
      REQUIRE_FALSE(legal.empty());
      const int32_t forced = transitions.forced(state.moves());
      REQUIRE((forced != kNone) == (legal.size() == 1));
      if (forced != kNone) REQUIRE(forced == legal[0]);
      transitions.apply(state, legal[random() % legal.size()]);
    }
    REQUIRE(steps == 2 * n);
    if (n == 0) continue;
    REQUIRE(is_tree(state.heads()));
    REQUIRE(is_projective(state.heads()));
    for (int32_t w = 1; w <= n; ++w) {
      REQUIRE(transitions.fits(state.label(w), state.head(w) == 0));
      if (i % 3) REQUIRE((state.label(w) == 3) == (state.head(w) == 0));
    }
  }
}

// --- vocabulary -------------------------------------------------------------------------------

namespace {

using Words = std::vector<std::string>;

std::vector<Sentence> small_treebank() {
  return read_text(conllu({"1 The DET 2 det", "2 CAFÉ NOUN 0 root", "3 1984 NUM 2 nummod"}) +
                   conllu({"1 the DET 2 det", "2 Café NOUN 0 root"}) +
                   conllu({"1 2024 NUM 0 top", "2 b X 1 dep"}) + conllu({"1 Я X 0 root"}));
}

}  // namespace

TEST_CASE("Vocabulary: of a treebank", "[parse]") {
  const Vocabulary all = Vocabulary::of(small_treebank(), {.least = 1});
  CHECK(all.words() == Words{"0000", "café", "the", "b", "я"});
  CHECK(all.tags() == Words{"DET", "NOUN", "NUM", "X"});
  CHECK(all.labels() == Words{"root", "det", "dep", "nummod", "top"});
  CHECK(all.root() == "root");
  CHECK(Vocabulary::of(small_treebank()).words() == Words{"0000", "café", "the"});
  const Vocabulary plain =
      Vocabulary::of(small_treebank(), {.least = 1, .lower = false, .digits = false});
  CHECK(plain.words() == Words{"1984", "2024", "CAFÉ", "Café", "The", "b", "the", "Я"});
  const Vocabulary both = Vocabulary::of(small_treebank(), {.tags = Tags::both});
  CHECK(both.tags() == Words{"DET|_", "NOUN|_", "NUM|_", "X|_"});
  CHECK(Vocabulary::of(small_treebank(), {.tags = Tags::xpos}).tags() == Words{"_"});
  CHECK(all.transitions().classes() == 11);
  CHECK(all.transitions().root() == 0);
}

TEST_CASE("Vocabulary: rows of one table", "[parse]") {
  const Vocabulary v({"b", "a"}, {"X"}, {"det", "root"}, "root", {});
  CHECK(v.tags_begin() == 5);
  CHECK(v.labels_begin() == 9);
  CHECK(v.size() == 12);
  const Words names = {"<null>", "<root>",    "<unknown>", "b",      "a",   "<null>",
                       "<root>", "<unknown>", "X",         "<null>", "det", "root"};
  for (int32_t row = 0; row < v.size(); ++row) CHECK(v.name(row) == names[row]);
  CHECK_THROWS_AS(v.name(-1), RangeError);
  CHECK_THROWS_AS(v.name(12), RangeError);
  CHECK(v.word_id("A") == 4);
  CHECK(v.word_id("c") == Vocabulary::kUnknown);
  CHECK(v.word_id("<null>") == Vocabulary::kUnknown);
  CHECK(v.word_id("") == Vocabulary::kUnknown);
  CHECK(v.label("root") == 1);
  CHECK(v.label("x") == kNone);
  Sentence sentence;
  sentence.words = {Word{.form = "B", .upos = "X"}, Word{.form = "?", .upos = "Y"}};
  const Ids ids = v.ids(sentence);
  CHECK(ids.words == std::vector<int32_t>{0, 1, 3, 2});
  CHECK(ids.tags == std::vector<int32_t>{5, 6, 8, 7});
}

TEST_CASE("Vocabulary: spelling", "[parse]") {
  const auto spelled = [](const std::string& form, const VocabularyOptions& options) {
    return Vocabulary::of(read_text(conllu({"1 " + form + " X 0 root"})), options).words()[0];
  };
  const VocabularyOptions both{.least = 1}, lower{.least = 1, .digits = false},
      digits{.least = 1, .lower = false}, none{.least = 1, .lower = false, .digits = false};
  const std::string form =
      "AZaz[`@{-"
      "ÀÖ×ØÞßĀĮİĲĶĹŇŊŶŹŽΆΑΡΣΫЀЯѠҀҊԮԱՖẀẔẠỸＡＺ9٣𝐀";
  CHECK(spelled(form, lower) ==
        "azaz[`@{-"
        "àö×øþßāįİĳķĺňŋŷźžΆαρσϋѐяѡҁҋԯաֆẁẕạỹａｚ9٣𝐀");
  CHECK(spelled("A10,5", both) == "a00,0");
  CHECK(spelled("A10,5", lower) == "a10,5");
  CHECK(spelled("A10,5", digits) == "A00,0");
  CHECK(spelled(form, none) == form);
}

TEST_CASE("Vocabulary: refuses what does not fit", "[parse]") {
  const auto error = [](const Words& words, const Words& tags, const Words& labels,
                        const std::string& root) {
    return error_of<ArgumentError>([&] { Vocabulary(words, tags, labels, root); });
  };
  CHECK(error({"a", ""}, {}, {"r"}, "r") ==
        "Vocabulary: word 1 must be UTF-8 text without tabs and line breaks, is \"\"");
  CHECK(contains(error({}, {"\xFF"}, {"r"}, "r"), "tag 0 must be UTF-8"));
  CHECK(contains(error({}, {}, {"r", "a\tb"}, "r"), "label 1 must be UTF-8"));
  CHECK(contains(error({std::string("a\0", 2)}, {}, {"r"}, "r"), "word 0"));
  CHECK(error({"a", "b", "a"}, {}, {"r"}, "r") ==
        "Vocabulary: each word must come once, \"a\" is number 0 and 2");
  CHECK(error({}, {}, {"r"}, "x") ==
        "Vocabulary: the root's label must be one of the labels, is \"x\"");
  CHECK_THROWS_AS(Vocabulary({}, {}, {"r"}, "r", {.least = 0}), ArgumentError);
  CHECK(contains(error_of<ArgumentError>([] { Vocabulary::of(std::vector<Sentence>{}); }),
                 "at least one tree"));
}

// --- features and examples --------------------------------------------------------------------

namespace {

/// The 48 rows by definition: from lists of stack, buffer and heads, searched each time.
struct SlowParse {
  const Vocabulary& vocabulary;
  const Sentence& sentence;
  std::vector<int32_t> stack{0}, buffer;
  HeadList heads;

  SlowParse(const Vocabulary& v, const Sentence& s)
      : vocabulary(v), sentence(s), buffer(s.words.size()), heads(s.words.size() + 1, kNone) {
    std::iota(buffer.begin(), buffer.end(), 1);
  }

  void act(Action action) {
    if (action == Action::shift) {
      stack.push_back(buffer.front());
      buffer.erase(buffer.begin());
      return;
    }
    const int32_t top = stack.back(), below = stack[stack.size() - 2];
    stack.resize(stack.size() - 2);
    stack.push_back(action == Action::left_arc ? top : below);
    heads[action == Action::left_arc ? below : top] = stack.back();
  }

  static int32_t at(const std::vector<int32_t>& list, size_t i) {
    return i < list.size() ? list[i] : kNone;
  }
  std::vector<int32_t> children(int32_t word, bool left) const {
    std::vector<int32_t> found;
    for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w)
      if (word != kNone && heads[w] == word && (w < word) == left) found.push_back(w);
    if (!left) std::reverse(found.begin(), found.end());
    return found;
  }

  std::vector<std::string> features() const {
    std::vector<int32_t> up(stack.rbegin(), stack.rend());
    std::vector<int32_t> words = {at(up, 2),     at(up, 1),     at(up, 0),
                                  at(buffer, 0), at(buffer, 1), at(buffer, 2)};
    for (size_t i = 0; i < 2; ++i) {
      const auto left = children(at(up, i), true), right = children(at(up, i), false);
      words.insert(words.end(), {at(left, 0), at(right, 0), at(left, 1), at(right, 1)});
      words.push_back(at(children(at(left, 0), true), 0));
      words.push_back(at(children(at(right, 0), false), 0));
    }
    std::vector<std::string> names;
    for (const int32_t w : words)
      names.push_back(w == kNone ? "<null>" : w == 0 ? "<root>" : sentence.words[w - 1].form);
    for (const int32_t w : words)
      names.push_back(w == kNone ? "<null>" : w == 0 ? "<root>" : sentence.words[w - 1].upos);
    for (size_t i = 6; i < 18; ++i)
      names.push_back(words[i] <= 0 ? "<null>" : sentence.words[words[i] - 1].deprel);
    return names;
  }
};

std::vector<std::string> names_of(const Vocabulary& vocabulary, const int32_t* rows) {
  std::vector<std::string> names;
  for (int i = 0; i < kFeatures; ++i) names.push_back(vocabulary.name(rows[i]));
  return names;
}

std::vector<Sentence> random_treebank(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Sentence> all;
  for (int i = 0; i < count; ++i)
    all.push_back(sentence_of(projective_tree(random, 1 + static_cast<int32_t>(random() % 25))));
  return all;
}

const VocabularyOptions kPlain{.least = 1, .lower = false, .digits = false};

}  // namespace

TEST_CASE("examples: features, classes and moves of every step", "[parse]") {
  const std::vector<Sentence> all = random_treebank(60, 8);
  const Vocabulary vocabulary = Vocabulary::of(all, kPlain);
  const Transitions transitions = vocabulary.transitions();
  const Examples found = examples(all, vocabulary);
  CHECK(found.trees == 60);
  CHECK(found.nonprojective == 0);
  CHECK(found.unusable == 0);
  const int32_t* rows = found.features.data<int32_t>();
  int64_t i = 0;
  for (const Sentence& sentence : all) {
    SlowParse slow(vocabulary, sentence);
    for (const Action action : oracle(heads_of(sentence))) {
      const bool left = action == Action::left_arc;
      std::string label;
      if (action != Action::shift)
        label = sentence.words[slow.stack[slow.stack.size() - (left ? 2 : 1)] - 1].deprel;
      REQUIRE(names_of(vocabulary, rows + i * kFeatures) == slow.features());
      const auto chosen = static_cast<int32_t>(found.classes.data<int64_t>()[i]);
      REQUIRE(transitions.action(chosen) == action);
      REQUIRE(transitions.label(chosen) == (label.empty() ? kNone : vocabulary.label(label)));
      REQUIRE(transitions.legal(static_cast<Moves>(found.moves.data<uint8_t>()[i]), chosen));
      slow.act(action);
      ++i;
    }
    CHECK(slow.heads == heads_of(sentence));
  }
  CHECK(found.features.shape() == Shape{i, kFeatures});
  CHECK(found.classes.shape() == Shape{i});
  CHECK(found.moves.shape() == Shape{i});
}

TEST_CASE("features: many sentences in step, on random walks", "[parse]") {
  const std::vector<Sentence> all = random_treebank(150, 9);
  const Vocabulary vocabulary = Vocabulary::of(all, kPlain);
  const Transitions transitions = vocabulary.transitions();
  std::mt19937 random(10);
  std::vector<Configuration> each;
  std::vector<SlowParse> slow;
  std::vector<Sentence> labelled = all;  // takes the labels of the walk, for the slow formula
  for (size_t i = 0; i < all.size(); ++i) {
    each.push_back(start(vocabulary, all[i]));
    slow.emplace_back(vocabulary, labelled[i]);
  }
  std::vector<size_t> open(all.size());
  std::iota(open.begin(), open.end(), 0);
  while (!open.empty()) {
    std::vector<Configuration*> states;
    for (const size_t i : open) states.push_back(&each[i]);
    std::vector<int32_t> rows(states.size() * kFeatures), chosen;
    features(vocabulary, {states.begin(), states.end()}, rows.data());
    for (size_t k = 0; k < open.size(); ++k) {
      REQUIRE(names_of(vocabulary, &rows[k * kFeatures]) == slow[open[k]].features());
      int32_t t = 0;
      do t = static_cast<int32_t>(random() % transitions.classes());
      while (!transitions.legal(states[k]->state.moves(), t));
      chosen.push_back(t);
      const Action action = transitions.action(t);
      const State& state = states[k]->state;
      if (action != Action::shift)
        labelled[open[k]].words[state.stack(action == Action::left_arc ? 1 : 0) - 1].deprel =
            vocabulary.labels()[transitions.label(t)];
      slow[open[k]].act(action);
    }
    apply(transitions, states, chosen);
    std::erase_if(open, [&](size_t i) { return each[i].state.done(); });
  }
  for (size_t i = 0; i < all.size(); ++i) CHECK(each[i].state.heads() == slow[i].heads);
}

TEST_CASE("apply: refuses what does not fit", "[parse]") {
  const std::vector<Sentence> all = random_treebank(2, 1);
  const Vocabulary vocabulary = Vocabulary::of(all, kPlain);
  Configuration one = start(vocabulary, all[0]);
  Configuration* const each[] = {&one};
  const Transitions transitions = vocabulary.transitions();
  CHECK_THROWS_AS(apply(transitions, each, std::vector<int32_t>{0, 0}), ArgumentError);
  CHECK_THROWS_AS(apply(transitions, each, std::vector<int32_t>{1}), ArgumentError);
  CHECK_THROWS_AS(apply(transitions, each, std::vector<int32_t>{-1}), RangeError);
}

TEST_CASE("examples: the same for any number of threads", "[parse]") {
  const std::vector<Sentence> all = random_treebank(700, 11);
  const Vocabulary vocabulary = Vocabulary::of(all);
  std::vector<std::vector<double>> results;
  for (const int n : {1, 2, 5}) {
    const Examples found = test::with_threads(n, [&] { return examples(all, vocabulary); });
    results.push_back(found.features.to_vector());
    for (const Tensor& x : {found.classes, found.moves}) {
      const std::vector<double> values = x.to_vector();
      results.back().insert(results.back().end(), values.begin(), values.end());
    }
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("examples: trees that are left out", "[parse]") {
  const std::vector<Sentence> train = random_treebank(50, 12);
  const Vocabulary vocabulary = Vocabulary::of(train);
  const Sentence good = sentence_of({kNone, 2, 0, 2});
  Sentence crossing = sentence_of({kNone, 3, 4, 0, 3}), unknown = good, rooted = good,
           unrooted = good;
  unknown.words[0].deprel = "unheard-of";
  rooted.words[0].deprel = "root";
  unrooted.words[1].deprel = "l1";
  const Sentence roots = sentence_of({kNone, 0, 0});
  const std::vector<Sentence> all = {good, crossing, unknown, rooted, unrooted, roots, good};
  const Examples found = examples(all, vocabulary);
  CHECK(found.trees == 2);
  CHECK(found.nonprojective == 1);
  CHECK(found.unusable == 4);
  CHECK(found.classes.shape() == Shape{12});
  // Without labels, the root's is that of all.
  const std::vector<Sentence> bare = read_text(conllu({"1 a X 2 _", "2 b X 0 _"}));
  CHECK(examples(bare, Vocabulary::of(bare)).trees == 1);
  const Examples none = examples(std::vector<Sentence>{}, vocabulary);
  CHECK(none.features.shape() == Shape{0, kFeatures});
  CHECK(error_of<ArgumentError>([&] {
          examples(std::vector<Sentence>{good, sentence_of({kNone, 0, kNone})}, vocabulary);
        }) == "examples: sentence 2, word 2: its head must be known");
  CHECK(contains(error_of<ArgumentError>([&] {
                   examples(std::vector<Sentence>{sentence_of({kNone, 0, 3, 2})}, vocabulary);
                 }),
                 "in a cycle"));
}

// --- scores -----------------------------------------------------------------------------------

TEST_CASE("score: both conventions", "[parse]") {
  const auto gold = read_text(
      conllu({"1 a NN 2 nsubj:pass", "2 b VB 0 root", "3 c NN 2 obj", "4 , PUNCT 2 punct"}));
  const auto predicted =
      read_text(conllu({"1 a , 2 nsubj", "2 b VB 0 root", "3 c NN 2 iobj", "4 , NN 3 punct"}));
  const Score conll = score(gold, predicted);
  CHECK(conll.words == 4);
  CHECK(conll.heads == 3);
  CHECK(conll.relations == 2);
  CHECK(conll.uas() == 75.0);
  CHECK(conll.las() == 50.0);
  const Score ptb = score(gold[0], predicted[0], Convention::ptb);
  CHECK(ptb.words == 3);
  CHECK(ptb.heads == 3);
  CHECK(ptb.relations == 1);
  CHECK(ptb.las() == 100.0 * (1.0 / 3.0));
  Score sum = ptb;
  sum += ptb;
  CHECK(sum.words == 6);
  CHECK(Score{}.uas() == 0.0);
  CHECK(score(std::vector<Sentence>{}, std::vector<Sentence>{}).words == 0);
}

TEST_CASE("score: punctuation by the tags of the Penn Treebank", "[parse]") {
  for (const std::string tag :
       {"``", "''", ":", ",", ".", "PUNCT", "NN", "$", "#", "-LRB-", "SYM"}) {
    Sentence sentence;
    sentence.words = {Word{.form = "x", .upos = "NOUN", .xpos = tag, .head = 0, .deprel = "root"}};
    const bool counts = tag.size() > 2 ? tag != "PUNCT" : tag == "NN" || tag == "$" || tag == "#";
    CHECK(score(sentence, sentence, Convention::ptb).words == counts);
    CHECK(score(sentence, sentence).words == 1);
    std::swap(sentence.words[0].upos, sentence.words[0].xpos);
    CHECK(score(sentence, sentence, Convention::ptb).words == 1);
    sentence.words[0].xpos = "_";
    CHECK(score(sentence, sentence, Convention::ptb).words == counts);
  }
}

TEST_CASE("score: refuses what does not fit together", "[parse]") {
  const Sentence good = sentence_of({kNone, 2, 0});
  const auto error = [&](const Sentence& other) {
    return error_of<ArgumentError>([&] {
      score(std::vector<Sentence>{good, good}, std::vector<Sentence>{good, other});
    });
  };
  Sentence other = good;
  other.words[1].form = "x";
  CHECK(error(other) ==
        "score: sentence 2: both must have the same words, word 2 is \"w2\" and \"x\"");
  CHECK(error(sentence_of({kNone, 0})) ==
        "score: sentence 2: both must have the same words, there are 2 and 1");
  CHECK(error(sentence_of({kNone, 0, kNone})) ==
        "score: sentence 2: the heads of word 2 must be known");
  CHECK(contains(
      error_of<ArgumentError>([&] { score(std::vector<Sentence>{good}, std::vector<Sentence>{}); }),
      "the same sentences, there are 1 and 0"));
}
