#pragma once

#include <string_view>

// Single words that have marks in them. Each function takes shapes (see shapes.h) from the
// beginning of a word to the next white space, and gives the length of what begins there, 0 if it
// is something else.

namespace normlab::text {

/// https://a.b/c?d=e, www.a.b, a.com/b: without the marks that end a sentence.
size_t url_length(std::string_view text);
/// someone@a.com, mailto:someone@a.com, someone@somewhere
size_t address_length(std::string_view text);
/// #normal, @someone
size_t tag_length(std::string_view text);
/// report.doc, src/main.cpp, /usr/lib/x, c:\\x\\y.txt
size_t file_length(std::string_view text);
/// 1,000.50 10:30 9/11/2001 713-853-3989 +44, 60's, the 5 of 5pm; not 5th
size_t number_length(std::string_view text);
/// us$ 5
size_t currency_length(std::string_view text);
/// :-) ;) =( <3 ^_^
size_t emoticon_length(std::string_view text);
/// -lrb- and its kind, the treebanks' names of brackets
size_t bracket_length(std::string_view text);
/// u.s. a.k.a, with its last period or not
size_t initials_length(std::string_view text);
/// True for a word that owns the period behind it: "mr", "etc".
bool is_shortened(std::string_view word);

}  // namespace normlab::text
