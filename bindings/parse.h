#pragma once

// Shared by the bindings of nl.parse.

#include "modules.h"
#include "names.h"

namespace normlab::bindings {

/// Names of parse::Format.
inline constexpr std::array kFormats{"conllu", "conllx", "raw", "tokenized"};

/// None stands for a head that is not known.
inline std::optional<int32_t> none_or(int32_t number) {
  return number == parse::kNone ? std::nullopt : std::optional(number);
}

using SentenceIterable = py::typing::Iterable<parse::Sentence>;

/// The sentences of an iterable, kept alive. Python cannot change a Sentence, so they may be used
/// without the lock.
class SentenceList {
 public:
  SentenceList(const char* op, const SentenceIterable& iterable) {
    for (const py::handle object : iterable) {
      check<DtypeError>(py::isinstance<parse::Sentence>(object), op, "sentence ", each_.size() + 1,
                        " must be a Sentence, is ", Py_TYPE(object.ptr())->tp_name);
      objects_.push_back(py::reinterpret_borrow<py::object>(object));
      each_.push_back(object.cast<const parse::Sentence*>());
    }
  }
  parse::Sentences all() const { return parse::Sentences(each_); }

 private:
  std::vector<py::object> objects_;
  std::vector<const parse::Sentence*> each_;
};

/// UTF-8 of a str, or the bytes of bytes.
std::string bytes_of(const char* op, const char* what, py::handle text);

void bind_sentences(py::module_& parse);
void bind_reader(py::module_& parse);
void bind_transition_system(py::module_& parse);
void bind_vocabularies(py::module_& parse);
void bind_parser(py::module_& parse);

}  // namespace normlab::bindings
