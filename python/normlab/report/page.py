"""report.html: one file that loads nothing else."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from .._templates import render
from ..results import score, with_unit
from .groups import BASELINE, Group
from .overfitting import OverFitting, overfitting
from .plots import Panel, Theme, colour, overfitting_panels, panel_svg, panels
from .table import (
    columns,
    loss_digits,
    notes,
    number,
    overfitting_columns,
    overfitting_notes,
    those_apart,
    told_apart,
)

# Stand-ins for the page's own colours, so that pictures follow its light and dark theme.
_SENTINELS = Theme(ink="#010203", faint="#040506")
_PAGE_COLOURS = {_SENTINELS.ink: "currentColor", _SENTINELS.faint: "var(--faint)"}
_SHEET = re.compile(r'<style type="text/css">\*\{([^"{}]*)\}</style>')
_T = TypeVar("_T")


class Attempt(Protocol):
    """Makes a picture of that name; None if it fails."""

    def __call__(self, name: str, make: Callable[[], _T], /) -> _T | None:
        """See Attempt."""


def make(name: str, draw: Callable[[], _T]) -> _T | None:
    """An Attempt that passes the error on."""
    return draw()


def page(groups: Sequence[Group], attempt: Attempt = make) -> str:
    """The whole page. It says so where a picture is missing because its attempt failed."""
    names = dict.fromkeys(group.name for group in groups)
    results = [result for group in groups for result in group.results]
    return render(
        "report.html",
        title=f"Normalisation study: {'; '.join(names)}",
        subtitle=_subtitle(results),
        sections=[_section(group, attempt) for group in groups],
    )


def _subtitle(results: Sequence[Mapping[str, Any]]) -> str:
    versions = ", ".join(sorted({result["version"] for result in results}))
    last = max(str(result.get("finished", "")) for result in results)
    hours = sum(result.get("search_seconds", result["seconds"]) for result in results) / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"normlab {versions} · {len(results)} results, {time} of training · {last[:10]}"


def _section(group: Group, attempt: Attempt) -> dict[str, Any]:
    """A group as the template takes it."""
    return {
        "group": group,
        "colours": [colour(row, group) for row in group.rows],
        "verdict": _verdict(group),
        "columns": columns(group),
        "figures": figures(panels(group), group, attempt),
        "notes": notes(group),
        "overfitting": _overfitting(group, attempt),
        "trees": attempt(f"{group.heading}: trees", partial(_trees, group)),
        "translations": _translations(group),
        "facts": facts(group),
    }


def _verdict(group: Group) -> str:
    """The finding in a sentence or two, no stronger than the numbers."""
    best = with_unit(number(group.best.test, group.digits), group.first)
    if len(group.rows) == 1:
        return f"{group.best.name}: {best} on the test set."
    extreme = "highest" if group.higher_is_better else "lowest"
    text = f"{group.best.name} has the {extreme} mean on the test set, {best}."
    differences = {row.name: group.difference(row) for row in group.rows}
    measured = {name: value for name, value in differences.items() if value is not None}
    if len(group.seeds) == 1 or not measured:
        return text + (" One seed cannot tell the variants apart." if len(group.seeds) == 1 else "")
    return f"{text} {told_apart(measured, group.digits)}"


def _overfitting(group: Group, attempt: Attempt) -> dict[str, Any] | None:
    """Pictures and table of over-fitting; None without layernorm."""
    pictures, found = overfitting_panels(group), overfitting(group)
    if not pictures and not found:
        return None
    return {
        "verdict": found and _gap_verdict(found),
        "figures": figures(pictures, group, attempt),
        "columns": found and overfitting_columns(found),
        "notes": found and overfitting_notes(found),
    }


def _gap_verdict(found: OverFitting) -> str:
    """Whose gap differs, no stronger than the numbers."""
    gap = f"gap between validation and training loss at epoch {found.epoch}"
    differences = {row.name: found.difference(row) for row in found.group.rows}
    measured = {name: value for name, value in differences.items() if value and value.n > 1}
    if not measured:
        return f"Nothing is told apart from {BASELINE} by the {gap}: that wants several seeds."
    if listed := those_apart(measured, loss_digits(found)):
        return f"Told apart from {BASELINE} by the {gap}: {listed}."
    return f"No variant differs from {BASELINE} in the {gap} by more than chance may explain."


def _trees(group: Group) -> dict[str, Any] | None:
    """Trees of the run that is best on validation; None if the task has none."""
    with_trees = [result for result in group.results if result.get("trees")]
    if not with_trees:
        return None
    from ..parse import from_conllu
    from ..viz import tree

    best = max(with_trees, key=lambda result: score(result, "valid"))
    drawings = [
        tree(ours, compare=right)._repr_html_()
        for parsed, gold in best["trees"]
        for ours, right in zip(from_conllu(parsed), from_conllu(gold), strict=True)
    ]
    return {"norm": best["norm"], "seed": best["seed"], "drawings": drawings}


def _translations(group: Group) -> list[list[tuple[str, str]]]:
    """Sentences of the test set: source, reference, and what each variant's best run makes of it.

    Empty if the task has none.
    """
    found: list[list[tuple[str, str]]] = []
    for row in group.rows:
        usable = [r for r in row.results if r.get("samples") and not r["diverged"]]
        if not usable:
            continue
        samples = max(usable, key=lambda result: score(result, "valid"))["samples"]
        if not found:
            found = [
                [("source", source), ("reference", reference)] for source, reference, _ in samples
            ]
        for lines, (_, _, translated) in zip(found, samples, strict=True):
            lines.append((row.name, translated))
    return found


def figures(panels: Sequence[Panel], group: Group, attempt: Attempt) -> list[dict[str, Any]]:
    """Pictures as the template's macro takes them."""
    return [
        {"panel": panel, "svg": attempt(f"{group.heading}: {panel.title}", partial(_svg, panel))}
        for panel in panels
    ]


