#include "ops/norm_settings.h"

#include <cmath>
#include <sstream>

namespace normlab {
namespace {

/// A setting's value as Python writes it.
template <class T>
std::string shown(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_same_v<T, bool>)
    out << (value ? "True" : "False");
  else if constexpr (std::is_same_v<T, Denominator>)
    out << '\'' << name_of(value) << '\'';
  else
    out << value;
  return out.str();
}

void check_range(const char* op, const char* name, double value, SettingRange range) {
  check<ArgumentError>(range != SettingRange::finite || std::isfinite(value), op, name,
                       " must be finite, got ", value);
  check<ArgumentError>(range != SettingRange::non_negative || (value >= 0 && std::isfinite(value)),
                       op, name, " must be finite and not negative, got ", value);
  check<ArgumentError>(range != SettingRange::share || (value >= 0 && value <= 1), op, name,
                       " must be in [0, 1], got ", value);
}
void check_range(const char* op, const char* name, int64_t value, SettingRange range) {
  check<ArgumentError>(range != SettingRange::non_negative || value >= 0, op, name,
                       " must not be negative, got ", value);
}
void check_range(const char*, const char*, Denominator, SettingRange) {}
void check_range(const char*, const char*, bool, SettingRange) {}

void check_ranges(const char* op, const NormSpec& spec) {
  for_each_setting(spec.variant, [&](const char* name, auto member, SettingRange range, bool) {
    check_range(op, name, spec.settings.*member, range);
  });
}

/// A setting that does nothing was meant for another variant.
void check_taken(const char* op, const NormSpec& spec) {
  const NormSettings usual;
  for_each_setting(spec.variant, [&](const char* name, auto member, SettingRange, bool taken) {
    const auto& value = spec.settings.*member;
    if (taken || value == usual.*member) return;
    const bool is_flag = std::is_same_v<decltype(value), const bool&>;
    fail<ArgumentError>(op, "variant '", spec.variant.name, "' takes no ", name,
                        is_flag ? "" : ", got ", is_flag ? "" : shown(value));
  });
}

}  // namespace

const NormTraits& norm_variant(std::string_view name) {
  std::string known;
  for (const NormTraits& v : kNormVariants) {
    if (v.name == name) return v;
    known += (known.empty() ? "" : ", ") + std::string(v.name);
  }
  fail<ArgumentError>("norm", "unknown variant '", name, "'; known are ", known);
}

Denominator denominator_named(std::string_view name) {
  if (name == "var_eps") return Denominator::var_eps;
  check<ArgumentError>(name == "std_eps", "norm",
                       "denominator must be 'var_eps' or 'std_eps', got '", name, "'");
  return Denominator::std_eps;
}

const char* name_of(Denominator denominator) {
  return denominator == Denominator::var_eps ? "var_eps" : "std_eps";
}

std::string NormSpec::str() const {
  std::string text = "'" + name() + "'";
  const NormSettings usual;
  for_each_setting(variant, [&](const char* name, auto member, SettingRange, bool) {
    if (settings.*member == usual.*member) return;
    text.append(", ").append(name).append("=").append(shown(settings.*member));
  });
  return text;
}

void check_settings(const char* op, const NormSpec& spec) {
  check_taken(op, spec);
  check_ranges(op, spec);
}

NormSpec taken_settings(const char* op, NormSpec spec) {
  check_ranges(op, spec);
  const NormSettings usual;
  for_each_setting(spec.variant, [&](const char*, auto member, SettingRange, bool taken) {
    if (!taken) spec.settings.*member = usual.*member;
  });
  return spec;
}

}  // namespace normlab
