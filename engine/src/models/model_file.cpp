#include "models/model_file.h"

#include <algorithm>

#include "core/state.h"
#include "ops/norm_settings.h"

namespace normlab {
namespace {

constexpr std::string_view kNote = "note.";

}  // namespace

std::string take_entry(Metadata& metadata, const std::string& key) {
  const auto entry = metadata.extract(key);
  check<ArgumentError>(!entry.empty(), "metadata", json_excerpt(key), " is missing");
  return entry.mapped();
}

void take_format(Metadata& metadata, const FileFormat& format) {
  const std::string name = take_entry(metadata, "format");
  check<ArgumentError>(name == format.name, "format", "this is a model of another task, ",
                       json_excerpt(name), ", expected ", json_excerpt(format.name));
  const std::string number = take_entry(metadata, "version");
  check<ArgumentError>(number == format.version, "version", "must be ", format.version, ", is ",
                       json_excerpt(number));
}

Metadata notes_of(const Metadata& metadata) {
  Metadata notes;
  for (const auto& [key, text] : metadata) {
    check<ArgumentError>(key.starts_with(kNote), "metadata", json_excerpt(key), " is not known");
    notes[key.substr(kNote.size())] = text;
  }
  return notes;
}

void write_model(const std::string& path, const FileFormat& format, const TensorMap& tensors,
                 const Metadata& notes, Metadata metadata) {
  metadata["format"] = format.name;
  metadata["version"] = format.version;
  for (const auto& [name, text] : notes) metadata[std::string(kNote) + name] = text;
  check_finite("save_model", tensors);
  save(path, tensors, metadata);
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : "\n").append(line);
  return text;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; !text.empty() && at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

void check_matrix(const TensorMap& tensors, const std::string& name, const Shape& shape) {
  const auto found = tensors.find(name);
  check<ArgumentError>(found != tensors.end(), "tensors", json_excerpt(name), " is missing");
  check(found->second.shape() == shape, "tensors", json_excerpt(name), " must have shape ", shape,
        ", as the metadata have it, is ", found->second.shape());
}

// --- norms ------------------------------------------------------------------------------------

namespace {

/// Files of the first version have no such entry: one that is missing is as by default.
bool is_optional(std::string_view setting) {
  return setting == "track_running_stats";
}

}  // namespace

void write_norm(const NormSpec& spec, const std::string& prefix, Metadata& metadata) {
  const NormSettings usual;
  metadata[prefix + "norm"] = spec.name();
  for_each_setting(spec.variant, [&](const char* name, auto member, SettingRange, bool) {
    const auto& value = spec.settings.*member;
    if (is_optional(name) && value == usual.*member) return;
    write_setting(prefix + name, value, metadata);
  });
}

NormSpec take_norm(const std::string& prefix, Metadata& metadata) {
  NormSpec spec = take_entry(metadata, prefix + "norm");
  for_each_setting(spec.variant, [&](const char* name, auto member, SettingRange, bool) {
    const std::string key = prefix + name;
    if (is_optional(name) && !metadata.contains(key)) return;
    take_setting(key, spec.settings.*member, metadata);
  });
  return taken_settings("Norm", spec);
}

}  // namespace normlab
