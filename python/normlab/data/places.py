"""Finds a data set: on this machine, in the user's cache, at its official address."""

import os
from dataclasses import dataclass
from pathlib import Path

from .._core import FileError
from .fetch import DataMissingError, RemoteFile, cache_folder, fetch


@dataclass(frozen=True)
class Source:
    """A published data set: where it may lie and how a download is checked.

    Attributes:
        name: The data set's name.
        folder: Its folder below NORMLAB_DATA, below a mirror and in the cache.
        urls: Addresses of the folder with the files, the official one first.
        files: The files as published.
        installed: A folder and its name, if a system package may have brought the files.
        elsewhere: Other folders below NORMLAB_DATA, where other programs lay the same files.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    installed: tuple[Path, str] | None = None
    elsewhere: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files in a local folder, each with or without .gz."""
        return tuple(file.name.removesuffix(".gz") for file in self.files)


def find(source: Source, mirror: str | None = None) -> tuple[list[Path], str]:
    """The files (NORMLAB_DATA, system package, cache, download) and where they are from, in words.

    Returns:
        One path for each of source.names, or, from cache and download, of source.files.

    Raises:
        FileError: A folder on this machine has only a part: never passed over for the next place.
        DataMissingError: The files are nowhere, and the download failed.
    """
    try:
        return _local(source) or _fetched(source, mirror)
    except DataMissingError as error:
        raise DataMissingError(f"{error}{_misplaced(source)}") from None


def local_folders(source: Source) -> list[tuple[Path, str]]:
    """Folders on this machine that would be read, in that order, each with its description."""
    folders = []
    if data := os.environ.get("NORMLAB_DATA"):
        root = at_home(data)
        if not is_folder(root):
            raise FileError(f"NORMLAB_DATA must name a folder, is {data!r}")
        names = (source.folder, *source.elsewhere)
        folders += [(root / name, "NORMLAB_DATA") for name in names]
    if source.installed:
        folders.append(source.installed)
    return [
        (folder, name)
        for folder, name in folders
        if _names_in(folder, source) or _published_in(folder, source)
    ]


def is_cached(source: Source) -> bool:
    """True if the user's cache has all files."""
    try:
        return bool(_published_in(cache_folder() / source.folder, source))
    except FileError:  # a home that cannot be read
        return False


def _misplaced(source: Source) -> str:
    """A hint if the files lie in NORMLAB_DATA itself; else empty."""
    root = at_home(os.environ.get("NORMLAB_DATA") or os.devnull)
    if not _names_in(root, source):
        return ""
    return f" {root} has such files itself: they belong into {root / source.folder}."


def _names_in(folder: Path, source: Source) -> list[Path]:
    """The set's files in that folder, unpacked ones before *.gz."""
    found = []
    for name in source.names:
        candidates = (folder / name, folder / f"{name}.gz")
        found += [path for path in candidates if _exists(path)][:1]
    return found


def _published_in(folder: Path, source: Source) -> list[Path]:
    """The files as published, if the folder has all."""
    paths = [folder / file.name for file in source.files]
    return paths if all(_exists(path) and path.is_file() for path in paths) else []


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
        return paths, f"{name} ({in_text(folder)})"
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
    return paths, f"downloaded from {came_from}" if came_from else f"cache ({in_text(folder)})"


def at_home(path: str | os.PathLike[str]) -> Path:
    """The path with a leading ~ replaced by the user's home."""
    return Path(os.path.expanduser(path))


def in_text(path: str | os.PathLike[str]) -> str:
    """The path as text. Bytes that are no UTF-8 are replaced."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_folder(path: Path) -> bool:
    """True for a folder. FileError if that cannot be found out."""
    return _exists(path) and path.is_dir()


def listed(folder: Path) -> list[Path]:
    """The folder's entries, sorted. FileError if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _exists(path: Path) -> bool:
    """True if the path exists. FileError if a folder above it cannot be searched."""
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path}: cannot be read: {reason}") from error
