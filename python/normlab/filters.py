"""What `normlab predict` and `normlab parse` do: lines and sentences in, labels and trees out."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain, count
from typing import Any

import numpy as np

from . import streams, text
from ._core import ArgumentError, Error, FileError, OutOfMemoryError
from .parse import Model, Parser, Reader, Sentence, Word, sentence_of
from .streams import Lines, Output, naming

# With the comment "text" and, at most, a multi-word token for each two words before them, a reader
# of CoNLL-U takes so many.
_MOST_LINES = 100_000
# What is parsed at once: enough for all cores, little memory.
_MOST_SENTENCES = 1024
_MOST_WORDS = 1 << 15

# White space as nl.text.tokenize() has it, which takes out soft hyphens as well.
_SPACE = "\x01-\x20\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
_WORD = re.compile(f"[^{_SPACE}]+")
_IN_WORDS = re.compile(f"[^{_SPACE}\xad]")

# How CoNLL-U begins: comments that treebanks have, then a line of ten columns with a word's number.
_NUMBERED = re.compile(rb"\d+([-.]\d+)?\t")
_TREEBANK_COMMENT = re.compile(rb"#\s*(newdoc|newpar|global\.columns|[\w.:-]+\s*=)")
_FEWEST_COLUMNS = 8  # of a line of CoNLL, in any of its formats
_MOST_HELD = 1000  # lines from which the input is recognised

Places = Iterator[tuple[str, Sentence]]
"""Sentences with what errors call them."""


class Kind(Enum):
    """What the input of `normlab parse` is."""

    unknown = "CoNLL-U if it begins so, else raw text"
    raw = "raw text"
    tokenized = "words divided by white space"
    conllu = "CoNLL-U"


class Refused:
    """What becomes of input that is refused: an error, or a line on standard error and a count."""

    def __init__(self, *, skip: bool, what: str):
        self._skip, self._what = skip, what
        self._skipped = self._taken = 0

    def count(self, taken: int) -> None:
        """So much was in order."""
        self._taken += taken

    def add(self, error: Exception) -> None:
        """Raises it, or goes on without what it is about."""
        if not self._skip:
            raise error
        self._skipped += 1
        streams.note(f"skipped: {error}")

    def sum_up(self) -> int:
        """The exit code: 2 if all that there was had to be skipped."""
        if self._skipped:
            streams.note(
                f"skipped {self._skipped:,} of {self._skipped + self._taken:,} {self._what}"
            )
        return 2 if self._skipped and not self._taken else 0


# --- labels ---------------------------------------------------------------------------------------


def predict(
    model: text.Model,
    files: Sequence[str],
    out: Output,
    *,
    logits: bool = False,
    probabilities: bool = False,
    skip_bad: bool = False,
) -> int:
    """Labels every line; returns the exit code."""
    refused = Refused(skip=skip_bad, what="lines")
    labels = [_field(label) for label in model.labels]
    if probabilities:
        out.write("\t".join(["label", *labels, "text"]).encode() + b"\n")
    for lines in streams.inputs(files):
        for number, line in enumerate(lines, 1):
            try:
                with naming(f"{lines.name}, line {number}"):
                    streams.check_length(line)
                    given: Any = (
                        line  # the stub knows str alone; the engine refuses what is no UTF-8
                    )
                    found, label = model.label(given)
            except ArgumentError as error:
                refused.add(error)
                continue
            refused.count(1)
            fields = [_field(label)]
            if logits:
                fields.append(" ".join(f"{x:.9g}" for x in found.numpy()))
            if probabilities:
                fields += [f"{p:.9g}" for p in _softmax(found.numpy())]
            # Bytes: the line comes out as it went in, whatever encoding the terminal has.
            out.write(b"\t".join([*(field.encode() for field in fields), line]) + b"\n")
    return refused.sum_up()


def _field(label: str) -> str:
    """A label as a column: tabs divide these."""
    return label.replace("\t", " ")


def _softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    shares: np.ndarray[Any, Any] = shifted / shifted.sum()
    return shares


# --- trees ----------------------------------------------------------------------------------------


def parse(
    model: Model,
    name: str,
    files: Sequence[str],
    out: Output,
    *,
    kind: Kind = Kind.unknown,
    retag: bool = False,
    skip_bad: bool = False,
) -> int:
    """Parses every sentence; returns the exit code.

    Args:
        model: The parser.
        name: What errors call the model.
        files: See streams.inputs().
        out: Where CoNLL-U goes.
        kind: What the input is.
        retag: Whether CoNLL-U's tags are found anew.
        skip_bad: Whether sentences that are refused are left out.
    """
    if model.tagger is None and (retag or kind in (Kind.raw, Kind.tokenized)):
        raise _no_tagger(name)
    refused = Refused(skip=skip_bad, what="sentences")
    trees = TreeWriter(Parser(model), out, refused)
    try:
        for lines in streams.inputs(files, before_waiting=trees.flush):
            held, found = _recognised(lines, kind)
            if model.tagger is None and found is not Kind.conllu:
                raise _no_tagger(name)
            for place, sentence in _sentences(lines, held, found, retag, refused, kind):
                trees.add(place, sentence)
    except Error:
        trees.flush()  # what came before it
        raise
    trees.flush()
    return refused.sum_up()


def _no_tagger(name: str) -> ArgumentError:
    return ArgumentError(f"{name}: has no tagger, so the input must be --conllu with tags")


def _recognised(lines: Lines, kind: Kind) -> tuple[list[bytes], Kind]:
    """Lines that were taken to find out what the input is, and what it is."""
    if kind in (Kind.raw, Kind.conllu):
        return [], kind
    held, is_conllu = _begins_conllu(lines)
    if is_conllu and kind is Kind.tokenized:
        raise ArgumentError(f"{lines.name}: is CoNLL-U; say --conllu in place of --tokenized")
    if is_conllu:
        streams.note(f"{lines.name}: is CoNLL-U, read as with --conllu; --raw reads it as text")
        return held, Kind.conllu
    return held, Kind.raw if kind is Kind.unknown else kind


def _begins_conllu(lines: Lines) -> tuple[list[bytes], bool]:
    """Takes lines until one tells; whether it is CoNLL-U.

    Comments that only treebanks have are held until a word comes. Of others, which may be text
    ("#1 is the best"), nobody is kept waiting for the answer.
    """
    held: list[bytes] = []
    is_treebank = False
    for line in lines:
        held.append(line)
        if len(held) > _MOST_HELD:
            break
        if is_treebank and _NUMBERED.match(line):
            return held, True  # even if it is broken: the reader says so
        if _is_word_line(line):
            return held, True
        if _TREEBANK_COMMENT.match(line):
            is_treebank = True
        elif line.strip() and not (line.startswith(b"#") and lines.more_is_there()):
            break
    return held, False


def _is_word_line(line: bytes) -> bool:
    """Whether it has ten columns, and a word's number in the first."""
    return line.count(b"\t") == 9 and bool(_NUMBERED.match(line))


