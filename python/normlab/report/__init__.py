"""Turns results.jsonl into table.md, curves.png, overfitting.png and report.html."""

import os
import shlex
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from .. import norm_variants
from .._core import ArgumentError, FileError
from ..results import Result, ResultFile
from .groups import Group, groups
from .summary import Summary, summary

__all__ = ["Group", "PictureWarning", "Summary", "groups", "summary", "write_report"]

_MOST_NAMES = 2
_T = TypeVar("_T")


class PictureWarning(UserWarning):
    """Some pictures of a report could not be drawn or written. All else is complete."""


def write_report(folder: str | Path, results: Iterable[Result] | None = None) -> list[Path]:
    """Writes table.md, curves.png, overfitting.png and report.html; returns their paths.

    overfitting.png needs layernorm and one of the variants that are compared with it. A picture
    that cannot be drawn or written is left out with a PictureWarning.

    Args:
        folder: Where results.jsonl lies and the files go.
        results: Results to report instead of the folder's.

    Raises:
        ArgumentError: The folder's name is empty.
        FileError: There are no results, they are damaged, or the folder cannot be written.
    """
    if not str(folder):
        raise ArgumentError("folder: must be a path, is empty")
    folder = Path(folder)
    found = groups(ResultFile(folder).read() if results is None else results, norm_variants())
    if not found:
        raise FileError(f"{folder}: has no finished results to report")

    pictures = _Pictures()
    try:
        written = _write(folder, found, pictures)
    except OSError as error:
        raise FileError(
            f"{folder}: the report cannot be written: {error.strerror or error}. The "
            f"results are safe; make room and run `{_command(folder)}`"
        ) from error
    if pictures.failed:
        warnings.warn(pictures.in_words(folder), PictureWarning, stacklevel=2)
    return written


def _write(folder: Path, found: list[Group], pictures: "_Pictures") -> list[Path]:
    """Writes files without pictures first."""
    from .page import page
    from .table import markdown

    written = [_replace(folder / "table.md", markdown(found))]
    for name, draw in (("curves.png", _curves), ("overfitting.png", _overfitting)):
        data = pictures.attempt(name, partial(draw, found))
        path = data and pictures.attempt(name, partial(_replace, folder / name, data))
        if path:
            written.append(path)
        if name in pictures.failed:  # an old one would not show these results
            with suppress(OSError):
                (folder / name).unlink()
    html = page(found, pictures.attempt)
    return [*written, _replace(folder / "report.html", html)]


def _curves(found: list[Group]) -> bytes:
    from .plots import curves_figure, png

    return png(curves_figure(found))


def _overfitting(found: list[Group]) -> bytes | None:
    from .plots import overfitting_figure, png

    figure = overfitting_figure(found)
    return png(figure) if figure else None


class _Pictures:
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

    def in_words(self, folder: Path) -> str:
        """The warning, in one line with the first reason."""
        names, error = list(self.failed), next(iter(self.failed.values()))
        more = len(names) - _MOST_NAMES
        listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        reason = reason.splitlines()[0]
        return (
            f"{folder}: without pictures ({listed}): {reason}. All numbers are there; "
            f"`{_command(folder)}` draws anew"
        )


def _command(folder: Path) -> str:
    return f"normlab report {shlex.quote(str(folder))}"


def _replace(path: Path, data: bytes | str) -> Path:
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
