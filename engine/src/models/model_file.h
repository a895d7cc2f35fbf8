#pragma once

// Model files: parameters as tensors, all else as metadata, options as text by name, exactly.

#include <charconv>
#include <cmath>

#include "core/file.h"
#include "core/json.h"
#include "normlab/io.h"
#include "normlab/norm.h"
#include "normlab/ops.h"

namespace normlab {

// --- metadata ---------------------------------------------------------------------------------

/// Takes one entry out. ArgumentError if it is missing.
std::string take_entry(Metadata& metadata, const std::string& key);
/// Of a kind of model, as its files say it.
struct FileFormat {
  const char* name;
  const char* version;
};
/// Takes the format out. ArgumentError unless it is this one.
void take_format(Metadata& metadata, const FileFormat& format);
/// The notes: all entries left after the others were taken out. ArgumentError for another key.
Metadata notes_of(const Metadata& metadata);

// Lists of lines as one text.
std::string joined(const std::vector<std::string>& lines);
std::vector<std::string> split_lines(const std::string& text);

/// ArgumentError, ShapeError unless a tensor of that name and shape is there.
void check_matrix(const TensorMap& tensors, const std::string& name, const Shape& shape);

/// Writes a model: its format and notes beside `metadata`, which has the rest. ArgumentError unless
/// all tensors are finite; FileError if the file cannot be written.
void write_model(const std::string& path, const FileFormat& format, const TensorMap& tensors,
                 const Metadata& notes, Metadata metadata);

/// Calls `read` on the file and returns its result. Its errors become FileErrors that name the
/// path.
template <class Read>
auto read_model(const std::string& path, const Read& read) {
  TensorFile file = load(path);
  try {
    return read(std::move(file));
  } catch (const ArgumentError& error) {
    fail<FileError>("load_model", shown(path), ": ", error.what());
  } catch (const DtypeError& error) {
    fail<FileError>("load_model", shown(path), ": ", error.what());
  }
}

// --- settings ---------------------------------------------------------------------------------

namespace settings {

template <class Number>
requires std::is_arithmetic_v<Number> std::string text_of(Number value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, std::end(buffer), value).ptr};
}
inline std::string text_of(bool value) {
  return value ? "true" : "false";
}
inline std::string text_of(Activation value) {
  return name_of(value);
}
inline std::string text_of(Denominator value) {
  return name_of(value);
}
inline std::string text_of(const std::string& value) {
  return value;
}

template <class Number>
requires std::is_arithmetic_v<Number>
bool value_from(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end && std::isfinite(static_cast<double>(value));
}
inline bool value_from(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
inline bool value_from(const std::string& text, Activation& value) {
  value = activation_named(text);
  return true;
}
inline bool value_from(const std::string& text, Denominator& value) {
  value = denominator_named(text);
  return true;
}
inline bool value_from(const std::string& text, std::string& value) {
  value = text;
  return true;
}

inline const char* kind_of(const int64_t&) {
  return "a whole number";
}
inline const char* kind_of(const double&) {
  return "a finite number";
}
template <class T>
const char* kind_of(const T&) {
  return "true or false";
}

}  // namespace settings

/// Adds a setting.
template <class T>
void write_setting(const std::string& key, const T& value, Metadata& metadata) {
  using settings::text_of;  // or that of the value's own namespace
  metadata[key] = text_of(value);
}
/// Takes a setting out. ArgumentError if it is missing or no such value.
template <class T>
void take_setting(const std::string& key, T& value, Metadata& metadata) {
  using settings::value_from;
  const std::string text = take_entry(metadata, key);
  check<ArgumentError>(value_from(text, value), key.c_str(), "must be ", settings::kind_of(value),
                       ", is ", json_excerpt(text));
}

/// Visitors of (name, member) that add settings as prefix + name, and that take them out. Both
/// refer to their arguments.
inline auto writing(const std::string& prefix, Metadata& metadata) {
  return
      [&](const char* name, const auto& value) { write_setting(prefix + name, value, metadata); };
}
inline auto taking(const std::string& prefix, Metadata& metadata) {
  return [&](const char* name, auto& value) { take_setting(prefix + name, value, metadata); };
}

/// A norm's variant as prefix + "norm", and its settings as prefix + their names.
void write_norm(const NormSpec& spec, const std::string& prefix, Metadata& metadata);
/// Takes them out. A setting that the variant does not take is passed over: earlier versions wrote
/// any. ArgumentError for one that is missing or no such value.
NormSpec take_norm(const std::string& prefix, Metadata& metadata);

}  // namespace normlab
