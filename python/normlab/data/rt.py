"""RT: sentences of film reviews, positive or negative, in the paper's split 8,608 / 964 / 1,089."""

import hashlib

import numpy as np

from .fetch import RemoteFile
from .text import TextData, TextFile, TextSource, TextSplit, load_lines

# Pang and Lee 2005, CC BY 4.0.
RT = TextSource(
    name="rt",
    folder="rt",
    urls=("https://www.cs.cornell.edu/people/pabo/movie-review-data/",),
    files=(
        RemoteFile(
            "rt-polaritydata.tar.gz",
            487_770,
            "a05befe52aafda71d458d188a1c54506a998b1308613ba76bbda2e5029409ce9",
        ),
    ),
    members=(
        TextFile(
            "rt-polarity.neg",
            5_331,
            "4af43bf489620b498a0852c5a8c6a535155dec7985fdfea782b8f7756b957ccc",
            "windows-1252",
        ),
        TextFile(
            "rt-polarity.pos",
            5_331,
            "d79ef14009bbf87cd6be21f91c3ea1a3cbcb73b34dfb4231aef7bbcd7677abc4",
            "windows-1252",
        ),
    ),
)
_LABELS = ("negative", "positive")
_SIZES = (8_608, 964, 1_089)


def rt(*, seed: int = 0, mirror: str | None = None) -> TextData:
    """Film reviews, a sentence each (Pang and Lee 2005, "sentence polarity dataset v1.0").

    8,608 / 964 / 1,089 of the 10,662 sentences, half of which are positive: the paper's sizes leave
    one out. The paper does not say which sentence goes where, so a draw decides: sentence i (from
    0, the negative ones first, in the files' order) gets the SHA-256 of the text "rt SEED i", and
    the sentences are taken in the order of these sums. Same seed, same split, on every machine.

    Looked for in NORMLAB_DATA/rt (rt-polarity.neg and rt-polarity.pos, packed with gzip or not, or
    the official archive), then in the user's cache, then downloaded. The bytes must be the official
    ones, which are Windows-1252.

    Args:
        seed: Another one gives another split.
        mirror: Address to download from instead of the official one; the archive lies below it in
            rt/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The files are nowhere, and the download failed.

    Example:
        >>> reviews = nl.data.rt()
        >>> reviews.train.texts[0], int(reviews.train.labels[0])
        ('an average kid-empowerment fantasy with slightly above-average brains .', 1)
    """
    return load(RT, _SIZES, seed, mirror)


def load(
    source: TextSource, sizes: tuple[int, int, int], seed: int, mirror: str | None
) -> TextData:
    """Reads the two files of `source` and splits them as rt() does."""
    (negative, positive), origin = load_lines(source, mirror, lambda line: line.strip(" "))
    texts = negative + positive
    labels = np.repeat(np.arange(2, dtype=np.int64), [len(negative), len(positive)])
    order = np.array(shuffled(len(texts), seed))
    splits, start = [], 0
    for size in sizes:
        chosen = order[start : start + size]
        splits.append(TextSplit([texts[i] for i in chosen], labels[chosen]))
        start += size
    train, valid, test = splits
    return TextData(source.name, origin, _LABELS, train, valid, test)


def shuffled(count: int, seed: int) -> list[int]:
    """0 to count - 1 in the order of the SHA-256 of "rt SEED i"."""
    return sorted(range(count), key=lambda i: hashlib.sha256(f"rt {seed} {i}".encode()).digest())
