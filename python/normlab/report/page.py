# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""report.html: one file with everything in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from .groups import BASELINE, Group, Row
from .overfitting import OverFitting, overfitting
from .plots import Panel, Theme, colour, overfitting_panels, panel_svg, panels
from .stats import Estimate
from .table import (
    Column,
    columns,
    difference,
    loss_digits,
    notes,
    number,
    overfitting_columns,
    overfitting_notes,
)

# Colours that stand for the page's own, so that pictures follow its light and dark dress.
_SENTINELS = Theme(ink="#010203", faint="#040506")
_GOOD_UP = {"▲": "up", "▼": "down"}
_GOOD_DOWN = {"▲": "down", "▼": "up"}
_CURVES = (
    "Curves: the mean over the runs still in training at that epoch; the band spans them. Lines "
    "and marks are those of the variants' means in the first picture."
)
_OVERFITTING_CURVES = (
    "Curves: dashed training loss, solid validation loss, each the mean over the seeds that both "
    "variants have; the band spans them. A curve ends at the last epoch that all its runs reached; "
    "runs that diverged are left out."
)
_SHEET = re.compile(r'<style type="text/css">\*\{([^"{}]*)\}</style>')
Attempt = Callable[[str, Callable[[], str]], str | None]
"""Draws the picture of that name; None where that fails."""
_PAGE_COLOURS = {_SENTINELS.ink: "currentColor", _SENTINELS.faint: "var(--faint)"}


def _drawn(name: str, draw: Callable[[], str]) -> str | None:
    return draw()


def page(groups: Sequence[Group], attempt: Attempt = _drawn) -> str:
    """The whole page; where a picture fails, it says so in the picture's place."""
    names = dict.fromkeys(group.name for group in groups)
    title = f"Normalisation study: {'; '.join(names)}"
    results = [result for group in groups for result in group.results]
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(results)),
        sections="\n".join(_section(group, attempt) for group in groups),
        footer="Made by normlab. Paper: Xu, Sun, Zhang, Zhao, Lin, “Understanding and Improving "
        "Layer Normalization”, NeurIPS 2019.",
    )


def _subtitle(results: Sequence[Mapping[str, Any]]) -> str:
    versions = ", ".join(sorted({result["version"] for result in results}))
    last = max(result.get("finished", "") for result in results)
    hours = sum(result.get("search_seconds", result["seconds"]) for result in results) / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"normlab {versions} · {len(results)} results, {time} of training · {last[:10]}"


def _section(group: Group, attempt: Attempt) -> str:
    limits = f'<p class="warn">{escape("; ".join(group.limits))}</p>' if group.limits else ""
    return f"""<section>
<h2>{escape(group.heading)}</h2>
{limits}
<p class="lead">{escape(_verdict(group))}</p>
{_table(group, columns(group), _GOOD_UP, mark_best=True)}
{_figures(panels(group), group, attempt)}
{_notes([*notes(group), _CURVES])}
{_overfitting(group, attempt)}
{attempt(f"{group.heading}: trees", partial(_trees, group)) or ""}
{_facts(group)}
{_runs(group)}
</section>"""


def _verdict(group: Group) -> str:
    """The finding in a sentence or two, no stronger than the numbers."""
    if len(group.rows) == 1:
        return (
            f"{group.best.name}: {number(group.best.test)} {group.first['unit']} on the test set."
        )
    text = (
        f"{group.best.name} has the highest mean on the test set, "
        f"{number(group.best.test)} {group.first['unit']}."
    )
    differences = {row.name: group.difference(row) for row in group.rows}
    measured = {name: value for name, value in differences.items() if value is not None}
    if len(group.seeds) == 1 or not measured:
        return text + (" One seed cannot tell the variants apart." if len(group.seeds) == 1 else "")
    if listed := _told_apart(measured):
        return f"{text} Told apart from {BASELINE}: {listed}."
    return f"{text} No variant differs from {BASELINE} by more than chance may explain."


def _told_apart(measured: Mapping[str, Estimate], digits: int = 2) -> str:
    return "; ".join(
        f"{name} {difference(value, digits)}"
        for name, value in measured.items()
        if value.excludes_zero
    )


def _overfitting(group: Group, attempt: Attempt) -> str:
    """Pictures and table of over-fitting; empty without layernorm."""
    pictures, found = overfitting_panels(group), overfitting(group)
    if not pictures and not found:
        return ""
    limits = f" <small>{escape('; '.join(group.limits))}</small>" if group.limits else ""
    parts = [f'<h3 class="part">Over-fitting{limits}</h3>']
    if found:
        parts.append(f'<p class="lead">{escape(_gap_verdict(found))}</p>')
    if pictures:
        parts += [_figures(pictures, group, attempt), _notes([_OVERFITTING_CURVES])]
    if found:
        parts.append(_table(group, overfitting_columns(found), _GOOD_DOWN))
        parts.append(_notes(overfitting_notes(found)))
    return "\n".join(parts)


