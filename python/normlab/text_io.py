"""Text of files and standard input in chunks, bytes to standard output or a file, as they come."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from ._core import ArgumentError, FileError
from ._output import is_closed
from ._plain import plain
from .data.packed import opened

_CHUNK = 1 << 16
_STANDARD_INPUT = "standard input"


def check_open(*, reads: bool = True, writes: bool = True) -> None:
    """FileError naming the standard stream that is needed and closed."""
    for name, stream, is_needed in (
        (_STANDARD_INPUT, sys.stdin, reads),
        ("standard output", sys.stdout, writes),
    ):
        if is_needed and is_closed(stream):
            raise FileError(f"{name}: is closed")


def note(text: str) -> None:
    """A line on standard error, where that is open."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(" ".join(text.splitlines()), file=sys.stderr, flush=True)


# --- input ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A text in chunks.

    Attributes:
        name: Its name in errors.
        read: Returns the next bytes, none at the end. It may wait for them.
        is_ready: False where `read` would wait.
    """

    name: str
    read: Callable[[], bytes]
    is_ready: Callable[[], bool] = lambda: True


def check_files(files: Sequence[str]) -> None:
    """FileError for the first file that cannot be read, before anything is done with another."""
    if files.count("-") > 1:
        raise ArgumentError("FILE: standard input (-) can be read once")
    for file in files:
        if file == "-":
            continue
        try:
            if not file:
                raise FileError("FILE: must be a path, is empty")
            if stat.S_ISDIR(os.stat(file).st_mode):
                raise FileError(f"{file}: is a folder, not a file")
            if not os.access(file, os.R_OK):
                raise FileError(f"{file}: cannot be read: Permission denied")
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"{file}: cannot be read: {reason}") from error


def inputs(files: Sequence[str]) -> Iterator[Source]:
    """The text of each file; of standard input for "-", or if there are none.

    A file may be packed with gzip, or be a pipe. Each is to be read before the next.

    Raises:
        FileError: One cannot be read, now or while its bytes are taken.
    """
    for file in files or ["-"]:
        with ExitStack() as stack:
            if file == "-":
                yield _pipe(_STANDARD_INPUT, sys.stdin.fileno())
            elif stat.S_ISREG(os.stat(file).st_mode):
                yield Source(plain(file, "utf-8"), partial(next, _chunks_of(Path(file)), b""))
            else:
                pipe = stack.enter_context(open(file, "rb", buffering=0))
                yield _pipe(plain(file, "utf-8"), pipe.fileno())


def _chunks_of(path: Path) -> Iterator[bytes]:
    with opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _pipe(name: str, descriptor: int) -> Source:
    def is_ready() -> bool:
        return bool(select.select([descriptor], [], [], 0)[0])

    def read() -> bytes:
        select.select([descriptor], [], [])
        try:
            return os.read(descriptor, _CHUNK)
        except OSError as error:
            raise FileError(f"{name}: cannot be read: {error.strerror or error}") from error

    return Source(name, read, is_ready)


# --- output ---------------------------------------------------------------------------------------


class Output:
    """Standard output as it comes; or a file, whole or not at all.

    The file is written beside the old one and takes its place when the block ends; after an error
    the old one is as it was. What is no regular file, such as a pipe, is written as it comes.

    Args:
        path: The file; None or "-" for standard output.

    Raises:
        FileError: It cannot be written.
    """

    def __init__(self, path: str | None):
        self._path = None if path in (None, "-") else path
        self._part: Path | None = None
        self._descriptor: int | None = None

    def __enter__(self) -> "Output":
        if self._path is not None:
            with self._naming():
                self._open(Path(os.path.realpath(self._path)))  # a link stays a link
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is None:
            return
        try:
            with self._naming():
                if self._part and error is None:
                    os.fsync(self._descriptor)
                os.close(self._descriptor)
                if self._part and error is None:
                    os.replace(self._part, os.path.realpath(str(self._path)))
                    self._part = None
        finally:
            if self._part:
                with suppress(OSError):
                    self._part.unlink()

    def write(self, data: bytes) -> None:
        """At once. FileError; BrokenPipeError if nobody reads it."""
        if self._descriptor is None:
            _write_out(data)
            return
        with self._naming():
            while data:
                data = data[os.write(self._descriptor, data) :]

    def _open(self, path: Path) -> None:
        if not self._path:
            raise FileError("--output: must be a path, is empty")
        old = path.stat() if path.exists() else None
        if old and stat.S_ISDIR(old.st_mode):
            raise FileError(f"{self._path}: is a folder, not a file")
        if old and not os.access(path, os.W_OK):
            raise FileError(f"{self._path}: must not be overwritten: Permission denied")
        if old and not stat.S_ISREG(old.st_mode):
            self._descriptor = os.open(path, os.O_WRONLY)
            return
        self._part = path.with_name(f".normlab-{os.getpid()}.part")
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        if old:
            with suppress(OSError):  # a file system without modes
                os.fchmod(self._descriptor, stat.S_IMODE(old.st_mode))

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except (FileError, BrokenPipeError):
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"{self._path}: cannot be written: {reason}") from error


def _write_out(data: bytes) -> None:
    try:
        _write_all(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # else it is tried, and fails, at exit again
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise FileError(f"standard output: cannot be written: {error.strerror or error}") from error


def _write_all(data: bytes) -> None:
    """With PYTHONUNBUFFERED, Python hands on what the system takes, which may be a part."""
    out, rest = sys.stdout.buffer, memoryview(data)
    while rest:
        taken = out.write(rest)
        if not taken:  # a pipe that does not block
            select.select([], [out], [])
        rest = rest[taken or 0 :]
    out.flush()
