"""Turns results.jsonl into table.md, curves.png, overfitting.png and report.html."""

import os
from collections.abc import Iterable
from pathlib import Path

from .. import norm_variants
from .._core import FileError
from ..study.results import Result, ResultFile
from .groups import Group, groups
from .summary import Summary, summary

__all__ = ["Group", "Summary", "groups", "summary", "write_report"]


def write_report(folder: str | Path, results: Iterable[Result] | None = None) -> list[Path]:
    """Writes the files beside the results; returns their paths.

    These are table.md, curves.png, overfitting.png (only where layernorm has one of the variants
    beside it that over-fitting is asked of) and report.html.

    Args:
        folder: Where results.jsonl lies and the files go.
        results: Instead of the folder's.

    Raises:
        FileError: There are no results, they are damaged, or the folder cannot be written.
    """
    folder = Path(folder)
    found = groups(ResultFile(folder).read() if results is None else results, norm_variants())
    if not found:
        raise FileError(f"{folder}: has no finished results to report")

    files = _files(found)
    try:
        for name, data in files.items():
            _replace(folder / name, data)
    except OSError as error:
        raise FileError(
            f"{folder}: the report cannot be written: {error.strerror or error}. The "
            f"results are safe; make room and run `normlab report {folder}`"
        ) from error
    return [folder / name for name in files]


def _files(found: list[Group]) -> dict[str, bytes]:
    """What is written, by name."""
    from .page import page
    from .plots import curves_figure, overfitting_figure, png
    from .table import markdown

    comparison = overfitting_figure(found)
    return {
        "table.md": markdown(found).encode(),
        "curves.png": png(curves_figure(found)),
        **({"overfitting.png": png(comparison)} if comparison else {}),
        "report.html": page(found).encode(),
    }


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(data)
    os.replace(part, path)
