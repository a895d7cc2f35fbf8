"""paper.pdf: table, verdicts, intervals, curves and facts on pages of A4, for printing."""

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...paper import NAMES, VARIANTS
from ..groups import Group
from ..page import facts
from ..plots import Theme, panels
from .columns import Column
from .page import subtitle
from .verdicts import Finding
from .words import (
    HEADINGS,
    claim_title,
    comparison_cells,
    headings,
    notes,
    ours,
    repeat,
    theirs,
    verdict,
    versions,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...viz.figures import Picture

_SIZE = (11.69, 8.27)  # A4, across
_LEFT, _TOP, _BOTTOM = 0.04, 0.92, 0.05
_LETTERS = 140  # of a line of text
_LINE = 0.0235
_WIDTHS = (0.2, 0.12, 0.27, 0.07, 0.07, 0.12, 0.07)  # of the columns under HEADINGS


def pdf(columns: Sequence[Column], found: Sequence[Finding]) -> bytes:
    """The file. The same results give the same bytes."""
    from matplotlib.backends.backend_pdf import PdfPages

    from ...viz.settings import settings

    out = io.BytesIO()
    theme = Theme()
    with settings(**theme.look):
        metadata = {"Title": "The paper's table", "CreationDate": None}
        with PdfPages(out, metadata=metadata) as pages:
            for draw in _pages(columns, found):
                figure = _blank(theme)
                draw(figure)
                pages.savefig(figure)
    return out.getvalue()


def _blank(theme: Theme) -> "Picture":
    from ...viz.figures import Picture

    return Picture(_SIZE, theme.look, layout="none")


def _pages(
    columns: Sequence[Column], found: Sequence[Finding]
) -> Iterator[Callable[["Picture"], None]]:
    yield partial(_table, columns=columns)
    yield from _texts("How to read it", [f"• {note}" for note in notes(columns)])
    for each in found:
        yield partial(_claim, finding=each)
    for column in columns:
        if column.group:
            yield partial(_pictures, column=column, group=column.group)
            yield from _texts(_title(column), _facts(column, column.group))


def _title(column: Column) -> str:
    return column.label or column.theirs.title


def _heading(figure: "Figure", title: str, below: str = "") -> None:
    figure.text(_LEFT, _TOP, title, fontsize=13, fontweight="bold", va="bottom")
    if below:
        figure.text(_LEFT, _TOP - 0.01, below, fontsize=9, va="top")


def _table(figure: "Picture", columns: Sequence[Column]) -> None:
    """The paper's table: a line of ours and a line of theirs in each cell."""
    _heading(
        figure, "The paper's table", f"{subtitle(columns)}. Ours, and below it [the authors']."
    )
    head = ["\n".join(textwrap.fill(line, 14) for line in lines) for lines in headings(columns)]
    cells = [
        [f"{textwrap.fill(ours(c, norm), 14)}\n[{theirs(c, norm)}]" for c in columns]
        for norm in VARIANTS
    ]
    lines = max(text.count("\n") + 1 for text in head)
    _grid(
        figure,
        [["variant", *head], *([NAMES[n], *row] for n, row in zip(VARIANTS, cells, strict=True))],
        [0.115, *[0.104] * len(columns)],
        top=0.87,
        heights=[lines, *(max(text.count("\n") + 1 for text in row) for row in cells)],
        size=7.5,
    )


def _claim(figure: "Picture", finding: Finding) -> None:
    title = claim_title(finding)
    _heading(figure, textwrap.fill(title, 90))
    text = textwrap.fill(verdict(finding), _LETTERS)
    figure.text(_LEFT, _TOP - 0.03, text, fontsize=9.5, va="top", linespacing=1.4)
    rows = [
        [
            textwrap.fill(cell, round(width * 120))
            for cell, width in zip(cells, _WIDTHS, strict=True)
        ]
        for cells in ([*HEADINGS], *map(comparison_cells, finding.comparisons))
    ]
    top = _TOP - 0.07 - _LINE * (text.count("\n") + 1)
    heights = [max(cell.count("\n") + 1 for cell in row) for row in rows]
    _grid(figure, rows, _WIDTHS, top, heights, size=8)


def _grid(
    figure: "Picture",
    rows: Sequence[Sequence[str]],
    widths: Sequence[float],
    top: float,
    heights: Sequence[int],
    size: float,
) -> None:
    """A table whose rows have these numbers of lines; the first one is its heading."""
    line = min(size * 1.5 / 72 / _SIZE[1], (top - _BOTTOM) / (sum(heights) + 0.7 * len(heights)))
    y = top
    for i, (row, height) in enumerate(zip(rows, heights, strict=True)):
        x = _LEFT
        for j, (text, width) in enumerate(zip(row, widths, strict=True)):
            weight = "bold" if i == 0 or j == 0 else "normal"
            figure.text(x, y, text, fontsize=size, va="top", fontweight=weight, linespacing=1.25)
            x += width
        y -= line * (height + 0.7)
        _rule(figure, y + 0.35 * line, sum(widths))


def _rule(figure: "Picture", y: float, width: float) -> None:
    from matplotlib.lines import Line2D

    figure.add_artist(Line2D([_LEFT, _LEFT + width], [y, y], color="#c9cdd6", linewidth=0.6))


def _pictures(figure: "Picture", column: Column, group: Group) -> None:
    """Intervals and differences above, learning curves below."""
    from ...viz.figures import fit

    _heading(figure, _title(column), "; ".join(group.limits))
    found = panels(group)
    wide = [panel for panel in found if panel.wide]
    curves = [panel for panel in found if not panel.wide]
    for row, (several, bottom) in enumerate(((wide, 0.52), (curves, 0.09))):
        left, right = 0.13 if row == 0 else 0.06, 0.98
        step = (right - left) / len(several)
        for i, panel in enumerate(several):
            ax = figure.add_axes(
                (left + i * step, bottom, step - (0.12 if row == 0 else 0.05), 0.34)
            )
            panel.draw(ax)
            ax.set_title(panel.title)
    handles, names = figure.axes[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=8)
    fit(figure)


def _facts(column: Column, group: Group) -> list[str]:
    """Settings, data, hardware, versions, every run, and how to repeat it."""
    lines = [f"{name}: {text}" for name, text in facts(group).items()]
    lines.append(f"Versions: {', '.join(versions([column]))}")
    lines.append(f"Repeat: {repeat(group)}")
    for row in group.rows:
        tests = ", ".join(
            f"{r['seed']}: {r['test']:.{group.digits}f}{' (diverged)' if r['diverged'] else ''}"
            for r in row.results
        )
        lines.append(f"{row.name}, test by seed: {tests}")
    return lines


def _texts(title: str, paragraphs: Sequence[str]) -> Iterator[Callable[["Picture"], None]]:
    """Pages of text, as many as it needs."""
    lines = [line for text in paragraphs for line in [*textwrap.wrap(text, _LETTERS), ""]]
    most = int((_TOP - 0.04 - _BOTTOM) / _LINE)
    for start in range(0, len(lines), most):
        yield partial(_text, title=title, lines=lines[start : start + most])


def _text(figure: "Picture", title: str, lines: Sequence[str]) -> None:
    _heading(figure, title)
    for i, line in enumerate(lines):
        figure.text(_LEFT, _TOP - 0.03 - i * _LINE, line, fontsize=9.5, va="top")
