#include "models/text/whole.h"

#include <algorithm>

#include "models/text/shapes.h"

namespace normlab::text {
namespace {

using std::string_view;

/// A name and its domain are not longer; what is sought from every word's beginning is bounded.
constexpr size_t kMostInName = 255;

constexpr string_view kDomains[] = {
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "io", "tv", "eu",
    "uk",  "de",  "fr",  "nl",  "ru",  "jp",  "ca",  "au",   "ch",  "il", "nz", "dev",
};
constexpr string_view kFiles[] = {
    "doc",   "docx", "xls",  "xlsx", "ppt",    "pptx",        "pdf", "txt",  "rtf", "csv",
    "tsv",   "zip",  "gz",   "tar",  "html",   "htm",         "jpg", "jpeg", "png", "gif",
    "svg",   "mp3",  "mp4",  "wav",  "avi",    "mov",         "exe", "dll",  "bat", "py",
    "ipynb", "cpp",  "json", "xml",  "yaml",   "yml",         "md",  "js",   "css", "sh",
    "ini",   "log",  "url",  "cfg",  "conllu", "safetensors",
};
constexpr string_view kShortened[] = {
    "mr",   "mrs", "ms",   "dr",  "st",   "jr",  "sr",   "prof", "gen",  "sen",  "rep",  "reps",
    "sens", "gov", "rev",  "hon", "lt",   "col", "sgt",  "maj",  "capt", "cmdr", "inc",  "corp",
    "ltd",  "co",  "bros", "vs",  "etc",  "e.g", "i.e",  "vol",  "fig",  "dept", "ave",  "blvd",
    "rd",   "jan", "feb",  "aug", "sept", "oct", "nov",  "dec",  "ft",   "mt",   "attn", "approx",
    "ext",  "tel", "spec", "eg",  "ie",   "al",  "arrv", "lb",   "oz",
};

/// Units: words of their own behind a number, as in 5pm.
constexpr string_view kUnits[] = {
    "am",  "pm",  "a",   "p",  "k",   "m",   "mm", "cm", "km", "kg", "g",  "mg",
    "lb",  "lbs", "oz",  "ft", "in",  "mi",  "gb", "mb", "kb", "tb", "hz", "khz",
    "mhz", "ghz", "hrs", "hr", "min", "mph", "kw", "mw", "v",  "w",  "bn",
};

/// Length of the beginning that consists of such characters.
template <class Test>
size_t run(string_view text, size_t at, const Test& fits) {
  const size_t begin = at;
  while (at < text.size() && at - begin <= kMostInName && fits(text[at])) ++at;
  return at - begin;
}

bool ends_at(string_view text, size_t at) {
  return at >= text.size() || !is_alnum(text[at]);
}

/// Length of "a-b.c.d" at `at`; `last` becomes its last part.
size_t labels_length(string_view text, size_t at, string_view& last, size_t& parts) {
  const size_t begin = at;
  size_t end = at;
  for (parts = 0; at - begin <= kMostInName;) {
    size_t n = run(text, at, [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
    while (n > 0 && !is_alnum(text[at + n - 1])) --n;
    if (n == 0 || !is_alnum(text[at])) break;
    last = text.substr(at, n);
    end = at += n;
    ++parts;
    if (at >= text.size() || text[at] != '.') break;
    ++at;
  }
  return end - begin;
}

/// Length without the marks that end a sentence or close what was opened before.
size_t without_marks(string_view url) {
  constexpr string_view kOpen = "([{", kClose = ")]}";
  int64_t excess[3];  // closing brackets without an opening one
  for (size_t i = 0; i < 3; ++i)
    excess[i] = std::ranges::count(url, kClose[i]) - std::ranges::count(url, kOpen[i]);
  while (!url.empty()) {
    const size_t bracket = kClose.find(url.back());
    const bool closes = bracket != string_view::npos && excess[bracket]-- > 0;
    if (!closes && string_view(".,;:!?'\"*|").find(url.back()) == string_view::npos) break;
    url.remove_suffix(1);
  }
  return url.size();
}

/// Up to a mark that no URL has.
size_t url_end(string_view text) {
  return std::min(text.find_first_of("<>\" "), text.size());
}

size_t digits(string_view text, size_t at) {
  const size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return at - begin;
}

/// Groups of digits with a mark between them: which of these are one number.
size_t groups_length(string_view text, size_t first, char mark) {
  size_t at = first, groups = 1, last = first;
  while (at < text.size() && at <= kMostInName && text[at] == mark) {
    const size_t n = digits(text, at + 1);
    if (n == 0) break;
    at += 1 + n;
    last = n;
    ++groups;
  }
  if (groups == 1 || (at < text.size() && is_letter(text[at]))) return 0;
  if (mark == '/') return at;
  const bool is_phone = groups == 2 && last == 4 && (first == 3 || first == 5);
  return groups > 2 || is_phone ? at : 0;
}

}  // namespace

size_t url_length(string_view text) {
  const size_t scheme = run(text, 0, [](char c) { return is_alnum(c) || c == '+' || c == '-'; });
  const bool has_scheme = scheme > 1 && text.substr(scheme, 3) == "://";
  if (has_scheme || text.starts_with("www.")) {
    const size_t begin = has_scheme ? scheme + 3 : 4;
    if (begin >= text.size() || !is_alnum(text[begin])) return 0;
    return std::max(begin, without_marks(text.substr(0, url_end(text))));
  }
  string_view last;
  size_t parts = 0;
  const size_t domain = labels_length(text, 0, last, parts);
  if (parts < 2 || !has(kDomains, last) || !ends_at(text, domain)) return 0;
  if (domain < text.size() && text[domain] == '/')
    return std::max(domain, without_marks(text.substr(0, url_end(text))));
  return domain;
}

size_t address_length(string_view text) {
  const size_t prefix = text.starts_with("mailto:") ? 7 : 0;
  const size_t name = run(text, prefix, [](char c) {
    return is_alnum(c) || string_view("._%+-").find(c) != string_view::npos;
  });
  const size_t at = prefix + name;
  if (name == 0 || !is_alnum(text[prefix]) || at >= text.size() || text[at] != '@') return 0;
  string_view last;
  size_t parts = 0;
  const size_t domain = labels_length(text, at + 1, last, parts);
  return domain > 0 && ends_at(text, at + 1 + domain) ? at + 1 + domain : 0;
}

size_t tag_length(string_view text) {
  if (string_view("#@").find(text[0]) == string_view::npos || text.size() < 2 ||
      !is_letter(text[1]))
    return 0;
  string_view last;
  size_t parts = 0;
  const size_t domain = text[0] == '@' ? labels_length(text, 1, last, parts) : 0;
  return 1 + std::max(domain, run(text, 1, [](char c) { return is_alnum(c) || c == '_'; }));
}

size_t file_length(string_view text) {
  const bool has_drive = text.size() > 2 && is_letter(text[0]) && text[1] == ':' &&
                         (text[2] == '\\' || text[2] == '/');
  const size_t begin = has_drive ? 2 : 0;
  const size_t n = run(text, begin, [](char c) {
    return is_alnum(c) || string_view("._#-/\\~").find(c) != string_view::npos;
  });
  if (n > kMostInName) return 0;
  string_view name = text.substr(0, begin + n);
  while (!name.empty() && !is_alnum(name.back())) name.remove_suffix(1);
  const size_t dot = name.rfind('.');
  if (dot != string_view::npos && dot > begin && has(kFiles, name.substr(dot + 1)) &&
      is_alnum(name[dot - 1]))
    return name.size();
  const bool is_path =
      name.size() > 1 && name[0] == '/' && is_letter(name[1]) && std::ranges::count(name, '/') > 1;
  return is_path || (has_drive && name.size() > begin) ? name.size() : 0;
}

size_t currency_length(string_view text) {
  for (const string_view name : {"us$", "c$", "a$", "u$", "hk$", "nz$"})
    if (text.starts_with(name)) return name.size();
  return 0;
}

size_t number_length(string_view text) {
  const size_t sign = text[0] == '+' ? 1 : 0;
  size_t at = sign + digits(text, sign);
  if (at == sign && (text.size() < 2 || text[0] != '.' || !is_digit(text[1]))) return 0;
  for (const char mark : {'-', '/'})
    if (const size_t n = groups_length(text, at, mark)) return n;
  while (at + 1 < text.size() && string_view(".,:").find(text[at]) != string_view::npos &&
         is_digit(text[at + 1]))
    at += 1 + digits(text, at + 1);
  if (text.substr(at, 2) == "'s" && ends_at(text, at + 2)) return at + 2;
  if (ends_at(text, at)) return at;
  const size_t unit = run(text, at, is_letter);
  return has(kUnits, text.substr(at, unit)) && ends_at(text, at + unit) ? at : 0;
}

size_t emoticon_length(string_view text) {
  for (const string_view face : {"<3", "^_^", "(:", "(;", "-_-", "^^", "o_o", ">:("})
    if (text.starts_with(face) && ends_at(text, face.size())) return face.size();
  if (string_view(":;=").find(text[0]) == string_view::npos) return 0;
  size_t at = 1;
  if (at < text.size() && string_view("-'").find(text[at]) != string_view::npos) ++at;
  if (at >= text.size() || string_view("()[]dpo/\\|*").find(text[at]) == string_view::npos)
    return 0;
  const char mouth = text[at];
  while (at < text.size() && text[at] == mouth) ++at;
  return ends_at(text, at) ? at : 0;
}

size_t bracket_length(string_view text) {
  for (const string_view name : {"-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"})
    if (text.starts_with(name)) return name.size();
  return 0;
}

size_t initials_length(string_view text) {
  size_t at = 0;
  while (at + 1 < text.size() && is_letter(text[at]) && text[at + 1] == '.') at += 2;
  if (at < 2) return 0;
  const bool ends_open = at < text.size() && is_letter(text[at]) && ends_at(text, at + 1);
  if (ends_open) return at + 1;
  return at >= 4 ? at : 0;
}

bool is_shortened(string_view word) {
  return has(kShortened, word);
}

}  // namespace normlab::text
