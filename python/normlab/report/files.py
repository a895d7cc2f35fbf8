"""Files of reports: each whole or not at all, and pictures that may fail."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

__all__ = ["PictureWarning", "Pictures", "replace"]

_MOST_NAMES = 2
_T = TypeVar("_T")


class PictureWarning(UserWarning):
    """Some pictures of a report could not be drawn or written. All else is complete."""


class Pictures:
    """Collects the pictures that failed, by name, with the reason."""

    def __init__(self) -> None:
        self.failed: dict[str, Exception] = {}

    def attempt(self, name: str, make: Callable[[], _T]) -> _T | None:
        """Calls `make`; returns None if it fails."""
        try:
            return make()
        except Exception as error:
            self.failed[name] = error
            return None

    def in_words(self, folder: Path, command: str) -> str:
        """The warning, in one line with the first reason; `command` draws anew."""
        names, error = list(self.failed), next(iter(self.failed.values()))
        more = len(names) - _MOST_NAMES
        listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        reason = reason.splitlines()[0]
        return (
            f"{folder}: without pictures ({listed}): {reason}. All numbers are there; "
            f"`{command}` draws anew"
        )


def replace(path: Path, data: bytes | str) -> Path:
    """Writes the file whole or not at all. Characters that are no UTF-8 are replaced."""
    part = path.with_name(f".{path.name}")
    try:
        part.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    return path
