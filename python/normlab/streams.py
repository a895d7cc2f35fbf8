"""Lines from standard input and files, bytes to standard output or a file, as they come."""

import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from ._core import ArgumentError, FileError, OutOfMemoryError
from ._output import is_closed
from .data.packed import opened

_MOST_IN_LINE = 1 << 20  # bytes: a line without end must not fill the memory
_CHUNK = 1 << 16
_BOM = b"\xef\xbb\xbf"
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


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Errors say which part of the input they are about."""
    try:
        yield
    except (ArgumentError, OutOfMemoryError) as error:
        raise type(error)(f"{place}: {error}") from error


# --- input ----------------------------------------------------------------------------------------


class Lines:
    """Lines without their ends and without a byte order mark, as they are asked for.

    Of a line of more than 1 MiB comes only as much as shows it: see :func:`check_length`.

    Args:
        name: What errors call the text.
        chunks: Its bytes.
        is_ready: Whether the next chunk comes without waiting.
    """

    def __init__(
        self, name: str, chunks: Iterator[bytes], is_ready: Callable[[], bool] = lambda: True
    ):
        self.name = name
        self._chunks = chunks
        self._is_ready = is_ready
        self._whole: deque[bytes] = deque()
        self._part = bytearray()
        self._is_first = True
        self._is_cut = False  # until its end, nothing of the line counts

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._whole:
            if (chunk := next(self._chunks, None)) is None:
                if not self._part:
                    raise StopIteration
                self._end_line()
            else:
                self._take(chunk)
        line = self._whole.popleft().removesuffix(b"\r")
        if self._is_first:
            line = line.removeprefix(_BOM)
        self._is_first = False
        return line

    def more_is_there(self) -> bool:
        """Whether another line may come without waiting."""
        return bool(self._whole) or self._is_ready()

    def _take(self, chunk: bytes) -> None:
        first, *others = chunk.split(b"\n")
        self._add(first)
        for other in others:
            self._end_line()
            self._add(other)

    def _add(self, data: bytes) -> None:
        if self._is_cut:
            return
        self._part += data
        if len(self._part) > _MOST_IN_LINE + len(_BOM + b"\r"):
            self._end_line()
            self._is_cut = True

    def _end_line(self) -> None:
        if not self._is_cut:
            self._whole.append(bytes(self._part))
            self._part = bytearray()
        self._is_cut = False


def check_length(line: bytes) -> None:
    """ArgumentError for a line that is too long."""
    if len(line) > _MOST_IN_LINE:
        raise ArgumentError(f"must have at most {_MOST_IN_LINE:,} bytes")


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


def inputs(
    files: Sequence[str], before_waiting: Callable[[], None] = lambda: None
) -> Iterator[Lines]:
    """The lines of each file; of standard input for "-", or if there are none.

    A file may be packed with gzip, or be a pipe. Each is to be read before the next.

    Args:
        files: Paths.
        before_waiting: Called when all lines that are there have been taken, and more may come.

    Raises:
        FileError: One cannot be read, now or while its lines are taken.
    """
    for file in files or ["-"]:
        with ExitStack() as stack:
            if file == "-":
                yield _waited_for(_STANDARD_INPUT, sys.stdin.fileno(), before_waiting)
            elif stat.S_ISREG(os.stat(file).st_mode):
                yield Lines(file, _chunks_of(Path(file)))
            else:
                pipe = stack.enter_context(open(file, "rb", buffering=0))
                yield _waited_for(file, pipe.fileno(), before_waiting)


def _chunks_of(path: Path) -> Iterator[bytes]:
    with opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _waited_for(name: str, descriptor: int, before_waiting: Callable[[], None]) -> Lines:
    def is_ready() -> bool:
        return bool(select.select([descriptor], [], [], 0)[0])

    def chunks() -> Iterator[bytes]:
        while True:
            if not is_ready():
                before_waiting()
                select.select([descriptor], [], [])
            try:
                chunk = os.read(descriptor, _CHUNK)
            except OSError as error:
                raise FileError(f"{name}: cannot be read: {error.strerror or error}") from error
            if not chunk:
                return
            yield chunk

    return Lines(name, chunks(), is_ready)


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
