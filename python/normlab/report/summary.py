"""A study's tables as a notebook or a terminal shows them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import norm_variants
from .._core import FileError
from .._templates import render
from ..results import Result, ResultFile
from .groups import Group, groups
from .table import columns, markdown, notes


@dataclass(frozen=True, repr=False)
class Summary:
    """The tables of one or several studies. Notebooks show them; ``str()`` is Markdown.

    Attributes:
        groups: Runs that may be compared, one group for each task, data and settings.
    """

    groups: Sequence[Group]

    def __str__(self) -> str:
        return markdown(self.groups)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(map(group_html, self.groups))


def summary(source: str | Path | Iterable[Result]) -> Summary:
    """Makes the table of a study, as table.md and report.html have it.

    Args:
        source: A study's folder, or results as ``Study.run()`` returns them.

    Raises:
        FileError: The folder has no finished results, or they are damaged.

    Example:
        >>> print(str(nl.report.summary(nl.study.reference_results()["rt"]))[:47])
        # RT
        <BLANKLINE>
        | variant | test accuracy, % | difference
    """
    results = ResultFile(Path(source)).read() if isinstance(source, str | Path) else source
    found = groups(results, norm_variants())
    if not found:
        place = source if isinstance(source, str | Path) else "summary"
        raise FileError(f"{place}: has no finished results to report")
    return Summary(found)


def group_html(group: Group) -> str:
    """One table, with its notes folded away."""
    cells = columns(group)
    seeds = len(group.seeds)
    facts = [*group.limits, "one seed" if seeds == 1 else f"{seeds} seeds"]
    return render(
        "summary.html",
        title=group.heading,
        facts=list(dict.fromkeys(fact for fact in facts if fact != group.name)),
        headings=[column.heading for column in cells],
        rows=list(zip(*(column.cells for column in cells), strict=True)),
        best=group.marked,
        notes=notes(group),
    )


Group._repr_html_ = group_html