def _sentences(
    lines: Lines, held: list[bytes], found: Kind, retag: bool, refused: Refused, asked: Kind
) -> Places:
    """Of all lines, of which some are held."""
    every = chain(held, lines)
    if found is Kind.conllu:
        return _conllu_sentences(every, lines.name, retag, refused)
    make = _tokenized if found is Kind.tokenized else sentence_of
    return _line_sentences(every, lines.name, make, refused, is_sure=asked is Kind.raw)


def _conllu_sentences(lines: Iterable[bytes], name: str, retag: bool, refused: Refused) -> Places:
    reader = Reader(lines, name=name, heads="any")
    for number in count(1):
        try:
            sentence = next(reader)
        except StopIteration:
            return
        except FileError as error:
            if not reader.skip():  # the lines cannot be read
                raise
            refused.add(error)
            continue
        yield f"{name}, sentence {number}", _without_tags(sentence) if retag else sentence


def _line_sentences(
    lines: Iterable[bytes],
    name: str,
    make: Callable[[str], Sentence],
    refused: Refused,
    *,
    is_sure: bool,
) -> Places:
    """Of a line each. Lines without words are passed over."""
    for number, line in enumerate(lines, 1):
        place = f"{name}, line {number}"
        columns = line.count(b"\t") + 1
        if not is_sure and columns >= _FEWEST_COLUMNS and _NUMBERED.match(line):
            raise ArgumentError(
                f"{place}: has a number and {columns} columns, as a word of CoNLL has them; say "
                "--conllu if it is CoNLL-U (ten columns), --raw if it is text"
            )
        try:
            with naming(place):
                sentence = _sentence_of_line(line, make)
        except ArgumentError as error:
            refused.add(error)
            continue
        if sentence is not None:
            yield place, sentence


