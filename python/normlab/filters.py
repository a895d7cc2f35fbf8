"""The commands `normlab predict`, `parse` and `translate`: text in, what models make of it out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import Tensor, text, text_io
from . import translate as translation
from ._core import ArgumentError, OutOfMemoryError
from ._core.text import _Lines as Lines
from .parse import Model, Parser
from .text_io import Output


class Refused:
    """Input that is refused: an error, or a line on standard error and a count."""

    def __init__(self, *, skip: bool, what: str):
        self._skip, self._what = skip, what
        self._skipped = self._taken = 0

    def count(self, taken: int) -> None:
        """Adds items that were in order."""
        self._taken += taken

    def skips(self, error: str) -> bool:
        """Reports and counts a refused item; False if its error must be raised."""
        if self._skip:
            self._skipped += 1
            text_io.note(f"skipped: {error}")
        return self._skip

    def sum_up(self) -> int:
        """The exit code: 2 if all that there was had to be skipped."""
        if self._skipped:
            text_io.note(
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
    for source in text_io.inputs(files):
        told = False
        for number, line in enumerate(Lines(source.read), 1):
            if not told and _is_word_of_conllu(line):
                text_io.note(f"{source.name}, line {number}: is CoNLL-U, labelled as text")
                told = True
            try:
                found, label = _labelled(model, line)
            except ArgumentError as error:
                message = f"{source.name}, line {number}: {error}"
                if not refused.skips(message):
                    raise ArgumentError(message) from error
                continue
            except OutOfMemoryError as error:
                raise OutOfMemoryError(f"{source.name}, line {number}: {error}") from error
            refused.count(1)
            fields = [_field(label)]
            if logits:
                fields.append(" ".join(f"{x:.9g}" for x in found.numpy()))
            if probabilities:
                fields += [f"{p:.9g}" for p in _softmax(found.numpy())]
            # Bytes: the line comes out as it went in, whatever encoding the terminal has.
            out.write(b"\t".join([*(field.encode() for field in fields), line]) + b"\n")
    return refused.sum_up()


def _is_word_of_conllu(line: Any) -> bool:
    number, *rest = bytes(line).split(b"\t", 10)
    return len(rest) == 9 and number.isdigit()


def _labelled(model: text.Model, line: Any) -> tuple[Tensor, str]:
    """The line is bytes: the engine refuses what is no UTF-8, and the stub knows str alone."""
    if len(line) > Lines.MAX_BYTES:
        raise ArgumentError(f"must have at most {Lines.MAX_BYTES:,} bytes")
    return model.label(line)


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
    format: str | None = None,
    retag: bool = False,
    skip_bad: bool = False,
) -> int:
    """Parses every sentence; returns the exit code.

    Args:
        model: The parser.
        name: The model's name in errors.
        files: See text_io.inputs().
        out: Takes CoNLL-U.
        format: "raw", "tokenized" or "conllu". None: CoNLL-U if the text begins so, else raw.
        retag: Finds the tags of CoNLL-U anew.
        skip_bad: Leaves out sentences that are refused.
    """
    no_tagger = ArgumentError(f"{name}: has no tagger, so the input must be --conllu with tags")
    if model.tagger is None and (retag or format in ("raw", "tokenized")):
        raise no_tagger
    refused = Refused(skip=skip_bad, what="sentences")
    parser = Parser(model)
    for source in text_io.inputs(files):

        def begins(found: str, place: str = source.name) -> None:
            _check_format(place, found, format)
            if model.tagger is None and found != "conllu":
                raise no_tagger

        trees = parser.parse_stream(
            source.read,
            out.write,
            name=source.name,
            format=format,
            retag=retag,
            is_ready=source.is_ready,
            skips=refused.skips,
            begins=begins,
        )
        refused.count(trees)
    return refused.sum_up()


def _check_format(place: str, found: str, asked: str | None) -> None:
    """ArgumentError for CoNLL-U that was said to be tokenized, a note if nothing was said."""
    if found == asked or found != "conllu":
        return
    if asked is not None:
        raise ArgumentError(f"{place}: is CoNLL-U; say --conllu in place of --{asked}")
    text_io.note(f"{place}: is CoNLL-U, read as with --conllu; --raw reads it as text")


# --- translations ---------------------------------------------------------------------------------

_AT_ONCE = 64  # lines


def translate(
    model: translation.Model,
    files: Sequence[str],
    out: Output,
    *,
    beam: int = 5,
    alpha: float = 1.0,
    skip_bad: bool = False,
) -> int:
    """Translates every line, many at once where many are there; returns the exit code."""
    refused = Refused(skip=skip_bad, what="lines")
    for source in text_io.inputs(files):
        for first, lines in _groups(source):
            for translated in _translated(model, source.name, first, lines, refused, beam, alpha):
                out.write(translated.encode() + b"\n")
    return refused.sum_up()


def _groups(source: text_io.Source) -> Iterator[tuple[int, list[Any]]]:
    """Lines that need no waiting together, with the number of the first one."""
    lines = Lines(source.read)
    group: list[Any] = []
    for number, line in enumerate(lines, 1):
        group.append(line)
        if len(group) == _AT_ONCE or not (lines.has_line() or source.is_ready()):
            yield number - len(group) + 1, group
            group = []
    if group:
        yield number - len(group) + 1, group


def _translated(
    model: translation.Model,
    name: str,
    first: int,
    lines: list[Any],
    refused: Refused,
    beam: int,
    alpha: float,
) -> Iterator[str]:
    """The translations of lines as bytes; one by one if a line is refused, to name it."""
    options: dict[str, Any] = {"beam": beam, "alpha": alpha}
    if all(len(line) <= Lines.MAX_BYTES for line in lines):
        try:
            found = model.translate(lines, **options)
        except ArgumentError:
            pass
        else:
            refused.count(len(found))
            yield from found
            return
    for number, line in enumerate(lines, first):
        try:
            if len(line) > Lines.MAX_BYTES:
                raise ArgumentError(f"must have at most {Lines.MAX_BYTES:,} bytes")
            (translated,) = model.translate([line], **options)
        except ArgumentError as error:
            message = f"{name}, line {number}: {error}"
            if not refused.skips(message):
                raise ArgumentError(message) from error
        else:
            refused.count(1)
            yield translated
