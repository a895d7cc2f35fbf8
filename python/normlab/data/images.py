"""Data sets of small images, and their reader."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._core import FileError
from .idx import read_idx
from .places import Source, find
from .splits import InSplits

_VALID = 5_000  # the last of the training images validate, as in the paper


@dataclass(frozen=True, repr=False)
class Split:
    """Images and what they show.

    Attributes:
        images: [n, 28, 28], uint8, 0 is background.
        labels: [n], uint8, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> "Split":
        """The first n images."""
        return Split(self.images[:n], self.labels[:n])

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"


@dataclass(frozen=True, repr=False)
class ImageData(InSplits):
    """A data set of images in the paper's three splits.

    Attributes:
        name: "mnist", "fashion_mnist" or "standin_digits".
        origin: Where these bytes came from, in words.
        generated: True if they are made up by this package.
    """

    name: str
    origin: str
    train: Split
    valid: Split
    test: Split
    generated: bool = False


@dataclass(frozen=True)
class IdxSource(Source):
    """A published data set in idx files.

    Its files are training images, training labels, test images, test labels.

    Attributes:
        counts: Images in the training and in the test files.
    """

    counts: tuple[int, int] = (60_000, 10_000)


def load(source: IdxSource, *, mirror: str | None = None) -> ImageData:
    """Finds the files (NORMLAB_DATA, system package, cache, download) and reads them.

    Raises:
        FileError: A file that is there is wrong: never passed over for the next place.
        DataMissingError: The files are nowhere, and the download failed.
    """
    paths, origin = find(source, mirror)
    trained, tested = source.counts
    train = _read_split(paths[0], paths[1], trained)
    cut = trained - _VALID
    return ImageData(
        name=source.name,
        origin=origin,
        train=train.first(cut),
        valid=Split(train.images[cut:], train.labels[cut:]),
        test=_read_split(paths[2], paths[3], tested),
    )


def _read_split(images: Path, labels: Path, count: int) -> Split:
    split = Split(read_idx(images, (count, 28, 28)), read_idx(labels, (count,)))
    if (wrong := np.flatnonzero(split.labels > 9)).size:
        place = int(wrong[0])
        raise FileError(f"{labels}: labels must be 0 to 9, number {place} is {split.labels[place]}")
    return split