def _sentence_of_line(line: bytes, make: Callable[[str], Sentence]) -> Sentence | None:
    streams.check_length(line)
    decoded = _decoded(line)
    if not _IN_WORDS.search(decoded):
        return None
    sentence = make(decoded)
    # Lines of CoNLL-U: the comment "text", words, multi-word tokens.
    most = _MOST_LINES - 1 - len(sentence.extras)
    if len(sentence) > most:
        raise ArgumentError(f"must have at most {most:,} words, has {len(sentence):,}")
    return sentence


def _tokenized(line: str) -> Sentence:
    words = _WORD.findall(line)
    return Sentence(words, ["# text = " + " ".join(words)])


def _decoded(line: bytes) -> str:
    try:
        decoded = line.decode()
    except UnicodeDecodeError as error:
        raise ArgumentError(f"must be UTF-8, at byte {error.start} it is not") from error
    if (at := line.find(0)) >= 0:
        raise ArgumentError(f"byte {at} is NUL")
    return decoded


def _without_tags(sentence: Sentence) -> Sentence:
    words = [
        Word(
            word.form,
            lemma=word.lemma,
            feats=word.feats,
            head=word.head,
            deprel=word.deprel,
            deps=word.deps,
            misc=word.misc,
        )
        for word in sentence.words
    ]
    return Sentence(words, sentence.comments, sentence.extras)


class TreeWriter:
    """Parses sentences and writes their trees, many at once."""

    def __init__(self, parser: Parser, out: Output, refused: Refused):
        self._parser, self._out, self._refused = parser, out, refused
        self._waiting: list[tuple[str, Sentence]] = []
        self._words = 0

    def add(self, place: str, sentence: Sentence) -> None:
        """Takes a sentence; errors call it `place`. When there are enough they are written."""
        self._waiting.append((place, sentence))
        self._words += len(sentence)
        if len(self._waiting) >= _MOST_SENTENCES or self._words >= _MOST_WORDS:
            self.flush()

    def flush(self) -> None:
        """Writes the trees of all that was added. After an error, those before it are written."""
        waiting, self._waiting, self._words = self._waiting, [], 0
        try:
            trees = self._trees(waiting)
        except (ArgumentError, OutOfMemoryError):
            for place, sentence in waiting:
                self._write_one(place, sentence)
        else:
            self._out.write(trees)
            self._refused.count(len(waiting))

    def _write_one(self, place: str, sentence: Sentence) -> None:
        try:
            with naming(place):
                tree = self._trees([(place, sentence)])
        except ArgumentError as error:
            self._refused.add(error)
            return
        self._out.write(tree)
        self._refused.count(1)

    def _trees(self, waiting: list[tuple[str, Sentence]]) -> bytes:
        parsed = self._parser.parse(sentence for _, sentence in waiting)
        return "".join(sentence.to_conllu() for sentence in parsed).encode()
