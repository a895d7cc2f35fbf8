"""Downloads into the user's cache: checked by SHA-256, resumed where they broke off."""

import fcntl
import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core import FileError

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_RETRIES = 2
_CHUNK = 1 << 16
_MOST_BYTES = 1 << 28  # of a file whose size is not published


class DataMissingError(FileError):
    """A data set is neither on this machine nor could it be downloaded."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes:
        name: Its name at the address and in the cache.
        size: Its bytes; None where nobody publishes how many.
        sha256: Their SHA-256; where only another sum is published, that one as "md5:...".
    """

    name: str
    size: int | None
    sha256: str

    @property
    def most(self) -> int:
        """The most bytes that are taken from a server."""
        return _MOST_BYTES if self.size is None else self.size

    @property
    def sum_name(self) -> str:
        """The sum's algorithm: "SHA-256" or "MD5"."""
        return "MD5" if self.sha256.startswith("md5:") else "SHA-256"

    def is_sum_of(self, data: bytes) -> bool:
        """True if the sum is that of these bytes."""
        algorithm = "md5" if self.sum_name == "MD5" else "sha256"
        return hashlib.new(algorithm, data).hexdigest() == self.sha256.removeprefix("md5:")


def cache_folder() -> Path:
    """The folder that keeps downloads: the system's usual one, XDG_CACHE_HOME/normlab on Linux.

    Example:
        >>> nl.data.cache_folder().name
        'normlab'
    """
    return Path(_pooch().os_cache("normlab"))


def fetch(
    file: RemoteFile, folder: Path, urls: Sequence[str], *, what: str, retries: int = _RETRIES
) -> tuple[Path, str | None]:
    """The file in `folder`, downloaded unless it is there and whole.

    Each address is tried in order, each up to 1 + `retries` times. A download that breaks off goes
    on where it stopped, now or at the next call; it gets its name only when its sum is right.

    Returns:
        The path, and the address it came from, or None if it was there.

    Raises:
        DataMissingError: No address gave the file, or the cache cannot be written; the message
            says why, and what else to do.
    """
    if _is_whole(folder / file.name, file):
        return folder / file.name, None  # also from a cache that cannot be written
    pooch = _pooch()
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder / f".{file.name}.lock"):
            for base in urls:
                store = pooch.create(
                    path=folder,
                    base_url=base,
                    retry_if_failed=retries,
                    registry={file.name: file.sha256},
                )
                download = _Resuming(file)
                try:
                    path = Path(store.fetch(file.name, downloader=download))
                    return path, base if download.started else None
                except _RefusedError as error:
                    failures.append(f"{base}: {error}")
                except requests.exceptions.RequestException as error:
                    failures.append(f"{base}: {_reason(error)}")
                except ValueError:  # pooch's word for a wrong sum
                    failures.append(f"{base}: the {file.sum_name} of {file.name} is wrong")
    except OSError as error:
        failures.append(f"{folder}: the cache cannot be written: {error.strerror or error}")
    raise DataMissingError(_how_to_supply(what, folder.name, file.name, failures))


def _is_whole(path: Path, file: RemoteFile) -> bool:
    try:
        with path.open("rb") as stream:
            return file.is_sum_of(stream.read(file.most + 1))
    except OSError:
        return False


def _how_to_supply(what: str, folder: str, name: str, failures: Sequence[str]) -> str:
    """The error text for missing data: failed attempts, and three ways to supply the data."""
    return (
        f"{what}: {name} is not on this machine and could not be downloaded "
        f"({'; '.join(failures)}). Three ways to supply it: (1) go online and run this again; "
        f"(2) put the files into a folder {folder}/ and set NORMLAB_DATA to the folder above it; "
        f"(3) set NORMLAB_MIRROR to an address that serves them below {folder}/."
    )


class _RefusedError(Exception):
    """The server refuses the file; a retry is useless."""


class _Resuming:
    """A pooch downloader that keeps what it has in NAME.part and asks only for the rest."""

    def __init__(self, file: RemoteFile):
        self.file = file
        self.started = False

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        part = Path(pooch.abspath) / f"{self.file.name}.part"
        self.started = True
        have = part.stat().st_size if part.exists() else 0
        if have != self.file.size:
            self._receive(url, part, have)
        os.replace(part, output_file)

    def _receive(self, url: str, part: Path, have: int) -> None:
        import requests

        # "identity": the file itself is gzip, and has to arrive as it is.
        headers = {"Accept-Encoding": "identity"}
        if 0 < have < self.file.most:
            headers["Range"] = f"bytes={have}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
        ) as response:
            if response.status_code == 416:
                part.unlink()
                raise requests.exceptions.ConnectionError("the server has no such rest of the file")
            if 400 <= response.status_code < 500:
                raise _RefusedError(f"{response.status_code} {response.reason}")
            response.raise_for_status()
            resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            start = have if response.status_code == 206 and resumed else 0
            self._write(response, part, start)

    def _write(self, response: Any, part: Path, start: int) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        from ..progress import bar, is_watched

        have = start
        with (
            part.open("ab" if start else "wb") as out,
            bar(
                total=self.file.size,
                initial=start,
                desc=self.file.name,
                unit="B",
                unit_scale=True,
                disable=not is_watched(sys.stderr),
                leave=False,
            ) as shown,
        ):
            try:
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    have += len(chunk)
                    if have > self.file.most:
                        break
                    out.write(chunk)
                    shown.update(len(chunk))
            except HTTPError as error:
                raise requests.exceptions.ConnectionError(
                    f"broke off after {have:,}{self._of_all} bytes"
                ) from error
        if have > self.file.most:
            part.unlink()
            raise _RefusedError(f"sends more than the {self.file.most:,} bytes of {self.file.name}")
        if self.file.size is not None and have < self.file.size:
            raise requests.exceptions.ConnectionError(f"ended after {have:,}{self._of_all} bytes")

    @property
    def _of_all(self) -> str:
        return "" if self.file.size is None else f" of {self.file.size:,}"


def _pooch() -> Any:
    """pooch, imported without tqdm's warning about notebooks that lack ipywidgets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch  # type: ignore[import-untyped,unused-ignore]
    return pooch


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Holds a lock file, so that only one process writes the download."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open, too


def _reason(error: Exception) -> str:
    """The innermost cause, which requests wraps in three others, in one line."""
    while isinstance(
        cause := getattr(error, "reason", None) or (error.args[0] if error.args else None),
        Exception,
    ):
        error = cause
    text = str(error).split(": ")[-1] if "NewConnectionError" in repr(error) else str(error)
    return " ".join(text.split())
