"""Reading of foreign files, packed or not: bounded, and every failure says which file and why."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from .._core import FileError

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_CHUNK = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked if its first bytes are gzip's.

    Raises:
        FileError: The file cannot be read or is damaged gzip, now or while the block reads it.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file) if packed else file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FileError(f"{path}: is damaged gzip: {error}") from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_up_to(stream: IO[bytes], size: int) -> bytearray:
    """Up to `size` bytes; memory grows only with what really comes."""
    data = bytearray()
    while len(data) < size and (chunk := stream.read(min(_CHUNK, size - len(data)))):
        data += chunk
    return data


def read_file(path: Path, most: int) -> bytes:
    """The whole file, unpacked, of at most `most` bytes.

    Raises:
        FileError: It cannot be read, is damaged, or larger.
    """
    with opened(path) as stream:
        return _whole(stream, most, str(path))


def read_members(path: Path, names: Sequence[str], most: int) -> list[bytes]:
    """Files of a zip or tar archive (packed with gzip or not), by name whatever their folder.

    Nothing is written to disk, and the archive and each of its files hold at most `most` bytes.

    Raises:
        FileError: The archive cannot be read, is damaged or of another kind, or has not exactly
            one file of a name.
    """
    content = io.BytesIO(read_file(path, most))
    reader = _read_zip if content.getvalue().startswith(_ZIP_MAGIC) else _read_tar
    try:
        return reader(path, content, names, most)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # damage makes both modules raise nearly anything
        raise FileError(
            f"{path}: is no archive, or damaged: {str(error) or repr(error)}"
        ) from error


def _read_zip(path: Path, content: IO[bytes], names: Sequence[str], most: int) -> list[bytes]:
    with zipfile.ZipFile(content) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        found = []
        for name in names:
            entry = entries[_only(path, [entry.filename for entry in entries], name)]
            with archive.open(entry) as stream:
                found.append(_whole(stream, most, f"{path}: {name}"))
        return found


def _read_tar(path: Path, content: IO[bytes], names: Sequence[str], most: int) -> list[bytes]:
    with tarfile.open(fileobj=content, mode="r:") as archive:
        entries = [entry for entry in archive.getmembers() if entry.isreg()]
        found = []
        for name in names:
            entry = entries[_only(path, [entry.name for entry in entries], name)]
            stream = cast(IO[bytes], archive.extractfile(entry))
            found.append(_whole(stream, most, f"{path}: {name}"))
        return found


def _only(path: Path, paths: Sequence[str], name: str) -> int:
    places = [i for i, member in enumerate(paths) if member.rpartition("/")[2] == name]
    if len(places) != 1:
        raise FileError(f"{path}: must hold one file {name}, holds {len(places) or 'none'}")
    return places[0]


def _whole(stream: IO[bytes], most: int, what: str) -> bytes:
    data = read_up_to(stream, most + 1)
    if len(data) > most:
        raise FileError(f"{what}: must hold at most {most:,} bytes, holds more")
    return bytes(data)
