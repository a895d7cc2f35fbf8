#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "normlab/nn.h"
#include "ops/segments.h"

// What a class of modules does with its parts when they are registered anew: it keeps them as
// members too, see Module::on_register().

namespace normlab::nn {

/// The tensor becomes the member. ShapeError if it has another shape than the one there.
inline void take_tensor(const std::string& name, const Tensor& value, Tensor& member) {
  if (member.defined())
    check(value.shape() == member.shape(), name.c_str(), "must have shape ", member.shape(),
          ", got ", value.shape());
  member = value;
}

/// The module becomes the member. DtypeError unless it is of the member's class.
template <class M>
void take_module(const std::string& name, const std::shared_ptr<Module>& module,
                 std::shared_ptr<M>& member, const char* wanted) {
  auto fitting = std::dynamic_pointer_cast<M>(module);
  check<DtypeError>(fitting != nullptr, name.c_str(), "must be a ", wanted);
  member = std::move(fitting);
}

/// The module becomes the list's element of that number, or a new last one. Other names are none
/// of the list's.
template <class M>
void take_element(const std::string& name, const std::shared_ptr<Module>& module,
                  std::vector<std::shared_ptr<M>>& list, const char* wanted) {
  for (size_t i = 0; i <= list.size(); ++i) {
    if (name != std::to_string(i)) continue;
    std::shared_ptr<M> element;
    take_module(name, module, element, wanted);
    if (i == list.size()) list.emplace_back();
    list[i] = std::move(element);
    return;
  }
}

/// The offsets of x taken as one sentence.
inline Tensor offsets_of(const char* op, const Tensor& x) {
  check(x.rank() == 2, op, "x must be [T, D], got ", x.shape());
  return one_sentence(x);
}

/// What forward(x) of a module with a memory does.
[[noreturn]] inline void needs_memory(const char* op) {
  fail<ArgumentError>(op, "needs a memory: forward(x, memory, offsets, memory_offsets)");
}

}  // namespace normlab::nn
