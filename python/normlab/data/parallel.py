"""Aligned text: sentences of one language and their translations, line by line."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .._core import ArgumentError, FileError
from .packed import read_file
from .places import at_home, in_text, is_folder
from .splits import InSplits

MOST_BYTES = 1 << 30  # of a file, unpacked
_MOST_IN_LINE = 1 << 16
_MOST_WORDS = 250
_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, repr=False)
class ParallelSplit:
    """Sentences and their translations.

    Attributes:
        source: n sentences.
        target: Their translations.
    """

    source: list[str]
    target: list[str]

    def __len__(self) -> int:
        return len(self.source)

    def first(self, n: int) -> "ParallelSplit":
        """The first n pairs."""
        return ParallelSplit(self.source[:n], self.target[:n])

    def __repr__(self) -> str:
        return f"ParallelSplit({len(self):,} pairs)"


@dataclass(frozen=True, repr=False)
class ParallelData(InSplits):
    """Aligned text of two languages in three splits.

    Attributes:
        name: "multi30k", "iwslt14", "iwslt15", or the folder's name.
        origin: Where these bytes came from, in words, and how many pairs were left out.
        source, target: The languages, as file names end: "en", "de".
        train, valid, test: The pairs.
        more: Other test sets by their names.
        generated: True if it is made up by this package.
    """

    name: str
    origin: str
    source: str
    target: str
    train: ParallelSplit
    valid: ParallelSplit
    test: ParallelSplit
    more: dict[str, ParallelSplit]
    generated: bool = False


@dataclass(frozen=True)
class Aligned:
    """Two files of aligned lines.

    Attributes:
        places: What errors call the files.
        lines: Those of each, decoded.
    """

    places: tuple[str, str]
    lines: tuple[list[str], list[str]]


def parallel(folder: str | os.PathLike[str], source: str, target: str) -> ParallelData:
    """Aligned text of any two languages from a folder.

    The folder has train.SOURCE, train.TARGET and likewise valid and test, UTF-8, packed with gzip
    (.gz) or not: line i of one is the translation of line i of the other. LF ends a line.

    A pair of the training split is left out, and counted in `origin`, if a side is empty or has
    more than 250 words between spaces. In valid and test a pair with two empty sides is left out,
    and one with an empty side is an error.

    Args:
        folder: Its path.
        source: The ending of the files to translate from, such as "en".
        target: The ending of those to translate into.

    Raises:
        FileError: A file is missing, is not UTF-8, or has not as many lines as its partner; the
            message names file and line.
        ArgumentError: There is no such folder, or the languages are the same.

    Example:
        >>> for split in ("train", "valid", "test"):
        ...     for language, line in (("en", "a cat"), ("de", "eine Katze")):
        ...         _ = Path(f"{split}.{language}").write_text(line)
        >>> pairs = nl.data.parallel(".", "en", "de")
        >>> pairs.train.source, pairs.train.target
        (['a cat'], ['eine Katze'])
    """
    check_languages(source, target)
    path = at_home(folder)
    if not str(folder) or not is_folder(path):  # "" would be the current folder
        raise ArgumentError(
            f"folder: must be a folder with train.{source} and so on, is {in_text(folder)!r}"
        )
    files = {split: (f"{split}.{source}", f"{split}.{target}") for split in _SPLITS}
    read = {split: aligned([_file(path, name) for name in names]) for split, names in files.items()}
    return pairs(in_text(path.resolve().name), f"folder ({in_text(path)})", source, target, read)


def check_languages(source: str, target: str, known: Sequence[str] = ()) -> None:
    """ArgumentError unless these are two languages, of the known ones if there are any."""
    for name, language in (("source", source), ("target", target)):
        if known and language not in known:
            raise ArgumentError(f"{name}: must be {' or '.join(known)}, is {language!r}")
        if not language or "/" in language:
            raise ArgumentError(f"{name}: must be a language such as 'en', is {language!r}")
    if source == target:
        raise ArgumentError(f"target: must be another language than source, both are {source!r}")


def pairs(
    name: str, origin: str, source: str, target: str, read: dict[str, Aligned]
) -> ParallelData:
    """The data set of these files: train, valid, test and, under other names, more tests."""
    left_out: list[str] = []
    splits = {split: _usable(split, files, left_out) for split, files in read.items()}
    return ParallelData(
        name=name,
        origin="; ".join([origin, *left_out]),
        source=source,
        target=target,
        train=splits.pop("train"),
        valid=splits.pop("valid"),
        test=splits.pop("test"),
        more=splits,
    )


def aligned(paths: Sequence[Path], sums: Sequence[str] = ()) -> Aligned:
    """The lines of two files, of which there must be as many; with `sums`, of official files."""
    contents = [read_file(path, MOST_BYTES) for path in paths]
    lines = [decoded(str(path), content) for path, content in zip(paths, contents, strict=True)]
    found = Aligned((str(paths[0]), str(paths[1])), (lines[0], lines[1]))
    check_aligned(found)
    for path, content, expected in zip(paths, contents, sums, strict=False):
        if (actual := hashlib.sha256(content).hexdigest()) != expected:
            raise FileError(
                f"{path}: must be the official file with SHA-256 {expected}, has {actual}"
            )
    return found


def check_aligned(files: Aligned) -> None:
    """FileError unless both have as many lines."""
    counts = [len(lines) for lines in files.lines]
    if counts[0] != counts[1]:
        raise FileError(
            f"{files.places[0]} and {files.places[1]}: must have as many lines, line i of one the "
            f"translation of line i of the other; have {counts[0]:,} and {counts[1]:,}"
        )


def decoded(place: str, content: bytes) -> list[str]:
    """The lines of UTF-8 text without spaces at their ends, a first byte order mark and CR."""
    raw = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not raw[-1]:
        raw.pop()
    lines = []
    for number, line in enumerate(raw, 1):
        if len(line) > _MOST_IN_LINE:
            raise FileError(
                f"{place}:{number}: must have at most {_MOST_IN_LINE:,} bytes, has {len(line):,}"
            )
        try:
            lines.append(line.decode().strip(" \r"))
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise FileError(
                f"{place}:{number}: must be UTF-8, byte {error.start + 1}, 0x{byte:02x}, is not"
            ) from None
    return lines


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise FileError(f"{folder}: must have a file {name} (with or without .gz), has none")


def _usable(split: str, files: Aligned, left_out: list[str]) -> ParallelSplit:
    """The pairs that can be used; what is left out is told in `left_out`."""
    kept: list[tuple[str, str]] = []
    empty = overlong = 0
    for number, (source, target) in enumerate(zip(*files.lines, strict=True), 1):
        if not source or not target:
            if split != "train" and source != target:
                place = files.places[0 if not source else 1]
                raise FileError(f"{place}:{number}: is empty, but its translation is not")
            empty += 1
        elif split == "train" and max(_words(source), _words(target)) > _MOST_WORDS:
            overlong += 1
        else:
            kept.append((source, target))
    if empty:
        left_out.append(f"{empty:,} pairs of {split} with an empty side left out")
    if overlong:
        left_out.append(f"{overlong:,} pairs of {split} of more than {_MOST_WORDS} words left out")
    if not kept:
        raise FileError(f"{files.places[0]}: has no sentence with a translation")
    return ParallelSplit([source for source, _ in kept], [target for _, target in kept])


def _words(line: str) -> int:
    return line.count(" ") + 1
