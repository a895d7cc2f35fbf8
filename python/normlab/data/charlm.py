"""Plain text for character language models: published ones, and any file or folder."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .._core import ArgumentError, FileError
from .fetch import DataMissingError, RemoteFile
from .packed import read_file, read_members
from .places import Source, at_home, find, in_text, is_folder, listed
from .reviews import standin_reviews
from .splits import InSplits

MOST_BYTES = 1 << 28  # of a text or archive; enwik8 has 100 million
_LEAST = 40  # characters: of fewer, a twentieth has no two
_ENDINGS = (".txt", ".txt.gz")


@dataclass(frozen=True, repr=False)
class CharacterText(InSplits):
    """A text cut in three, in its order.

    Attributes:
        name: "tinyshakespeare", ..., or the name of the file or folder.
        origin: Where these bytes came from, in words.
        generated: True if it is made up by this package.
    """

    name: str
    origin: str
    train: str
    valid: str
    test: str
    generated: bool = False


@dataclass(frozen=True)
class WholeText(Source):
    """A text published as one file, or as an archive of one file.

    Attributes:
        member: Its name in a local folder and in the archive.
        sha256: The sum of the unpacked text; empty where only the archive's is known.
        size: Its bytes.
        sizes: Characters of the three splits; empty: 90 %, 5 %, 5 %.
    """

    member: str = ""
    sha256: str = ""
    size: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name in a local folder, with or without .gz."""
        return (self.member,)

    @property
    def is_archive(self) -> bool:
        """True if it is published as an archive."""
        return any(file.name.endswith(".zip") for file in self.files)


def _wikipedia(name: str, size: int, sha256: str) -> WholeText:
    """Of Matt Mahoney's: 100 million bytes in an archive, cut as usual at 90 and 95 million."""
    return WholeText(
        name=name,
        folder="charlm",
        urls=("http://mattmahoney.net/dc/",),
        files=(RemoteFile(f"{name}.zip", size, sha256),),
        member=name,
        size=100_000_000,
        sizes=(90_000_000, 5_000_000, 5_000_000),
    )


