"""paper.html: one file that loads nothing else."""

from collections.abc import Sequence
from typing import Any

from ..._templates import render
from ...paper import NAMES, VARIANTS
from ...viz import look
from ..page import Attempt, facts, figures, make
from ..plots import colour, panels
from .columns import Column
from .verdicts import BETTER, WORSE, Finding
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

_TONES = {BETTER: "up", WORSE: "down"}


def page(columns: Sequence[Column], found: Sequence[Finding], attempt: Attempt = make) -> str:
    """The whole page. It says so where a picture is missing because its attempt failed."""
    return render(
        "paper.html",
        subtitle=subtitle(columns),
        headings=headings(columns),
        rows=[_row(columns, norm) for norm in VARIANTS],
        findings=[_finding(each) for each in found],
        notes=notes(columns),
        comparison_headings=HEADINGS,
        sections=[_section(column, attempt) for column in columns if column.group],
    )


def subtitle(columns: Sequence[Column]) -> str:
    """Versions, runs and the day of the last one."""
    results = [r for column in columns if column.group for r in column.group.results]
    last = max(str(result.get("finished", "")) for result in results)
    made = f"normlab {', '.join(versions(columns))} · {len(results)} results"
    return f"{made} · {last[:10]}" if last else made


def _row(columns: Sequence[Column], norm: str) -> dict[str, Any]:
    cells = [{"ours": ours(column, norm), "theirs": theirs(column, norm)} for column in columns]
    return {"name": NAMES[norm], "colour": look(norm)["color"], "cells": cells}


def _finding(each: Finding) -> dict[str, Any]:
    rows = [(comparison_cells(one), _TONES.get(one.word, "")) for one in each.comparisons]
    return {"title": claim_title(each), "verdict": verdict(each), "rows": rows}


def _section(column: Column, attempt: Attempt) -> dict[str, Any]:
    """A column's pictures and facts, as the template's macros take them."""
    group = column.group
    assert group is not None
    return {
        "title": column.label or column.theirs.title,
        "group": group,
        "colours": [colour(row, group) for row in group.rows],
        "figures": figures(panels(group), group, attempt),
        "facts": facts(group) | {"Versions": ", ".join(versions([column]))},
        "repeat": repeat(group),
    }
