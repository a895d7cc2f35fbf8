# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""Columns and notes of the tables, and table.md."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .._text_format import counted
from .groups import BASELINE, Group, Row
from .overfitting import Losses, OverFitting, left_out, overfitting
from .stats import Estimate

_HOW_TO_READ = (
    "± is half of the 95 % interval of Student's t over the seeds; it says how far the mean may be "
    "off, not how far single runs lie apart. The difference to layernorm is taken seed by seed "
    "(same initial weights, same order of the data); ▲ and ▼ mark differences whose interval "
    "leaves zero out, ≈ those that chance may explain. Each interval stands for one comparison: of "
    "twenty true zeros, one is marked on average."
)

_LESS_IS_BETTER = (
    f"Less is better: a variant marked ▼ is better than {BASELINE}, one marked ▲ is worse."
)


@dataclass(frozen=True)
class Column:
    """A heading and a cell for each row."""

    heading: str
    cells: Sequence[str]


def number(value: Estimate, digits: int = 2) -> str:
    """99.12 ± 0.05, with a true minus sign."""
    half = "" if value.half is None else f" ± {value.half:.{digits}f}"
    return f"{value.mean:.{digits}f}{half}".replace("-", "−")


def difference(value: Estimate | None, digits: int = 2) -> str:
    """▲ +0.12 ± 0.05, with a true minus sign."""
    if value is None:
        return "–"
    half = "" if value.half is None else f" ± {value.half:.{digits}f}"
    mean = f"{value.mean:+.{digits}f}"
    mean = mean if float(mean) else mean[1:]  # what rounds to zero has no sign
    return f"{verdict(value)} {mean}{half}".strip().replace("-", "−")


def verdict(value: Estimate) -> str:
    """▲, ▼ or ≈; empty for one seed or without spread."""
    if value.excludes_zero:
        return "▲" if value.mean > 0 else "▼"
    return "≈" if value.includes_zero else ""


def told_apart(differences: Mapping[str, Estimate | None], digits: int = 2) -> str:
    """Which variants differ from layernorm, no stronger than the numbers.

    Args:
        differences: By variant, paired by seed; None where there is none.
        digits: Behind the point.

    Example:
        >>> from normlab.report.stats import estimate
        >>> nl.report.told_apart({"adanorm": estimate([0.1, -0.2, 0.3])})
        'No variant differs from layernorm by more than chance may explain.'
    """
    if not any(value is not None and value.n > 1 for value in differences.values()):
        return "One seed cannot tell the variants apart."
    if listed := those_apart(differences, digits):
        return f"Told apart from {BASELINE}: {listed}."
    return f"No variant differs from {BASELINE} by more than chance may explain."


def those_apart(differences: Mapping[str, Estimate | None], digits: int = 2) -> str:
    """The variants whose interval leaves zero out, with their differences; empty for none."""
    return "; ".join(
        f"{name} {difference(value, digits)}"
        for name, value in differences.items()
        if value is not None and value.excludes_zero
    )


def authors(value: float | None) -> str:
    """The authors' number, printed as in the paper."""
    if value is None:
        return "–"
    return "diverges" if math.isnan(value) else f"{value:.2f}"


# Scores beside the metric, by their names in results.
_MORE_SCORES = {"las": "test LAS, %", "sacrebleu": "test BLEU, cased", "chrf": "test chrF"}


def columns(group: Group) -> list[Column]:
    """The group's columns, without empty ones."""
    rows = group.rows
    found = [
        Column("variant", [row.name for row in rows]),
        Column(f"test {group.metric}", [_test(row, group.digits) for row in rows]),
    ]
    if any(row.norm == BASELINE for row in rows):
        found.append(
            Column(
                f"difference to {BASELINE}",
                [difference(group.difference(row), group.digits) for row in rows],
            )
        )
    for name, heading in _MORE_SCORES.items():
        means = [row.mean(name) for row in rows]
        if any(means):
            found.append(Column(heading, [number(mean) if mean else "–" for mean in means]))
    if group.has_authors:
        found.append(Column(_authors_heading(group), [authors(group.authors(row)) for row in rows]))
    if any(row.scales for row in rows):
        found.append(Column("C chosen", [row.scales or "–" for row in rows]))
    return [
        *found,
        Column("seeds", [str(len(row.results)) for row in rows]),
        Column("best epoch", [f"{row.best_epoch:.1f}" for row in rows]),
        Column("time a run", [f"{row.seconds:.1f} s" for row in rows]),
    ]


def _authors_heading(group: Group) -> str:
    if group.counterpart:
        return f"authors ({group.counterpart})"
    return "authors (their full setting)" if group.limits else "authors"


def _test(row: Row, digits: int) -> str:
    if row.diverged == len(row.results) and row.diverged_at:  # what is left is not the variant's
        steps = ", ".join(f"{step:,}" for step in row.diverged_at)
        return f"diverges (step {steps})"
    diverged = f" ({row.diverged} diverged)" if row.diverged else ""
    return number(row.test, digits) + diverged


