"""paper.md, paper.html, paper.pdf: the paper's table, ours beside the authors', and verdicts."""

import shlex
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from ..._core import ArgumentError, FileError
from ...results import Result, ResultFile
from ..files import Pictures, PictureWarning, replace
from .columns import Column, columns
from .verdicts import Comparison, Finding, findings
from .words import document, markdown

__all__ = ["Column", "Comparison", "Finding", "columns", "findings", "write_paper"]


def write_paper(
    folder: str | Path,
    reasons: Mapping[str, str] | None = None,
    results: Iterable[Result] | None = None,
) -> tuple[list[Path], str]:
    """Writes paper.md, paper.html and paper.pdf from a folder's finished results.

    Args:
        folder: Where results.jsonl lies and the files go.
        reasons: Why a column has no results, by its name in paper.RESULTS.
        results: Results to report instead of the folder's.

    Returns:
        The files, and the table with its verdicts as Markdown.

    Raises:
        ArgumentError: The folder's name is empty.
        FileError: There are no results for any column, they are damaged, or the folder cannot be
            written.
    """
    if not str(folder):
        raise ArgumentError("folder: must be a path, is empty")
    folder = Path(folder)
    lines = ResultFile(folder).read() if results is None else results
    found = columns(lines, reasons or {})
    if not any(column.group for column in found):
        raise FileError(f"{folder}: has no finished results for the paper's table")
    judged = findings(found)
    command = f"normlab paper --no-training --out {shlex.quote(str(folder))}"
    pictures = Pictures()
    try:
        written = _write(folder, found, judged, pictures)
    except OSError as error:
        raise FileError(
            f"{folder}: the paper's table cannot be written: {error.strerror or error}. The "
            f"results are safe; make room and run `{command}`"
        ) from error
    if pictures.failed:
        warnings.warn(pictures.in_words(folder, command), PictureWarning, stacklevel=2)
    return written, markdown(found, judged)


def _write(
    folder: Path, found: list[Column], judged: list[Finding], pictures: Pictures
) -> list[Path]:
    from .page import page
    from .pdf import pdf

    written = [
        replace(folder / "paper.md", document(found, judged)),
        replace(folder / "paper.html", page(found, judged, pictures.attempt)),
    ]
    if data := pictures.attempt("paper.pdf", partial(pdf, found, judged)):
        written.append(replace(folder / "paper.pdf", data))
    else:  # an old one would not show these results
        (folder / "paper.pdf").unlink(missing_ok=True)
    return written