def _svg(panel: Panel) -> dict[str, str]:
    """The picture after its "<svg", and the style that it needs."""
    svg = panel_svg(panel, _SENTINELS)
    for sentinel, page_colour in _PAGE_COLOURS.items():
        svg = svg.replace(sentinel, page_colour)
    # Matplotlib's style sheet would apply to the whole page. As a style of the picture it is
    # inherited within.
    style = "; ".join(_SHEET.findall(svg))
    return {"style": style, "rest": _SHEET.sub("", svg).removeprefix("<svg")}


def facts(group: Group) -> dict[str, str]:
    """Data, hardware, memory, seeds, device and settings, in words."""
    found = {
        "Data": "; ".join(group.origins),
        "Hardware": _hardware(group),
        "Memory": _memory(group),
        "Seeds": ", ".join(map(str, group.seeds)),
        "Scores": _signatures(group),
        "Device": ", ".join(sorted({str(r.get("gpu") or "CPU") for r in group.results})),
        "Settings": ", ".join(
            f"{name} {value}" for name, value in group.settings.items() if value is not None
        ),
    }
    return {name: text for name, text in found.items() if text}


def _signatures(group: Group) -> str:
    """How translations were scored, as sacrebleu puts it."""
    found = {
        name.removesuffix("_signature"): text
        for name, text in group.first.items()
        if name.endswith("_signature")
    }
    return "; ".join(f"{name} {text}" for name, text in found.items())


def _hardware(group: Group) -> str:
    """Processors, threads and kernels of all runs. Early versions recorded no processor."""

    def found(name: str) -> str:
        values = {result[name] for result in group.results if result.get(name)}
        return " or ".join(map(str, sorted(values)))

    threads, kernels = found("threads"), found("isa")
    facts = [
        found("processor"),
        threads and f"{threads} thread{'s' if threads != '1' else ''} a run",
        kernels and f"{kernels} kernels",
    ]
    return ", ".join(fact for fact in facts if fact)


def _memory(group: Group) -> str:
    peaks = [result["peak_memory_mib"] for result in group.results if "peak_memory_mib" in result]
    return f"at most {max(peaks):,.0f} MiB a process" if peaks else ""
