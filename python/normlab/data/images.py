"""What every set of small images looks like here, and how one is found on this machine."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._core import FileError
from .fetch import RemoteFile, cache_folder, fetch
from .idx import read_idx

_VALID = 5_000  # the last of the training images validate, as in the paper


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ImageData:
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
class IdxSource:
    """A published data set in idx files: where it may lie and how it is checked.

    Attributes:
        name: The data set's name.
        folder: Its folder below NORMLAB_DATA and in the cache.
        urls: Addresses of the folder with the files, the official one first.
        files: Training images, training labels, test images, test labels.
        installed: A folder and its name, if a system package may have brought the files.
        counts: Images in the training and in the test files.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    files: tuple[RemoteFile, RemoteFile, RemoteFile, RemoteFile]
    installed: tuple[Path, str] | None = None
    counts: tuple[int, int] = (60_000, 10_000)


def load(source: IdxSource, *, mirror: str | None = None) -> ImageData:
    """Finds the files (NORMLAB_DATA, system package, cache, download) and reads them.

    Raises:
        FileError: A file that is there is wrong: never passed over for the next place.
        DataMissingError: The files are nowhere, and the download failed.
    """
    paths, origin = _local(source) or _fetched(source, mirror)
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


def local_folders(source: IdxSource) -> list[tuple[Path, str]]:
    """Folders on this machine that would be read, in that order, each with its description."""
    folders = []
    if data := os.environ.get("NORMLAB_DATA"):
        root = Path(data).expanduser()
        if not root.is_dir():
            raise FileError(f"NORMLAB_DATA must name a folder, is {data!r}")
        folders.append((root / source.folder, "NORMLAB_DATA"))
    if source.installed:
        folders.append(source.installed)
    return [(folder, name) for folder, name in folders if _names_in(folder, source)]


def is_cached(source: IdxSource) -> bool:
    """Whether an earlier download left all files in the user's cache."""
    return all((cache_folder() / source.folder / file.name).is_file() for file in source.files)


def _names_in(folder: Path, source: IdxSource) -> list[Path]:
    """The set's files in that folder, unpacked ones before *.gz."""
    found = []
    for file in source.files:
        candidates = (folder / file.name.removesuffix(".gz"), folder / file.name)
        found += [path for path in candidates if path.exists()][:1]
    return found


def _local(source: IdxSource) -> tuple[list[Path], str] | None:
    for folder, name in local_folders(source):
        paths = _names_in(folder, source)
        if len(paths) < len(source.files):
            present = {path.name.removesuffix(".gz") for path in paths}
            wanted = [file.name.removesuffix(".gz") for file in source.files]
            missing = ", ".join(name for name in wanted if name not in present)
            raise FileError(
                f"{folder}: has only a part of {source.name}, missing: {missing} "
                "(with or without .gz)"
            )
        return paths, f"{name} ({folder})"
    return None


def _fetched(source: IdxSource, mirror: str | None) -> tuple[list[Path], str]:
    mirror = mirror or os.environ.get("NORMLAB_MIRROR")
    # A mirror holds every set in a folder of its own, as NORMLAB_DATA does.
    urls = (f"{mirror.rstrip('/')}/{source.folder}/",) if mirror else source.urls
    folder = cache_folder() / source.folder
    paths, came_from = [], None
    for file in source.files:
        path, url = fetch(file, folder, urls, what=source.name)
        paths.append(path)
        came_from = came_from or url
    return paths, f"downloaded from {came_from}" if came_from else f"cache ({folder})"


def _read_split(images: Path, labels: Path, count: int) -> Split:
    split = Split(read_idx(images, (count, 28, 28)), read_idx(labels, (count,)))
    if (wrong := np.flatnonzero(split.labels > 9)).size:
        place = int(wrong[0])
        raise FileError(f"{labels}: labels must be 0 to 9, number {place} is {split.labels[place]}")
    return split


def shortened(data: ImageData, train: int, valid: int, test: int) -> ImageData:
    """The first images of each split."""
    return replace(
        data,
        train=data.train.first(train),
        valid=data.valid.first(valid),
        test=data.test.first(test),
    )
