#include "text/settings.h"

#include <charconv>
#include <cmath>

#include "core/json.h"

namespace normlab::text {
namespace {

using Options = ClassifierOptions;

// --- values as text ---------------------------------------------------------------------------

template <class Number>
std::string text_of(Number value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, std::end(buffer), value).ptr};
}
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(Activation value) {
  return name_of(value);
}
std::string text_of(Denominator value) {
  return value == Denominator::var_eps ? "var_eps" : "std_eps";
}
std::string text_of(const std::string& value) {
  return value;
}

template <class Number>
bool parse(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end && std::isfinite(static_cast<double>(value));
}
bool parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
bool parse(const std::string& text, Activation& value) {
  value = activation_named(text);
  return true;
}
bool parse(const std::string& text, Denominator& value) {
  value = denominator_named(text);
  return true;
}
bool parse(const std::string& text, std::string& value) {
  value = text;
  return true;
}

const char* kind_of(const int64_t&) {
  return "a whole number";
}
const char* kind_of(const double&) {
  return "a finite number";
}
template <class T>
const char* kind_of(const T&) {
  return "true or false";
}

// --- the settings -----------------------------------------------------------------------------

struct Setting {
  const char* name;
  std::string (*text)(const Options&);
  void (*read)(const char* name, const std::string& text, Options&);
};

/// `Member` returns a reference to the member of the options that it is given.
template <class Member>
constexpr Setting setting(const char* name, Member) {
  return {name, [](const Options& options) { return text_of(Member{}(options)); },
          [](const char* key, const std::string& text, Options& options) {
            auto& value = Member{}(options);
            check<ValueError>(parse(text, value), key, "must be ", kind_of(value), ", is ",
                              json_excerpt(text));
          }};
}

constexpr Setting kSettings[] = {
    setting(
        "position_scale", [](auto& o) -> auto& { return o.position_scale; }),
    setting(
        "size", [](auto& o) -> auto& { return o.encoder.size; }),
    setting(
        "heads", [](auto& o) -> auto& { return o.encoder.heads; }),
    setting(
        "hidden", [](auto& o) -> auto& { return o.encoder.hidden; }),
    setting(
        "layers", [](auto& o) -> auto& { return o.encoder.layers; }),
    setting(
        "dropout", [](auto& o) -> auto& { return o.encoder.dropout; }),
    setting(
        "pre_norm", [](auto& o) -> auto& { return o.encoder.pre_norm; }),
    setting(
        "activation", [](auto& o) -> auto& { return o.encoder.activation; }),
    setting(
        "norm", [](auto& o) -> auto& { return o.encoder.norm; }),
    setting(
        "eps", [](auto& o) -> auto& { return o.encoder.norm_options.eps; }),
    setting(
        "denominator", [](auto& o) -> auto& { return o.encoder.norm_options.denominator; }),
    setting(
        "C", [](auto& o) -> auto& { return o.encoder.norm_options.C; }),
    setting(
        "k", [](auto& o) -> auto& { return o.encoder.norm_options.k; }),
    setting(
        "topk_share", [](auto& o) -> auto& { return o.encoder.norm_options.topk_share; }),
    setting(
        "groups", [](auto& o) -> auto& { return o.encoder.norm_options.groups; }),
    setting(
        "momentum", [](auto& o) -> auto& { return o.encoder.norm_options.momentum; }),
};

}  // namespace

Metadata settings_of(const Options& options) {
  Metadata metadata;
  for (const Setting& setting : kSettings) metadata[setting.name] = setting.text(options);
  return metadata;
}

Options take_settings(Metadata& metadata) {
  Options options;
  for (const Setting& setting : kSettings)
    setting.read(setting.name, take_entry(metadata, setting.name), options);
  return options;
}

std::string take_entry(Metadata& metadata, const std::string& key) {
  const auto entry = metadata.extract(key);
  check<ValueError>(!entry.empty(), "metadata", json_excerpt(key), " is missing");
  return entry.mapped();
}

}  // namespace normlab::text
