"""Data sets of labelled sentences, and the reader of their files."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .._core import FileError
from .packed import read_file, read_members
from .places import Source, find
from .splits import InSplits

T = TypeVar("T")

_MOST_BYTES = 8 << 20  # of a file or archive, unpacked; the largest has 2.2 million
_MOST_IN_LINE = 4096  # the longest of the official lines has 700
_CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, repr=False)
class TextSplit:
    """Sentences and their classes.

    Attributes:
        texts: n sentences, as published: words and marks with spaces between them.
        labels: [n], int64, numbers of TextData.labels.
    """

    texts: list[str]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> "TextSplit":
        """The first n sentences."""
        return TextSplit(self.texts[:n], self.labels[:n])

    def __repr__(self) -> str:
        return f"TextSplit({len(self):,} sentences)"


@dataclass(frozen=True, repr=False)
class TextData(InSplits):
    """A data set of labelled sentences in the paper's three splits.

    Attributes:
        name: "rt", "sst5" or "standin_reviews".
        origin: Where these bytes came from, in words.
        labels: The name of each class.
        generated: True if they are made up by this package.
    """

    name: str
    origin: str
    labels: tuple[str, ...]
    train: TextSplit
    valid: TextSplit
    test: TextSplit
    generated: bool = False


@dataclass(frozen=True)
class TextFile:
    """One file of a text set: lines that end in LF.

    Attributes:
        name: Its name, in a folder and in the archive.
        lines: How many it has.
        sha256: The sum of its official bytes.
        encoding: Their encoding.
    """

    name: str
    lines: int
    sha256: str
    encoding: str


@dataclass(frozen=True)
class TextSource(Source):
    """A set published as one archive of text files; a folder may hold them unpacked instead.

    Attributes:
        members: The files in the archive.
    """

    members: tuple[TextFile, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files in a local folder, each with or without .gz."""
        return tuple(member.name for member in self.members)


class LineError(Exception):
    """An error in a line. load_lines() adds file and number."""


def load_lines(
    source: TextSource, mirror: str | None, parse: Callable[[str], T]
) -> tuple[list[list[T]], str]:
    """Every line of each member, parsed, and where they came from, in words.

    Args:
        source: The set.
        mirror: Address to download from instead of the official ones.
        parse: Parses a line, which is not empty; raises LineError.

    Raises:
        FileError: A file that is there is wrong: never passed over for the next place.
        DataMissingError: The files are nowhere, and the download failed.
    """
    paths, origin = find(source, mirror)
    if [path.name for path in paths] == [file.name for file in source.files]:
        contents = read_members(paths[0], source.names, _MOST_BYTES)
        places = [f"{paths[0]}: {name}" for name in source.names]
    else:
        contents = [read_file(path, _MOST_BYTES) for path in paths]
        places = [str(path) for path in paths]
    files = zip(places, source.members, contents, strict=True)
    return [_parsed(place, member, content, parse) for place, member, content in files], origin


def _parsed(place: str, member: TextFile, content: bytes, parse: Callable[[str], T]) -> list[T]:
    """The parsed lines. The checksum is compared last, because other errors tell more."""
    count = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    if count != member.lines:
        raise FileError(f"{place}: must have {member.lines:,} lines, has {count:,}")
    parsed = []
    # LF alone ends a line: str.splitlines would also cut at 0x85, which is an ellipsis here.
    for number, line in enumerate(content.split(b"\n")[:count], 1):
        try:
            parsed.append(parse(_decoded(line, member.encoding)))
        except LineError as error:
            raise FileError(f"{place}:{number}: {error}") from None
    if (found := hashlib.sha256(content).hexdigest()) != member.sha256:
        raise FileError(
            f"{place}: must be the official file with SHA-256 {member.sha256}, has {found}"
        )
    return parsed


def _decoded(line: bytes, encoding: str) -> str:
    if len(line) > _MOST_IN_LINE:
        raise LineError(f"must have at most {_MOST_IN_LINE:,} bytes, has {len(line):,}")
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise LineError(f"byte {error.start + 1}, 0x{byte:02x}, is not {encoding}") from None
    if control := _CONTROL.search(text):
        raise LineError(f"must be text, has the control character {control[0]!r}")
    if not text.strip():
        raise LineError("is empty")
    return text
