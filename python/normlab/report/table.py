# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""The table, for Markdown and for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .groups import BASELINE, Group, Row
from .stats import Estimate

_HOW_TO_READ = (
    "± is half of the 95 % interval of Student's t over the seeds; it says how far the mean may be "
    "off, not how far single runs lie apart. The difference to layernorm is taken seed by seed "
    "(same initial weights, same order of the data); ▲ and ▼ mark differences whose interval "
    "leaves zero out, ≈ those that chance may explain. Each interval stands for one comparison: of "
    "twenty true zeros, one is marked on average."
)


@dataclass(frozen=True)
class Column:
    """A heading and what stands under it for a row."""

    heading: str
    cells: Sequence[str]


def number(value: Estimate) -> str:
    """99.12 ± 0.05."""
    return f"{value.mean:.2f}" + ("" if value.half is None else f" ± {value.half:.2f}")


def difference(value: Estimate | None) -> str:
    """▲ +0.12 ± 0.05, with a true minus sign."""
    if value is None:
        return "–"
    half = "" if value.half is None else f" ± {value.half:.2f}"
    return f"{verdict(value)} {value.mean:+.2f}{half}".strip().replace("-", "−")


def verdict(value: Estimate) -> str:
    """▲, ▼ or ≈; nothing for one seed or without any spread."""
    if value.excludes_zero:
        return "▲" if value.mean > 0 else "▼"
    return "≈" if value.includes_zero else ""


def authors(value: float | None) -> str:
    """The authors' number as they print it."""
    if value is None:
        return "–"
    return "diverges" if math.isnan(value) else f"{value:.2f}"


def columns(group: Group) -> list[Column]:
    """The columns that this group has something for."""
    rows = group.rows
    found = [
        Column("variant", [row.name for row in rows]),
        Column(f"test {group.metric}", [_test(row) for row in rows]),
    ]
    if any(row.norm == BASELINE for row in rows):
        found.append(
            Column(f"difference to {BASELINE}", [difference(group.difference(row)) for row in rows])
        )
    if group.has_authors:
        found.append(
            Column(
                "authors (their full setting)" if group.limits else "authors",
                [authors(group.authors(row)) for row in rows],
            )
        )
    if any(row.scales for row in rows):
        found.append(Column("C chosen", [row.scales or "–" for row in rows]))
    return [
        *found,
        Column("seeds", [str(len(row.results)) for row in rows]),
        Column("best epoch", [f"{row.best_epoch:.1f}" for row in rows]),
        Column("time a run", [f"{row.seconds:.1f} s" for row in rows]),
    ]


def _test(row: Row) -> str:
    diverged = f" ({row.diverged} diverged)" if row.diverged else ""
    return number(row.test) + diverged


def notes(group: Group) -> list[str]:
    """What a reader of the table must know, most important first."""
    settings = group.settings
    found = []
    if group.warning:
        found.append(f"These are {group.warning}: no number here compares with one on MNIST.")
    elif group.limits:
        found.append(
            f"Trained with {' and '.join(group.limits)}: a quick look, not the paper's experiment."
        )
    if len(group.seeds) == 1:
        found.append("one seed: no interval. Which variant is better cannot be told from this.")
    else:
        found.append(_HOW_TO_READ)
    if any(row.scales for row in group.rows):
        found.append(
            "adanorm's C is chosen by the validation set, for each seed on its own, among "
            "runs of the same length; the other candidates' test numbers are not used."
        )
    found.append(
        f"At most {settings['epochs']} epochs; training stops when validation has not improved for "
        f"{settings['patience']}, and the best epoch's weights are tested. Batch "
        f"{settings['batch']}, learning rate {settings['lr']:g}, denominator "
        f"{settings['denominator']}, eps {settings['eps']:g}."
    )
    found.append(f"Data: {'; '.join(group.origins)}.")
    return found


def markdown(groups: Sequence[Group]) -> str:
    """All tables as table.md."""
    return "\n".join(_section(group) for group in groups)


def _section(group: Group) -> str:
    table = columns(group)
    best = group.rows.index(group.best)
    lines = [" | ".join(column.heading for column in table), "|".join([" --- "] * len(table))]
    for i in range(len(group.rows)):
        cells = [column.cells[i] for column in table]
        if i == best and len(group.rows) > 1:
            cells[1] = f"**{cells[1]}**"
        lines.append(" | ".join(cells))
    return "\n".join(
        [
            f"# {group.title}",
            "",
            *(f"| {line.strip()} |" for line in lines),
            "",
            *(f"- {note}" for note in notes(group)),
            "",
        ]
    )
