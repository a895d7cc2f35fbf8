#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "normlab/nn.h"

namespace normlab {

/// While it lives, dropout and batch statistics are off. Writes nothing if they are off already,
/// so that threads may share a model that is not in training.
class Evaluation {
 public:
  explicit Evaluation(nn::Module& module) : module_(module), training_(module.training()) {
    for (const auto& [name, part] : module.named_modules())
      parts_.emplace_back(part, part->training());
    changes_ = training_ || std::ranges::any_of(parts_, [](const auto& p) { return p.second; });
    if (changes_) module_.eval();
  }
  ~Evaluation() {
    if (!changes_) return;
    module_.train(training_);
    for (const auto& [part, training] : parts_) part->train(training);
  }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

 private:
  nn::Module& module_;
  bool training_, changes_;
  std::vector<std::pair<std::shared_ptr<nn::Module>, bool>> parts_;
};

}  // namespace normlab
