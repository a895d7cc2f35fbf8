#include "models/text/settings.h"

#include "models/model_file.h"
#include "ops/norm.h"

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
    setting<Options>(
        "norm", [](auto& o) -> auto& { return o.encoder.norm; }),
    setting<Options>(
        "eps", [](auto& o) -> auto& { return o.encoder.norm_options.eps; }),
    setting<Options>(
        "denominator", [](auto& o) -> auto& { return o.encoder.norm_options.denominator; }),
    setting<Options>(
        "C", [](auto& o) -> auto& { return o.encoder.norm_options.C; }),
    setting<Options>(
        "k", [](auto& o) -> auto& { return o.encoder.norm_options.k; }),
    setting<Options>(
        "topk_share", [](auto& o) -> auto& { return o.encoder.norm_options.topk_share; }),
    setting<Options>(
        "groups", [](auto& o) -> auto& { return o.encoder.norm_options.groups; }),
    setting<Options>(
        "momentum", [](auto& o) -> auto& { return o.encoder.norm_options.momentum; }),
};

}  // namespace

Metadata settings_of(const Options& options) {
  Metadata metadata;
  write_settings(kSettings, options, "", metadata);
  return metadata;
}

Options take_settings(Metadata& metadata) {
  Options options;
  normlab::take_settings(kSettings, "", metadata, options);
  NormOptions& norm = options.encoder.norm_options;
  norm = taken_options("Norm", norm_variant(options.encoder.norm), norm);
  return options;
}

}  // namespace normlab::text
