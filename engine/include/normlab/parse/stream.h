#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "normlab/parse/parser.h"
#include "normlab/parse/reader.h"

namespace normlab::parse {

/// A text that comes in parts, such as a pipe.
struct TextSource {
  std::string name;  ///< for errors
  /// Puts the next bytes into its argument, and may wait for them; false at the end.
  std::function<bool(std::string&)> read;
  /// Returns false where read() would wait. Empty: it never waits.
  std::function<bool()> is_ready = {};
};
/// The stream must live as long.
TextSource source_of(std::istream& in, std::string name);

/// Receives the trees of a text and decides about its errors.
struct TreeSink {
  /// Takes CoNLL-U, whole sentences.
  std::function<void(std::string_view)> write;
  /// Takes the error of a refused sentence: true to go on with the next one, false to throw it.
  /// Empty: throws it.
  std::function<bool(const std::string&)> skips = {};
  /// Called once, before the first sentence, with the format of the text. May be empty.
  std::function<void(Format)> begins = {};
};

struct StreamOptions {
  /// Format of the text. Without one, a text that begins as CoNLL-U is CoNLL-U, any other is raw.
  std::optional<Format> format = {};
  bool retag = false;  ///< finds the tags of CoNLL-U anew
};

/// Parses a text as it comes, many sentences at once, and returns the number of trees written.
/// Writes all pending trees before it waits for more text and before it throws.
///
/// `begins` gets CoNLL-U for a text that begins so, unless the options say raw. In text of another
/// format, a line with a word's number and eight columns or more is an error, unless they say raw.
/// @throws FileError     a broken line or sentence: name, line and reason.
/// @throws ArgumentError  a sentence that the parser refuses: name, sentence or line, and reason.
int64_t parse_stream(const Parser& parser, const TextSource& source, const TreeSink& sink,
                     const StreamOptions& options = {});

}  // namespace normlab::parse