def _gap_verdict(found: OverFitting) -> str:
    """Whose gap differs, no stronger than the numbers."""
    gap = f"gap between validation and training loss at epoch {found.epoch}"
    differences = {row.name: found.difference(row) for row in found.group.rows}
    measured = {name: value for name, value in differences.items() if value and value.n > 1}
    if not measured:
        return f"Nothing is told apart from {BASELINE} by the {gap}: that wants several seeds."
    if listed := _told_apart(measured, loss_digits(found)):
        return f"Told apart from {BASELINE} by the {gap}: {listed}."
    return f"No variant differs from {BASELINE} in the {gap} by more than chance may explain."


def _trees(group: Group) -> str:
    """Trees of the run that is best on validation, where the task has any."""
    with_trees = [result for result in group.results if result.get("trees")]
    if not with_trees:
        return ""
    from ..parse import from_conllu
    from ..viz import tree

    best = max(with_trees, key=lambda result: result["valid"])
    drawings = "".join(
        f'<figure class="tree">{tree(ours, compare=right)._repr_html_()}</figure>'
        for parsed, gold in best["trees"]
        for ours, right in zip(from_conllu(parsed), from_conllu(gold), strict=True)
    )
    what = (
        f"Sentences of the test set as {best['norm']}, seed {best['seed']}, parses them; where "
        "the treebank has another arc, both are drawn."
    )
    return f'<h3 class="part">Trees</h3>{_notes([what])}<div class="panels">{drawings}</div>'


def _chip(row: Row, group: Group) -> str:
    return f'<span class="chip" style="--chip: {colour(row, group)}"></span>'


def _table(
    group: Group, table: Sequence[Column], tones: Mapping[str, str], mark_best: bool = False
) -> str:
    head = "".join(f'<th scope="col">{escape(column.heading)}</th>' for column in table)
    best = group.marked if mark_best else None
    body = "".join(
        _row(_chip(row, group), [column.cells[i] for column in table], tones, i == best)
        for i, row in enumerate(group.rows)
    )
    return _scroll(head, body)


def _scroll(head: str, body: str) -> str:
    """A table that scrolls by itself where the page is narrow, by keys too."""
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(chip: str, cells: Sequence[str], tones: Mapping[str, str], best: bool) -> str:
    start = '<tr class="best">' if best else "<tr>"
    rest = "".join(
        f'<td class="{tones.get(cell[:1], "")}">{escape(cell)}</td>' for cell in cells[1:]
    )
    return f'{start}<th scope="row">{chip}{escape(cells[0])}</th>{rest}</tr>'


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _figures(panels: Sequence[Panel], group: Group, attempt: Attempt) -> str:
    figures = "".join(_figure(panel, group, attempt) for panel in panels)
    return f'<div class="panels">\n{figures}</div>'


def _figure(panel: Panel, group: Group, attempt: Attempt) -> str:
    # Every picture repeats what limits its numbers: pictures travel without their page.
    limits = f" <small>{escape('; '.join(group.limits))}</small>" if group.limits else ""
    wide = ' class="wide"' if panel.wide else ""
    key = "" if panel.named else _key(group)
    name = f"{group.heading}: {panel.title}"
    svg = attempt(name, partial(_svg, panel)) or '<p class="warn">could not be drawn</p>'
    return f"<figure{wide}><h3>{escape(panel.title)}{limits}</h3>{svg}{key}</figure>\n"


def _key(group: Group) -> str:
    """Whose the lines are, for phones, where the picture with the names is screens away."""
    names = "".join(f"<span>{_chip(row, group)}{escape(row.name)}</span>" for row in group.rows)
    return f'<figcaption class="key">{names}</figcaption>'


def _svg(panel: Panel) -> str:
    svg = panel_svg(panel, _SENTINELS)
    for sentinel, page_colour in _PAGE_COLOURS.items():
        svg = svg.replace(sentinel, page_colour)
    # Matplotlib's sheet would rule the whole page; on the picture itself its words are inherited.
    words = "; ".join(_SHEET.findall(svg))
    start = f'<svg role="img" aria-label="{escape(panel.title)}" style="{words}"'
    return _SHEET.sub("", svg).replace("<svg", start, 1)


def _facts(group: Group) -> str:
    facts = {
        "Data": "; ".join(group.origins),
        "Hardware": _hardware(group),
        "Memory": _memory(group),
        "Seeds": ", ".join(map(str, group.seeds)),
        "Device": ", ".join(sorted({str(r.get("gpu") or "CPU") for r in group.results})),
        "Settings": ", ".join(
            f"{name} {value}" for name, value in group.settings.items() if value is not None
        ),
    }
    items = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text
    )
    return f"<dl>{items}</dl>"


def _hardware(group: Group) -> str:
    """Processors, threads and kernels of all runs; results of early versions name no processor."""

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


def _runs(group: Group) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th><td>{r["seed"]}</td>'
        f"<td>{'–' if r['C'] is None else format(r['C'], 'g')}</td><td>{r['valid']:.2f}</td>"
        f"<td>{r['test']:.2f}</td><td>{r['best_epoch']} of {r['epochs']}</td>"
        f"<td>{r['seconds']:.1f} s</td></tr>"
        for row in group.rows
        for r in row.results
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("variant", "seed", "C", "valid", "test", "best epoch", "time")
    )
    return f"<details><summary>Every run</summary>{_scroll(head, rows)}</details>"
