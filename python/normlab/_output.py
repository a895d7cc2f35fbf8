"""Standard streams of the command: they take any text and report a failure once."""

import io
import os
import sys
from typing import Any

from ._plain import SPELLING

__all__ = ["StandardStream", "failure", "guard", "is_closed", "need_no_output"]

_NOBODY_READS = 1  # the exit code where the reader of a pipe has gone
_CLOSED = "is closed"


class StandardStream(io.TextIOWrapper):
    """A standard stream that encodes any text and survives a failure.

    After a failure it discards all text. A pipe that nobody reads ends the process.

    Attributes:
        failure: Why it failed, in words; empty while it has not.
    """

    failure = ""
    ends = True  # whether the process ends where nobody reads

    def write(self, text: str, /) -> int:
        """See TextIOBase."""
        try:
            return super().write(text)
        except OSError as error:
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        """See IOBase."""
        try:
            super().flush()
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Redirects all further output to /dev/null; else it would fail at exit again."""
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        if isinstance(error, BrokenPipeError) and self.ends:
            raise SystemExit(_NOBODY_READS) from None
        self.failure = self.failure or f"cannot be written: {error.strerror or error}"


def guard() -> None:
    """Replaces standard output and standard error."""
    sys.stdout = _guarded(sys.stdout, ends=True)
    sys.stderr = _guarded(sys.stderr, ends=False)


def failure() -> str:
    """Why standard output failed, in words; empty where all was written."""
    sys.stdout.flush()
    reason = getattr(sys.stdout, "failure", "")
    return reason and f"standard output: {reason}"


def need_no_output() -> None:
    """Allows a closed standard output, for commands that write files."""
    if isinstance(sys.stdout, StandardStream) and is_closed(sys.stdout):
        sys.stdout.failure = ""


def is_closed(stream: Any) -> bool:
    """True if the stream was closed when the process started."""
    return stream is None or getattr(stream, "failure", "") == _CLOSED


def _guarded(stream: Any, *, ends: bool) -> Any:
    if stream is None:  # closed when the process started
        nowhere = open(os.devnull, "wb")  # noqa: SIM115  (as long as we live)
        made = StandardStream(nowhere, encoding="utf-8", errors=SPELLING)
        made.failure = _CLOSED
    elif isinstance(stream, io.TextIOWrapper):
        made = StandardStream(
            stream.buffer,
            encoding=stream.encoding,
            errors=SPELLING,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
    else:
        return stream  # somebody's own
    made.ends = ends
    return made
