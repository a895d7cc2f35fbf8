"""Standard input and output as they come: by lines, and as trees of sentences."""

import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ._core import ArgumentError, FileError, OutOfMemoryError
from .parse import Parser, Reader, Sentence, Word, sentence_of

_MOST_IN_LINE = 1 << 20  # bytes: a line without end must not fill the memory
_CHUNK = 1 << 16
_BOM = b"\xef\xbb\xbf"

# --- lines ----------------------------------------------------------------------------------------


def check_open() -> None:
    """FileError naming the stream that is closed."""
    for name, stream in (("standard input", sys.stdin), ("standard output", sys.stdout)):
        if stream is None:
            raise FileError(f"{name}: is closed")


def open_closed() -> None:
    """Lets what is printed go nowhere where output is closed: a study is in its files."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (as long as we live)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def lines(before_waiting: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Standard input's, without their ends and without a byte order mark.

    Args:
        before_waiting: Called when all lines that are there have been taken, and more may come.

    Raises:
        FileError: It cannot be read.
        ArgumentError: A line of more than 1 MiB; it names the line.
    """
    for number, line in enumerate(_raw_lines(before_waiting), 1):
        text = line.removesuffix(b"\r")
        if number == 1:
            text = text.removeprefix(_BOM)
        if len(text) > _MOST_IN_LINE:
            raise ArgumentError(
                f"standard input, line {number}: must have at most {_MOST_IN_LINE:,} bytes"
            )
        yield text


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Errors say which part of standard input they are about."""
    try:
        yield
    except (ArgumentError, OutOfMemoryError) as error:
        raise type(error)(f"standard input, {place}: {error}") from error


def write(data: bytes) -> None:
    """Writes to standard output, at once. FileError; BrokenPipeError if nobody reads it."""
    try:
        _write_all(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # else it is tried, and fails, at exit again
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise FileError(f"standard output: cannot be written: {error.strerror or error}") from error


def _write_all(data: bytes) -> None:
    """With PYTHONUNBUFFERED, Python hands on what the system takes, which may be a part."""
    out, rest = sys.stdout.buffer, memoryview(data)
    while rest:
        taken = out.write(rest)
        if not taken:  # a pipe that does not block
            select.select([], [out], [])
        rest = rest[taken or 0 :]
    out.flush()


def _raw_lines(before_waiting: Callable[[], None]) -> Iterator[bytes]:
    """Without LF; of one that is too long, as much as shows it."""
    line = bytearray()
    for chunk in _chunks(before_waiting):
        end, *others = chunk.split(b"\n")
        line += end
        for other in others:
            yield bytes(line)
            line = bytearray(other)
        if len(line) > _MOST_IN_LINE + len(_BOM + b"\r"):
            yield bytes(line)
    if line:
        yield bytes(line)


def _chunks(before_waiting: Callable[[], None]) -> Iterator[bytes]:
    descriptor = sys.stdin.fileno()
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            before_waiting()
            select.select([descriptor], [], [])
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as error:
            raise FileError(f"standard input: cannot be read: {error.strerror or error}") from error
        if not chunk:
            return
        yield chunk


# --- sentences ------------------------------------------------------------------------------------

# With the comment "text" before them, a reader of CoNLL-U takes so many.
_MOST_IN_SENTENCE = 99_999
# What is parsed at once: enough for all cores, little memory.
_MOST_SENTENCES = 1024
_MOST_WORDS = 1 << 15

# White space as nl.text.tokenize() has it, which takes out soft hyphens as well.
_SPACE = "\x01-\x20\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
_WORD = re.compile(f"[^{_SPACE}]+")
_IN_WORDS = re.compile(f"[^{_SPACE}\xad]")

Places = Iterator[tuple[str, Sentence]]
"""Sentences with what errors call them."""


def raw_sentences(lines: Iterable[bytes]) -> Places:
    """Of a line of text each, cut into words. Lines without words are passed over."""
    return _sentences(lines, sentence_of)


def tokenized_sentences(lines: Iterable[bytes]) -> Places:
    """Of a line each, with white space between words. Lines without words are passed over."""

    def sentence(line: str) -> Sentence:
        words = _WORD.findall(line)
        return Sentence(words, ["# text = " + " ".join(words)])

    return _sentences(lines, sentence)


def conllu_sentences(lines: Iterable[bytes], *, retag: bool = False) -> Places:
    """Of CoNLL-U; `retag` forgets the tags."""
    reader = Reader(lines, name="standard input", heads="any")
    for number, sentence in enumerate(reader, 1):
        yield f"sentence {number}", _without_tags(sentence) if retag else sentence


class TreeWriter:
    """Parses sentences and writes their trees, many at once."""

    def __init__(self, parser: Parser):
        self._parser = parser
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
                with naming(place):
                    tree = self._trees([(place, sentence)])
                write(tree)
        else:
            write(trees)

    def _trees(self, waiting: list[tuple[str, Sentence]]) -> bytes:
        parsed = self._parser.parse(sentence for _, sentence in waiting)
        return "".join(sentence.to_conllu() for sentence in parsed).encode()


def _sentences(lines: Iterable[bytes], make: Callable[[str], Sentence]) -> Places:
    for number, line in enumerate(lines, 1):
        place = f"line {number}"
        with naming(place):
            text = _decoded(line)
            if not _IN_WORDS.search(text):
                continue
            sentence = make(text)
            if len(sentence) > _MOST_IN_SENTENCE:
                raise ArgumentError(
                    f"must have at most {_MOST_IN_SENTENCE:,} words, has {len(sentence):,}"
                )
        yield place, sentence


def _decoded(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ArgumentError(f"must be UTF-8, at byte {error.start} it is not") from error
    if (at := line.find(0)) >= 0:
        raise ArgumentError(f"byte {at} is NUL")
    return text


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