def notes(group: Group) -> list[str]:
    """Notes for readers of the table, most important first."""
    settings = group.settings
    found = []
    if group.warning:
        found.append(
            f"These are {group.warning}: no number here compares with one on "
            f"{group.first['title']}."
        )
    elif group.limits:
        found.append(
            f"Trained with {' and '.join(group.limits)}: a quick look, not the paper's experiment."
        )
    if len(group.seeds) == 1:
        found.append("one seed: no interval. Which variant is better cannot be told from this.")
    else:
        found.append(_HOW_TO_READ)
        if not group.higher_is_better:
            found.append(_LESS_IS_BETTER)
    if any(row.scales for row in group.rows):
        found.append(
            "adanorm's C is chosen by the validation set, for each seed on its own, among "
            "runs of the same length; the other candidates' test numbers are not used."
        )
    found.append(
        f"At most {counted(settings['epochs'], 'epoch')}; training stops when validation has not "
        f"improved for {settings['patience']}, and the best epoch's weights are tested. Batch "
        f"{settings['batch']}, learning rate {settings['lr']:g}, denominator "
        f"{settings['denominator']}, eps {settings['eps']:g}."
    )
    if group.counterpart:
        found.append(
            f"The authors' numbers are of {group.counterpart}, which is other data: compare "
            "differences between variants, not the numbers."
        )
    found.append(f"Data: {'; '.join(group.origins)}.")
    return found


def overfitting_columns(found: OverFitting) -> list[Column]:
    """The table of losses: lowest, then at the epoch of comparison."""
    rows, epoch = found.group.rows, found.epoch
    digits = loss_digits(found)

    def means(value: Callable[[Losses], float], places: int = digits) -> list[str]:
        values = [found.mean(row, value) for row in rows]
        return ["–" if x is None else f"{x.mean:.{places}f}" for x in values]

    at = f"at epoch {epoch}"
    return [
        Column("variant", [row.name for row in rows]),
        Column("lowest validation loss", means(lambda run: min(run.valid))),
        Column("its epoch", means(lambda run: run.lowest, 1)),
        Column("training loss there", means(lambda run: run.train[run.lowest - 1])),
        Column(f"validation loss {at}", means(lambda run: run.valid[epoch - 1])),
        Column(f"training loss {at}", means(lambda run: run.train[epoch - 1])),
        Column(f"gap {at}", [_gap(found, row, digits) for row in rows]),
        Column(
            f"gap, difference to {BASELINE}",
            [difference(found.difference(row), digits) for row in rows],
        ),
    ]


def loss_digits(found: OverFitting) -> int:
    """Decimals that tell the group's losses apart."""
    values = [found.mean(row, lambda run: min(run.valid)) for row in found.group.rows]
    return 3 if all(x is None or x.mean >= 0.1 for x in values) else 4


def _gap(found: OverFitting, row: Row, digits: int) -> str:
    value, out = found.gap(row), left_out(row)
    diverged = f" ({out} diverged)" if out else ""
    return ("–" if value is None else number(value, digits)) + diverged


def overfitting_notes(found: OverFitting) -> list[str]:
    """How to read the table of losses."""
    notes = [
        f"All variants are compared at the same epoch, {found.epoch}, the last that every run "
        "reached; the gap is validation loss minus training loss there, and a greater gap at the "
        f"same epoch is more over-fitting: ▲ more than {BASELINE}, ▼ less, ≈ may be chance.",
        "A variant that learns faster is also further on at that epoch: read its gap beside its "
        "lowest validation loss, which is each run's own. Training loss is the mean over an "
        "epoch's steps, with dropout where the network has it, so a gap can lie below zero.",
    ]
    if {"gain_only", "bias_only"} & {row.norm for row in found.group.rows}:
        notes.append(
            f"gain_only is {BASELINE} without its bias, bias_only without its gain: where such a "
            "gap is smaller (▼), the parameter left out is one that over-fits."
        )
    if any(left_out(row) for row in found.group.rows):
        notes.append("Runs that diverged are left out of these numbers.")
    return notes


def markdown(groups: Sequence[Group]) -> str:
    """All tables as table.md."""
    return "\n".join(_section(group) for group in groups)


def _section(group: Group) -> str:
    lines = _part(f"# {group.title}", columns(group), notes(group), group.marked)
    if found := overfitting(group):
        limits = f" ({'; '.join(group.limits)})" if group.limits else ""
        lines += _part(
            f"## Over-fitting{limits}", overfitting_columns(found), overfitting_notes(found)
        )
    return "\n".join(lines)


def _part(
    heading: str, table: Sequence[Column], notes: Sequence[str], best: int | None = None
) -> list[str]:
    """Heading, table and notes; the best row's first number is bold."""
    lines = [" | ".join(column.heading for column in table), "|".join([" --- "] * len(table))]
    for i in range(len(table[0].cells)):
        cells = [column.cells[i] for column in table]
        if i == best:
            cells[1] = f"**{cells[1]}**"
        lines.append(" | ".join(cells))
    return [
        heading,
        "",
        *(f"| {line.strip()} |" for line in lines),
        "",
        *(f"- {note}" for note in notes),
        "",
    ]
