#include "models/text/settings.h"

#include "models/model_file.h"

namespace normlab::text {
namespace {

using Options = ClassifierOptions;

constexpr Setting<Options> kSettings[] = {
    setting<Options>(
        "position_scale", [](auto& o) -> auto& { return o.position_scale; }),
    setting<Options>(
        "size", [](auto& o) -> auto& { return o.encoder.size; }),
    setting<Options>(
        "heads", [](auto& o) -> auto& { return o.encoder.heads; }),
    setting<Options>(
        "hidden", [](auto& o) -> auto& { return o.encoder.hidden; }),
    setting<Options>(
        "layers", [](auto& o) -> auto& { return o.encoder.layers; }),
    setting<Options>(
        "dropout", [](auto& o) -> auto& { return o.encoder.dropout; }),
    setting<Options>(
        "pre_norm", [](auto& o) -> auto& { return o.encoder.pre_norm; }),
    setting<Options>(
        "activation", [](auto& o) -> auto& { return o.encoder.activation; }),
};

}  // namespace

Metadata settings_of(const Options& options) {
  Metadata metadata;
  write_settings(kSettings, options, "", metadata);
  write_norm(options.encoder.norm, "", metadata);
  return metadata;
}

Options take_settings(Metadata& metadata) {
  Options options;
  normlab::take_settings(kSettings, "", metadata, options);
  options.encoder.norm = take_norm("", metadata);
  return options;
}

}  // namespace normlab::text
