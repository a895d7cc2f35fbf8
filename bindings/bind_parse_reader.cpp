#include <sstream>

#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

constexpr std::array kHeads{"tree", "forest", "any"};

ReadOptions read_options(const std::string& format, const std::string& heads) {
  return {named<Format>("format", format, kFormats), named<Heads>("heads", heads, kHeads)};
}

using Text = py::typing::Union<py::str, py::bytes>;

/// Lines of a Python iterator, none taken before it is needed.
class PythonLines {
 public:
  explicit PythonLines(const py::object& lines) {
    check<DtypeError>(!PyUnicode_Check(lines.ptr()) && !PyBytes_Check(lines.ptr()), "Reader",
                      "lines must be an iterable of lines, such as an open file, got ",
                      Py_TYPE(lines.ptr())->tp_name);
    iterator_ = py::iter(lines);
  }
  bool operator()(std::string& out) const {
    const auto line = py::reinterpret_steal<py::object>(PyIter_Next(iterator_.ptr()));
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    if (!line) return false;
    out = bytes_of("Reader", "lines", line);
    if (out.ends_with('\n')) out.pop_back();
    return true;
  }

 private:
  py::object iterator_;
};

Reader make_reader(const py::typing::Iterable<Text>& lines, std::string name,
                   const std::string& format, const std::string& heads) {
  return Reader(PythonLines(lines), std::move(name), read_options(format, heads));
}

Sentence next_of(Reader& reader) {
  Sentence sentence;
  if (!reader.next(sentence)) throw py::stop_iteration();
  return sentence;
}

std::vector<Sentence> from_conllu(const Text& text, const std::string& name,
                                  const std::string& format, const std::string& heads) {
  return without_gil([&, bytes = bytes_of("from_conllu", "text", text)] {
    std::istringstream in(bytes);
    Reader reader(in, name, read_options(format, heads));
    std::vector<Sentence> all;
    for (Sentence sentence; reader.next(sentence);) all.push_back(sentence);
    return all;
  });
}

}  // namespace

std::string bytes_of(const char* op, const char* what, py::handle text) {
  check<DtypeError>(PyUnicode_Check(text.ptr()) || PyBytes_Check(text.ptr()), op, what,
                    " must be str or bytes, got ", Py_TYPE(text.ptr())->tp_name);
  if (PyBytes_Check(text.ptr())) return text.cast<py::bytes>();
  const auto bytes = py::reinterpret_steal<py::bytes>(PyUnicode_AsUTF8String(text.ptr()));
  if (bytes) return bytes;
  const py::error_already_set error;
  fail<ArgumentError>(op, what, " must be text; there is half a surrogate pair at ",
                      error.value().attr("start").cast<py::ssize_t>());
}

namespace {

void bind_reader_class(py::module_& m) {
  py::class_<Reader>(m, "Reader", R"doc(Reads sentences one by one from lines of text.

An iterator of :class:`Sentence`. It takes lines as it needs them, and one sentence bounds its
memory, so text may have any length. Lines may end with LF or CR LF, the text may begin with a byte
order mark and end without the last empty line. The reader passes over further empty lines, and
takes a line of only spaces and tabs for an empty one. But for these, a sentence's ``to_conllu()``
gives the text back. A line may have 1 MiB, a sentence 100,000 lines and 16 MiB.

Args:
    lines: an iterable of str or bytes (UTF-8), such as an open file.
    name: the text's name in errors.
    format: "conllu" (Universal Dependencies); "conllx" (the shared task of 2006: CPOSTAG is upos,
        POSTAG xpos, PHEAD deps, PDEPREL misc); "raw", English text with a sentence a line (see
        :func:`sentence_of`); "tokenized", the same with white space between the words. The reader
        passes over lines of text without words.
    heads: of CoNLL: a "tree" with one root; a "forest", with one root or more; "any": 0, a word,
        or "_" for not known, for text that waits to be parsed.

Raises:
    FileError: a broken line or tree: name, line number and reason. Nothing can be read after it
        unless :meth:`skip` passes over it.
)doc")
      .def(py::init(&make_reader), py::arg("lines"), py::kw_only(), py::arg("name") = "lines",
           py::arg("format") = "conllu", py::arg("heads") = "tree")
      .def("__iter__", [](const Self& self) { return self; })
      .def("__next__", &next_of)
      .def("skip", &Reader::skip,
           "After a sentence was refused: passes over the rest of it, so that the one after it "
           "comes next. False, without any effect, where the lines could not be taken.");
}

void bind_sentence_of(py::module_& m) {
  m.def(
      "sentence_of",
      [](const Text& line) { return sentence_of(bytes_of("sentence_of", "line", line)); },
      py::arg("line"),
      R"doc(The words of a line of raw English text, as the English Web Treebank cuts them.

They are spelled as they are written. URLs, e-mail addresses, file names, numbers, abbreviations and
emoticons are whole. A contraction is one multi-word token in ``extras`` ("1-2 don't") and several
words ("do", "n't"). misc is "SpaceAfter=No" where no space follows, of a multi-word token on its
own line; the line is the comment "text". Bytes are taken as UTF-8. ArgumentError for a NUL
character, bytes that are not UTF-8, or a line without words.

Example:
    >>> nl.parse.sentence_of("I can't swim.").forms
    ['I', 'ca', "n't", 'swim', '.']
)doc");
}

void bind_files(py::module_& m) {
  m.def(
      "read_conllu",
      [](const std::filesystem::path& path, const std::string& format, const std::string& heads) {
        return read_conllu(path.string(), read_options(format, heads));
      },
      py::arg("path"), py::kw_only(), py::arg("format") = "conllu", py::arg("heads") = "tree",
      ReleaseGil(),
      "All sentences of a file. Arguments and errors as :class:`Reader` has them; FileError names "
      "the path.\n\nExample:\n"
      "    >>> tree = nl.parse.Sentence(['Fish', 'swim']).with_tree([2, 0], ['nsubj', 'root'])\n"
      "    >>> nl.parse.write_conllu('trees.conllu', [tree])\n"
      "    >>> nl.parse.read_conllu('trees.conllu') == [tree]\n    True");
  m.def("from_conllu", &from_conllu, py::arg("text"), py::kw_only(), py::arg("name") = "text",
        py::arg("format") = "conllu", py::arg("heads") = "tree",
        "All sentences of a text in memory, str or bytes (UTF-8). As :class:`Reader`.\n\nExample:\n"
        "    >>> nl.parse.from_conllu('Fish swim.', format='raw')[0].forms\n"
        "    ['Fish', 'swim', '.']");
  m.def(
      "write_conllu",
      [](const std::filesystem::path& path, const SentenceIterable& sentences) {
        const SentenceList list("write_conllu", sentences);
        without_gil([&] { write_conllu(path.string(), list.all()); });
      },
      py::arg("path"), py::arg("sentences"),
      "Writes a file whole or not at all. FileError with path and reason; ArgumentError as "
      ":meth:`Sentence.to_conllu`.\n\nExample:\n"
      "    >>> tree = nl.parse.sentence_of('Fish swim.')\n"
      "    >>> nl.parse.write_conllu('trees.conllu', [tree])\n"
      "    >>> nl.parse.read_conllu('trees.conllu', heads='any') == [tree]\n    True");
}

}  // namespace

void bind_reader(py::module_& m) {
  bind_reader_class(m);
  bind_sentence_of(m);
  bind_files(m);
}

}  // namespace normlab::bindings
