// Raw text: how tokens_of() and sentence_of() cut a line, and what CoNLL-U they make of it.

#include <random>
#include <sstream>

#include "catch.h"
#include "errors.h"
#include "normlab/parse.h"

using namespace normlab;
using namespace normlab::parse;
using test::contains;
using test::error_of;

namespace {

using Words = std::vector<std::string>;

/// The extra lines' columns, of those that are multi-word tokens: first and last word, form, MISC.
struct Range {
  size_t first, last;
  std::string form, misc;
};
std::vector<Range> ranges_of(const Sentence& sentence) {
  std::vector<Range> ranges;
  for (const Extra& extra : sentence.extras) {
    std::istringstream columns(extra.line);
    Range range{};
    char dash = 0;
    std::string column;
    columns >> range.first >> dash >> range.last >> range.form;
    while (columns >> column) range.misc = column;
    CHECK(static_cast<size_t>(extra.after) + 1 == range.first);
    ranges.push_back(range);
  }
  return ranges;
}

/// The words of a line; "+" stands where no space follows, "|" within a multi-word token.
std::string cut(std::string_view line) {
  const Sentence sentence = sentence_of(line);
  std::vector<std::string> after(sentence.words.size() + 1, " ");
  for (size_t w = 1; w <= sentence.words.size(); ++w)
    if (sentence.words[w - 1].misc == "SpaceAfter=No") after[w] = "+";
  for (const Range& range : ranges_of(sentence)) {
    for (size_t w = range.first; w < range.last; ++w) after[w] = "|";
    if (range.misc == "SpaceAfter=No") after[range.last] = "+";
  }
  std::string text;
  for (size_t w = 1; w <= sentence.words.size(); ++w)
    text += sentence.words[w - 1].form + (w < sentence.words.size() ? after[w] : "");
  return text;
}

std::string text_of(std::string_view line) {
  const Sentence sentence = sentence_of(line);
  REQUIRE(sentence.comments.size() == 1);
  return std::string(sentence.note("text"));
}

/// The line without its white space, made of the surface tokens of its CoNLL-U.
std::string surface_of(const Sentence& sentence) {
  std::string text;
  const std::vector<Range> ranges = ranges_of(sentence);
  size_t next = 0, covered = 0;
  for (size_t w = 1; w <= sentence.words.size(); ++w) {
    if (next < ranges.size() && ranges[next].first == w) {
      text += ranges[next].form;
      covered = ranges[next++].last;
    } else if (w > covered) {
      text += sentence.words[w - 1].form;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("sentence_of: marks part words", "[parse]") {
  CHECK(cut("The dog barked.") == "The dog barked+.");
  CHECK(cut("  (GOOD),\tis it?!\r") == "(+GOOD+)+, is it+?!");
  CHECK(cut("“Élan” … a—b") == "“+Élan+” … a+—+b");
  CHECK(cut("[x] {y} ``z'' -LRB-") == "[+x+] {+y+} ``+z+'' -LRB-");
  CHECK(cut("wow!!! no...  -- $$ 50%-60%") == "wow+!!! no+... -- $$ 50+%+-+60+%");
  CHECK(cut(". . . ...") == ". . . ...");
  CHECK(cut("x=y <<a>> #1 (b)(c)") == "x+=+y <<+a+>> #+1 (+b+)+(+c+)");
  CHECK(cut("long-term e-mail co-worker X-ray 15-year") ==
        "long+-+term e-mail co-worker X+-+ray 15+-+year");
  CHECK(cut("and/or n/a R&D AT&T snake_case") == "and+/+or n/a R&D AT&T snake_case");
  CHECK(cut("a\xC2\xA0"
            "b\xE2\x80\x80"
            "c\xEF\xBB\xBF"
            "d") == "a b c d");
  CHECK(cut("co\xC2\xADop \xC2\xAD x") == "co\xC2\xADop x");
  CHECK(cut("Привет, мир! 日本語。 ¿Qué?") == "Привет+, мир+! 日本語+。 ¿+Qué+?");
}

TEST_CASE("sentence_of: contractions are multi-word tokens", "[parse]") {
  CHECK(cut("don't Won't isn't ain’t") == "do|n't Wo|n't is|n't ai|n’t");
  CHECK(cut("I'd've said they'll; we're, I'm") == "I|'d|'ve said they|'ll+; we|'re+, I|'m");
  CHECK(cut("cannot Gonna wanna gotta gimme dunno") ==
        "can|not Gon|na wan|na got|ta gim|me du|n|no");
  CHECK(cut("dont DIDNT im youre") == "do|nt DID|NT i|m you|re");
  CHECK(cut("John's dogs' co.'s U.S.'s a.com's") == "John|'s dogs|' co.|'s U.S.|'s a.com|'s");
  CHECK(cut("'tis c'mon") == "'t|is c'm|on");
  CHECK(cut("He said 'the dogs' (it's)") == "He said '+the dogs+' (+it|'s+)");
  // What is no contraction; what is cut already.
  CHECK(cut("o'clock rock 'n' roll l'été 'em '70s 1990's") ==
        "o'clock rock 'n' roll l'été 'em '70s 1990's");
  CHECK(cut("its ill well were lets id") == "its ill well were lets id");
  CHECK(cut("do n't it 's can not n't 's '") == "do n't it 's can not n't 's '");
}

TEST_CASE("sentence_of: a multi-word token stands before its words", "[parse]") {
  const Sentence sentence = sentence_of("I don't, cannot");
  CHECK(to_conllu(sentence) ==
        "# text = I don't, cannot\n"
        "1\tI\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
        "2\tdo\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "3\tn't\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "4\t,\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "5-6\tcannot\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "5\tcan\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "6\tnot\t_\t_\t_\t_\t_\t_\t_\t_\n\n");
}

TEST_CASE("sentence_of: addresses, files and numbers are whole", "[parse]") {
  for (const std::string word : {"https://example.com/a_(b)?q=1&x=2#top",
                                 "http://a.b-c.co.uk:8080/x/y.html",
                                 "www.foo.org/bar",
                                 "foo.com",
                                 "news.bbc.co.uk/2/hi",
                                 "john.doe+x@mail.example.com",
                                 "mailto:a@b.com",
                                 "Rice@ENRON",
                                 "#normal",
                                 "@someone",
                                 "report.final.pdf",
                                 "src/main.cpp",
                                 "/usr/local/lib",
                                 "C:\\data\\x.txt",
                                 "1,000.50",
                                 "10:30",
                                 "12/31/1999",
                                 "24/7",
                                 "555-1234",
                                 "1-800-555-1234",
                                 "+44",
                                 ".5",
                                 "3rd",
                                 "90s",
                                 "60's",
                                 "v1.2.3",
                                 "a.m.",
                                 "U.S.",
                                 "J.R.R.",
                                 "e.g.",
                                 "a.k.a",
                                 ":)",
                                 ":-(",
                                 ";)",
                                 "=)",
                                 ":D",
                                 "<3",
                                 "^_^"}) {
    CAPTURE(word);
    CHECK(cut(word + " x") == word + " x");
    CHECK(cut("x " + word + ", y") == "x " + word + "+, y");
  }
  CHECK(cut("See http://a.com/b. (www.a.com/b) <http://a.com>!") ==
        "See http://a.com/b+. (+www.a.com/b+) <+http://a.com+>+!");
  CHECK(cut("ask a@b.com. now") == "ask a@b.com+. now");
  CHECK(cut("5pm 10:30AM 35mm $5.20 US$5 -5") == "5+pm 10:30+AM 35+mm $+5.20 US$+5 -+5");
  CHECK(cut("great:) key:value end.Next http:// www. @ # a@") ==
        "great+:) key+:+value end+.+Next http+:+// www+. @ # a+@");
}

TEST_CASE("sentence_of: emoji with all that belongs to them", "[parse]") {
  CHECK(cut("😀!😀😀") == "😀+!+😀+😀");
  CHECK(cut("👍🏽👍🏽 👨‍👩‍👧 ❤️ 🇩🇪🇫🇷") ==
        "👍🏽+👍🏽 👨‍👩‍👧 ❤️ 🇩🇪+🇫🇷");
}

TEST_CASE("sentence_of: shortened words keep their period", "[parse]") {
  CHECK(cut("Mr. Smith vs. Dr. No.") == "Mr. Smith vs. Dr. No+.");
  CHECK(cut("Acme Inc. (JAN. 5)") == "Acme Inc. (+JAN. 5+)");
  CHECK(cut("etc.) and etc... etc.") == "etc.+) and etc+... etc+.");
  CHECK(cut("Mr . Mr.Smith mr.") == "Mr . Mr.+Smith mr.");
  CHECK(cut("George W. Bush, No. 5, on Sat. night: he sat. We, too. I.") ==
        "George W. Bush+, No. 5+, on Sat. night+: he sat+. We+, too+. I+.");
  CHECK(cut("Mr.\"") == "Mr.+\"");
}

TEST_CASE("sentence_of: takes a long line of anything", "[parse]") {
  const size_t n = 200'000;
  for (const std::string part :
       {"(",  "*",    "\\",       "a", ".", "'s", "a.", "a-",           "1-", "1/", "@",
        "a@", "www.", "http://a", ":", ")", "e-", "é",  "\xE2\x80\x8D", "'",  "$ ", "a'a"}) {
    CAPTURE(part);
    std::string line = "http://";
    while (line.size() < n) line += part;
    const Sentence sentence = sentence_of(line + "x");
    std::string all = line + "x";
    std::erase(all, ' ');
    CHECK(surface_of(sentence) == all);
  }
}

TEST_CASE("sentence_of: the line is a comment", "[parse]") {
  CHECK(text_of("The dog.") == "The dog.");
  CHECK(text_of("\xEF\xBB\xBF \t The  “dog” .\x01 \r\n") == "The  “dog” .");
  CHECK(text_of("a\tb\x01\r\nc\x1F\x7F!") == "a b   c \x7F!");
  CHECK(sentence_of(" \t a  b \r\n").comments == Words{"# text = a  b"});
  const Sentence sentence = sentence_of("a b");
  CHECK(sentence.comments == Words{"# text = a b"});
  CHECK(sentence.extras.empty());
  for (const Word& word : sentence.words) {
    Word expected{.form = word.form};
    CHECK(word == expected);
  }
}

TEST_CASE("sentence_of: refuses what is no line of words", "[parse]") {
  const auto error = [](std::string_view line) {
    return error_of<ArgumentError>([&] { sentence_of(line); });
  };
  for (const std::string_view line :
       {"", " ", "\t\r\n", "\xC2\xA0\xE2\x80\x8B", "\xC2\xAD", "\x01"})
    CHECK(error(line) == "sentence_of: the line must have words");
  CHECK(contains(error("ab\xFF"), "must be UTF-8, at byte 2 it is not"));
  CHECK(contains(error("ab\xE2\x80"), "must be UTF-8, at byte 2 it is not"));
  CHECK(contains(error(std::string_view("a\0b", 3)), "byte 1 of the line is NUL"));
  CHECK(error("a").empty());
}

TEST_CASE("sentence_of: any text can be written, read, and pieced together", "[parse]") {
  const Words pieces = {"a",
                        "Mr",
                        "é",
                        "“",
                        "”",
                        "’",
                        "…",
                        "—",
                        "\xC2\xAD",
                        " ",
                        "\t",
                        "\x01",
                        "\r",
                        "\x7F",
                        "\n",
                        "\xC2\x85",
                        "\xE2\x80\xA8",
                        ".",
                        ",",
                        "'",
                        "''",
                        "`",
                        "-",
                        "--",
                        "\\",
                        "/",
                        "(",
                        "]",
                        "1",
                        "_",
                        "#",
                        "n't",
                        "'s",
                        "cannot",
                        "dogs",
                        "a.com",
                        "@",
                        ":",
                        "\xE2\x80\x8D",
                        "😀",
                        "\xE2\x80\x8B"};
  std::mt19937 random(16);
  int sentences = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string line;
    for (size_t n = random() % 12; n > 0; --n) line += pieces[random() % pieces.size()];
    CAPTURE(line);
    Sentence sentence;
    if (!error_of<ArgumentError>([&] { sentence = sentence_of(line); }).empty()) continue;
    ++sentences;
    std::istringstream in(to_conllu(sentence));
    Reader reader(in, "x", {.heads = Heads::any});
    Sentence again;
    REQUIRE(reader.next(again));
    REQUIRE(again == sentence);
    REQUIRE_FALSE(reader.next(again));
    // The words stand in the line in their order, side by side where no space follows.
    const std::string marked = cut(line);
    size_t at = 0, in_marked = 0;
    for (size_t w = 0; w < sentence.words.size(); ++w) {
      const std::string& form = sentence.words[w].form;
      const size_t found = line.find(form, at);
      REQUIRE(found != std::string::npos);
      if (w > 0) REQUIRE((marked[in_marked - 1] != ' ') == (found == at));
      at = found + form.size();
      in_marked += form.size() + 1;
    }
  }
  CHECK(sentences > 3000);
}
