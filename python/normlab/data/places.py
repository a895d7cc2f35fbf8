"""Where a data set lies: on this machine, in the user's cache, at its official address."""

import os
from dataclasses import dataclass
from pathlib import Path

from .._core import FileError
from .fetch import RemoteFile, cache_folder, fetch


@dataclass(frozen=True)
class Source:
    """A published data set: where it may lie and how a download is checked.

    Attributes:
        name: The data set's name.
        folder: Its folder below NORMLAB_DATA, below a mirror and in the cache.
        urls: Addresses of the folder with the files, the official one first.
        files: The files as published.
        installed: A folder and its name, if a system package may have brought the files.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    installed: tuple[Path, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a folder on this machine holds, each with or without .gz."""
        return tuple(file.name.removesuffix(".gz") for file in self.files)


def find(source: Source, mirror: str | None = None) -> tuple[list[Path], str]:
    """The files (NORMLAB_DATA, system package, cache, download) and where they are from, in words.

    Returns:
        One path for each of source.names, or, from cache and download, of source.files.

    Raises:
        FileError: A folder on this machine has only a part: never passed over for the next place.
        DataMissingError: The files are nowhere, and the download failed.
    """
    return _local(source) or _fetched(source, mirror)


def local_folders(source: Source) -> list[tuple[Path, str]]:
    """Folders on this machine that would be read, in that order, each with its description."""
    folders = []
    if data := os.environ.get("NORMLAB_DATA"):
        root = Path(data).expanduser()
        if not root.is_dir():
            raise FileError(f"NORMLAB_DATA must name a folder, is {data!r}")
        folders.append((root / source.folder, "NORMLAB_DATA"))
    if source.installed:
        folders.append(source.installed)
    return [
        (folder, name)
        for folder, name in folders
        if _names_in(folder, source) or _published_in(folder, source)
    ]


def is_cached(source: Source) -> bool:
    """Whether an earlier download left all files in the user's cache."""
    return bool(_published_in(cache_folder() / source.folder, source))


def _names_in(folder: Path, source: Source) -> list[Path]:
    """The set's files in that folder, unpacked ones before *.gz."""
    found = []
    for name in source.names:
        candidates = (folder / name, folder / f"{name}.gz")
        found += [path for path in candidates if path.exists()][:1]
    return found


def _published_in(folder: Path, source: Source) -> list[Path]:
    """The files as published, if the folder has all."""
    paths = [folder / file.name for file in source.files]
    return paths if all(path.is_file() for path in paths) else []


def _local(source: Source) -> tuple[list[Path], str] | None:
    for folder, name in local_folders(source):
        found = _names_in(folder, source)
        whole = len(found) == len(source.names)
        paths = found if whole else _published_in(folder, source)
        if not paths:
            present = {path.name.removesuffix(".gz") for path in found}
            missing = ", ".join(name for name in source.names if name not in present)
            raise FileError(
                f"{folder}: has only a part of {source.name}, missing: {missing} "
                "(with or without .gz)"
            )
        return paths, f"{name} ({folder})"
    return None


def _fetched(source: Source, mirror: str | None) -> tuple[list[Path], str]:
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