TINYSHAKESPEARE = WholeText(
    name="tinyshakespeare",
    folder="charlm",
    urls=("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",),
    files=(
        RemoteFile(
            "input.txt",
            1_115_394,
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    ),
    member="tinyshakespeare.txt",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
WARANDPEACE = WholeText(
    name="warandpeace",
    folder="charlm",
    urls=(),  # Project Gutenberg changes its own text around the book
    files=(),
    member="warandpeace.txt",
    size=3_274_092,
    sha256="4d813340fd77e3a7b3dde2b0f96c2237730f26c7b2ad6e4dd8268e60967c36f1",
)
ENWIK8 = _wikipedia(
    "enwik8", 36_445_475, "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc"
)
TEXT8 = _wikipedia(
    "text8", 31_344_016, "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"
)
_KNOWN = {source.name: source for source in (TINYSHAKESPEARE, WARANDPEACE, ENWIK8, TEXT8)}
TEXTS = tuple(_KNOWN)
"""Names of the published texts."""


def charlm(text: str | Path = "tinyshakespeare", *, mirror: str | None = None) -> CharacterText:
    """A text for a character language model, by its name or from a file or folder.

    "tinyshakespeare" (1,115,394 characters), "warandpeace" (3,208,237), and any other text: the
    first nine tenths are the training split, the rest is halved into validation and test.

    "enwik8" and "text8" (Mahoney, 100 million bytes of Wikipedia): 90, 5 and 5 million bytes. As in
    the literature, each byte is a character, U+0000 to U+00FF.

    A named text is looked for in NORMLAB_DATA/charlm (tinyshakespeare.txt, warandpeace.txt, enwik8,
    text8, packed with gzip or not, or the published archive), then in the user's cache, then
    downloaded; warandpeace is not. The bytes must be the published ones.

    A file must be UTF-8, packed with gzip or not. Of a folder, the files that end with .txt or
    .txt.gz are one text, in the order of their names.

    Args:
        text: A name, or the path of a file or folder. A name goes before a path.
        mirror: Address to download from instead of the official one; the files lie below it in
            charlm/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong: the message names it and the reason.
        DataMissingError: A named text is nowhere, and the download failed.
        ArgumentError: There is neither a text nor a file nor a folder of that name.

    Example:
        >>> text = nl.data.charlm("tinyshakespeare")
        >>> text.train[:13], len(text.test)
        ('First Citizen', 55770)
    """
    if isinstance(text, str) and text in _KNOWN:
        return load(_KNOWN[text], mirror)
    path = at_home(text)
    if not str(text) or not os.path.lexists(path):
        raise ArgumentError(
            f"text: must be {', '.join(map(repr, _KNOWN))}, or a file or folder; is {str(text)!r}"
        )
    return load_folder(path) if is_folder(path) else load_file(path)


def load(source: WholeText, mirror: str | None) -> CharacterText:
    """Reads a published text."""
    paths, origin = find(source, mirror)
    if not paths:
        raise DataMissingError(_not_published(source))
    place, content = _content(source, paths[0])
    if len(content) != source.size:
        raise FileError(f"{place}: must have {source.size:,} bytes, has {len(content):,}")
    if source.sha256:
        _check_sum(place, content, source.sha256)
    characters = content.decode("latin-1") if source.sizes else decoded(content, place)
    return cut(source.name, origin, characters, source.sizes)


def _content(source: WholeText, path: Path) -> tuple[str, bytes]:
    """The text's place, for errors, and its bytes."""
    if not (source.is_archive and path.name == source.files[0].name):
        return str(path), read_file(path, MOST_BYTES)
    _check_sum(str(path), read_file(path, MOST_BYTES), source.files[0].sha256)
    (content,) = read_members(path, source.names, MOST_BYTES)
    return f"{path}: {source.member}", content


def _not_published(source: WholeText) -> str:
    return (
        f"{source.name}: {source.member} is not on this machine and is not downloaded. Put it into "
        f"a folder {source.folder}/ and set NORMLAB_DATA to the folder above it, or name another "
        "file"
    )


def _check_sum(place: str, content: bytes, sha256: str) -> None:
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise FileError(f"{place}: must be the official file with SHA-256 {sha256}, has {found}")


def load_file(path: Path) -> CharacterText:
    """Reads a file."""
    text = decoded(read_file(path, MOST_BYTES), in_text(path))
    name = in_text(path.name)
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return cut(name or in_text(path.name), f"file ({in_text(path)})", text)


def load_folder(folder: Path) -> CharacterText:
    """Reads the files of a folder as one text."""
    paths = [path for path in listed(folder) if path.name.endswith(_ENDINGS) and path.is_file()]
    if not paths:
        raise FileError(
            f"{folder}: must have files that end with {' or '.join(_ENDINGS)}, has none"
        )
    parts: list[str] = []
    for path in sorted(paths, key=lambda path: _natural(path.name)):
        part = decoded(read_file(path, MOST_BYTES), in_text(path))
        parts += [part] if part.endswith("\n") else [part, "\n"]
    name = in_text(folder.resolve().name)
    count = f"{len(paths)} files" if len(paths) > 1 else "1 file"
    return cut(name, f"folder ({in_text(folder)}), {count}", "".join(parts))


def _natural(name: str) -> list[tuple[int, str]]:
    """Orders 2.txt before 10.txt."""
    return [
        (int(item), "") if item.isdecimal() else (-1, item)
        for item in re.findall(r"[0-9]+|[^0-9]+", name)
    ]


def decoded(content: bytes, place: str) -> str:
    """The text of UTF-8, without a byte order mark. FileError naming the byte."""
    if not content:
        raise FileError(f"{place}: is empty")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(
            f"{place}: must be UTF-8 text, byte {error.start + 1:,}, 0x{content[error.start]:02x}, "
            "is not"
        ) from None
    if (at := text.find("\0")) >= 0:
        raise FileError(f"{place}: must be text, character {at + 1:,} is NUL")
    return text.removeprefix("\ufeff")


def cut(
    name: str, origin: str, text: str, sizes: tuple[int, ...] = (), *, generated: bool = False
) -> CharacterText:
    """The three splits. FileError for a text from which nothing can be learned."""
    if len(text) < _LEAST:
        raise FileError(
            f"{origin}: must have {_LEAST} characters or more for three splits, has {len(text)}"
        )
    n = len(text)
    first = sizes[0] if sizes else n * 9 // 10
    second = first + (sizes[1] if sizes else (n - first) // 2)
    train = text[:first]
    if len(set(train)) < 2:
        raise FileError(
            f"{origin}: must have two different characters or more, has {train[0]!r} alone"
        )
    return CharacterText(name, origin, train, text[first:second], text[second:], generated)


def standin_text(seed: int = 0, *, sentences: int = 4_000) -> CharacterText:
    """A text generated from a few rules: NOT a published one, and no number compares with theirs.

    Lines of :func:`standin_reviews`. Same arguments, same text.

    Args:
        seed: Another one gives another text.
        sentences: Its lines.

    Example:
        >>> text = nl.data.standin_text(sentences=10)
        >>> text.generated, text.train[:14]
        (True, "palopa 's film")
    """
    made = standin_reviews(seed, train=sentences, valid=0, test=0)
    text = "".join(f"{line}\n" for line in made.train.texts)
    return cut("standin_text", made.origin, text, generated=True)
