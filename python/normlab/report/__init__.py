"""Turns results.jsonl into table.md, curves.png, overfitting.png and report.html."""

import shlex
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from .. import norm_variants
from .._core import ArgumentError, FileError
from ..results import Result, ResultFile
from .files import Pictures, PictureWarning, replace
from .groups import Group, groups
from .summary import Summary, summary
from .table import told_apart

__all__ = [
    "Group",
    "PictureWarning",
    "Summary",
    "groups",
    "summary",
    "told_apart",
    "write_report",
]


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

    Example:
        >>> Path("report").mkdir()
        >>> run = nl.study.reference_results()["charlm"][0]
        >>> paths = nl.report.write_report("report", [run])
        >>> [path.name for path in paths]
        ['table.md', 'curves.png', 'report.html']
    """
    if not str(folder):
        raise ArgumentError("folder: must be a path, is empty")
    folder = Path(folder)
    found = groups(ResultFile(folder).read() if results is None else results, norm_variants())
    if not found:
        raise FileError(f"{folder}: has no finished results to report")

    pictures = Pictures()
    try:
        written = _write(folder, found, pictures)
    except OSError as error:
        raise FileError(
            f"{folder}: the report cannot be written: {error.strerror or error}. The "
            f"results are safe; make room and run `{_command(folder)}`"
        ) from error
    if pictures.failed:
        warnings.warn(pictures.in_words(folder, _command(folder)), PictureWarning, stacklevel=2)
    return written


def _write(folder: Path, found: list[Group], pictures: Pictures) -> list[Path]:
    """Writes files without pictures first."""
    from .page import page
    from .table import markdown

    written = [replace(folder / "table.md", markdown(found))]
    for name, draw in (("curves.png", _curves), ("overfitting.png", _overfitting)):
        data = pictures.attempt(name, partial(draw, found))
        path = data and pictures.attempt(name, partial(replace, folder / name, data))
        if path:
            written.append(path)
        if name in pictures.failed:  # an old one would not show these results
            with suppress(OSError):
                (folder / name).unlink()
    html = page(found, pictures.attempt)
    return [*written, replace(folder / "report.html", html)]


def _curves(found: list[Group]) -> bytes:
    from .plots import curves_figure, png

    return png(curves_figure(found))


def _overfitting(found: list[Group]) -> bytes | None:
    from .plots import overfitting_figure, png

    figure = overfitting_figure(found)
    return png(figure) if figure else None


def _command(folder: Path) -> str:
    return f"normlab report {shlex.quote(str(folder))}"
