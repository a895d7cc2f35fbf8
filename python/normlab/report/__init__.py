"""Turns results.jsonl into table.md, curves.png and report.html."""

import os
from collections.abc import Iterable
from pathlib import Path

from .. import norm_variants
from .._core import FileError
from ..study.results import Result, ResultFile
from .groups import Group, groups

__all__ = ["Group", "groups", "write_report"]


def write_report(folder: Path, results: Iterable[Result] | None = None) -> list[Path]:
    """Writes the three files beside the results; returns their paths.

    Args:
        folder: Where results.jsonl lies and the files go.
        results: Instead of the folder's.

    Raises:
        FileError: There are no results, they are damaged, or the folder cannot be written.
    """
    found = groups(ResultFile(folder).read() if results is None else results, norm_variants())
    if not found:
        raise FileError(f"{folder}: has no finished results to report")

    from .page import page
    from .plots import curves_figure
    from .table import markdown

    paths = [folder / name for name in ("table.md", "curves.png", "report.html")]
    try:
        _replace(paths[0], markdown(found).encode())
        picture = folder / ".curves.png"
        curves_figure(found).savefig(picture, dpi=120, format="png")
        os.replace(picture, paths[1])
        _replace(paths[2], page(found).encode())
    except OSError as error:
        raise FileError(
            f"{folder}: the report cannot be written: {error.strerror or error}. The "
            f"results are safe; make room and run `normlab report {folder}`"
        ) from error
    return paths


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(data)
    os.replace(part, path)
