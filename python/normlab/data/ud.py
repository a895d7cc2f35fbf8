"""Treebanks: those of Universal Dependencies, and folders of CoNLL-U or CoNLL-X files."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from .._core import ArgumentError, FileError
from ..parse import Reader, Sentence
from .fetch import RemoteFile
from .packed import opened
from .places import Source, at_home, find, in_text, is_folder, listed
from .splits import InSplits

# Release 2.16, CC BY-SA 4.0. The sums are those of the official files.
EN_EWT = Source(
    name="en_ewt",
    folder="ud-en-ewt",
    urls=("https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/r2.16/",),
    files=(
        RemoteFile(
            "en_ewt-ud-train.conllu",
            14_203_025,
            "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
        ),
        RemoteFile(
            "en_ewt-ud-dev.conllu",
            1_805_545,
            "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
        ),
        RemoteFile(
            "en_ewt-ud-test.conllu",
            1_804_515,
            "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
        ),
    ),
)
_KNOWN = {source.name: source for source in (EN_EWT,)}
_SPLITS = ("train", "dev", "test")
_FORMATS = {".conllu": "conllu", ".conllx": "conllx", ".conll": "conllx"}
# A split's name and then, of a large treebank, its part's: train, train-a, train-b-2, train_part1.
_PART = r"((?:[-_.](?:part)?[a-z]{0,2}\d{0,4})*|\d{1,4})"
# Of ten training sentences, which one validates or tests where there is no file for that.
_SHARE, _SHARED = 10, {"dev": 9, "test": 4}
_MOST_IN_LINE = (1 << 20) + 2  # more than the reader takes, so that it says so


@dataclass(frozen=True, repr=False)
class Treebank(InSplits):
    """Sentences with their trees, in three splits.

    Attributes:
        name: "en_ewt", or the folder's name.
        origin: Where these bytes came from, in words.
    """

    name: str
    origin: str
    train: list[Sentence]
    valid: list[Sentence]
    test: list[Sentence]


def ud(treebank: str | Path = "en_ewt", *, mirror: str | None = None) -> Treebank:
    """A treebank by its name, or from a folder.

    "en_ewt" is the English Web Treebank of Universal Dependencies, release 2.16 (Silveira et al.
    2014): 12,544 / 2,001 / 2,077 sentences, 204,577 / 25,147 / 25,094 words. It is looked for in
    NORMLAB_DATA/ud-en-ewt (en_ewt-ud-train.conllu and so on, packed with gzip or not), then in the
    user's cache, then downloaded. The bytes must be the official ones.

    Another treebank's name, such as "de_gsd", stands for the folder NORMLAB_DATA/ud-de-gsd.

    A folder must have a file for each split, whose name ends with train, dev and test and then
    .conllu (Universal Dependencies; each tree has one root), or .conllx or .conll (the shared task
    of 2006, as the Penn Treebank's dependencies are often written; trees may have several roots),
    each packed with gzip (.gz) or not. A split may be divided, as large treebanks are
    (de_hdt-ud-train-a-1.conllu, de_hdt-ud-train-a-2.conllu, ...): its files are read in the order
    of their names, numbers by their size. Without dev or test, a tenth of the training sentences,
    every tenth one, leaves the training set and stands for it, which `origin` says.

    Args:
        treebank: "en_ewt", another treebank's name, or a folder's path.
        mirror: Address to download from instead of the official one; the files lie below it in
            ud-en-ewt/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The files are nowhere, and the download failed.
        ArgumentError: There is neither a treebank nor a folder of that name.

    Example:
        >>> treebank = nl.data.ud("en_ewt")
        >>> len(treebank.train), treebank.train[0].forms[:3]
        (12544, ['Al', '-', 'Zaman'])
    """
    if isinstance(treebank, str) and treebank in _KNOWN:
        return load(_KNOWN[treebank], mirror)
    for folder in (at_home(treebank), _named_folder(str(treebank))):
        if str(treebank) and folder and is_folder(folder):  # "" would be the current folder
            return load_folder(folder)
    known = ", ".join(repr(name) for name in _KNOWN)
    raise ArgumentError(
        f"treebank must be {known} or a folder, is {str(treebank)!r}; others come from "
        "universaldependencies.org: give the folder with their .conllu files, or put it "
        "into NORMLAB_DATA, named ud-de-gsd for de_gsd"
    )


def _named_folder(treebank: str) -> Path | None:
    """NORMLAB_DATA/ud-de-gsd for "de_gsd"."""
    data = os.environ.get("NORMLAB_DATA")
    if not data or not re.fullmatch(r"[a-z]+_[a-z]+", treebank):
        return None
    return at_home(data) / f"ud-{treebank.replace('_', '-')}"


def load(source: Source, mirror: str | None) -> Treebank:
    """Reads the three files of `source`, whose sums must be the official ones."""
    paths, origin = find(source, mirror)
    splits = []
    for path, file in zip(paths, source.files, strict=True):
        total = hashlib.sha256()
        splits.append(_sentences(path, "conllu", "tree", total))
        # Compared last: whatever else is wrong says more.
        if (found := total.hexdigest()) != file.sha256:
            raise FileError(
                f"{path}: must be the official file with SHA-256 {file.sha256}, has {found}"
            )
    return Treebank(source.name, origin, *splits)


def load_folder(folder: Path) -> Treebank:
    """Reads the files of a folder, in the format that their names tell."""
    files = {split: _files_of(folder, split) for split in _SPLITS}
    if not files["train"]:
        raise FileError(
            f"{folder}: must have a file whose name ends with train and {', '.join(_FORMATS)} "
            "(with or without .gz), has none"
        )
    read = {
        split: [
            sentence
            for path, form in files[split]
            for sentence in _sentences(path, form, "tree" if form == "conllu" else "forest")
        ]
        for split in _SPLITS
    }
    missing = [split for split in ("dev", "test") if not files[split]]
    origin = f"folder ({in_text(folder)}){_parts_note(files['train'])}{_share_note(missing)}"
    _share_out(folder, read, missing)
    return Treebank(
        in_text(folder.resolve().name),
        origin,
        train=read["train"],
        valid=read["dev"],
        test=read["test"],
    )


def _files_of(folder: Path, split: str) -> list[tuple[Path, str]]:
    """The files of a split with their formats, in the order of its parts."""
    endings = "|".join(map(re.escape, _FORMATS))
    pattern = re.compile(f"(.*){split}{_PART}({endings})(?:\\.gz)?")
    found = {
        path: match
        for path in listed(folder)
        if (match := pattern.fullmatch(path.name)) and path.is_file()
    }
    parts = [match[2] for match in found.values()]
    is_one_treebank = len({(match[1], match[3]) for match in found.values()}) <= 1
    is_divided = "" not in parts or len(parts) == 1
    if not (is_one_treebank and is_divided and len(set(parts)) == len(parts)):
        raise FileError(
            f"{folder}: must have one file whose name ends with {split} and "
            f"{', '.join(_FORMATS)} (with or without .gz), or parts of one ({split}-a, "
            f"{split}-b), has {', '.join(path.name for path in found)}"
        )
    ordered = sorted(found.items(), key=lambda entry: _natural(entry[1][2]))
    return [(path, _FORMATS[match[3]]) for path, match in ordered]


def _natural(name: str) -> list[tuple[int, str]]:
    """Orders a-2 before a-10."""
    return [
        (int(item), "") if item.isdigit() else (-1, item) for item in re.findall(r"\d+|\D+", name)
    ]


def _parts_note(files: Sequence[tuple[Path, str]]) -> str:
    return f", {len(files)} training files" if len(files) > 1 else ""


def _share_note(missing: Sequence[str]) -> str:
    """A note on the substitutes for splits without a file."""
    if not missing:
        return ""
    each = "it" if len(missing) == 1 else "each"
    return f"; no {' and '.join(missing)} file: every tenth training sentence stands for {each}"


def _share_out(folder: Path, read: dict[str, list[Sentence]], missing: Sequence[str]) -> None:
    """Moves training sentences into the splits that are missing."""
    train = read["train"]
    if missing and len(train) < _SHARE:
        raise FileError(
            f"{folder}: has no file for {' and '.join(missing)}, and of {len(train)} training "
            f"sentences no tenth can stand for it; must have {_SHARE} or more"
        )
    taken = {_SHARED[split]: split for split in missing}
    for split in missing:
        read[split] = train[_SHARED[split] :: _SHARE]
    read["train"] = [each for i, each in enumerate(train) if i % _SHARE not in taken]


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _sentences(path: Path, form: str, heads: str, total: _Sum | None = None) -> list[Sentence]:
    with opened(path) as stream:
        return list(Reader(_lines(stream, total), name=in_text(path), format=form, heads=heads))


def _lines(stream: IO[bytes], total: _Sum | None) -> Iterator[bytes]:
    """Lines, cut if they are too long, each added to the checksum."""
    while line := stream.readline(_MOST_IN_LINE):
        if total is not None:
            total.update(line)
        yield line
