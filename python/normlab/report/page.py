# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""report.html: one file with everything in it."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from .groups import BASELINE, Group, Row
from .plots import Panel, Theme, colour, panel_svg, panels
from .table import columns, difference, notes, number, verdict

# Colours that stand for the page's own, so that pictures follow its light and dark dress.
_SENTINELS = Theme(ink="#010203", faint="#040506")
_PAGE_COLOURS = {_SENTINELS.ink: "currentColor", _SENTINELS.faint: "var(--faint)"}


def page(groups: Sequence[Group]) -> str:
    """The whole page."""
    names = dict.fromkeys(group.name for group in groups)
    title = f"Normalisation study: {'; '.join(names)}"
    results = [result for group in groups for result in group.results]
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(results)),
        sections="\n".join(_section(group) for group in groups),
        footer="Made by normlab. Paper: Xu, Sun, Zhang, Zhao, Lin, “Understanding and Improving "
        "Layer Normalization”, NeurIPS 2019.",
    )


def _subtitle(results: Sequence[Mapping[str, Any]]) -> str:
    versions = ", ".join(sorted({result["version"] for result in results}))
    last = max(result.get("finished", "") for result in results)
    hours = sum(result.get("search_seconds", result["seconds"]) for result in results) / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"normlab {versions} · {len(results)} results, {time} of training · {last[:10]}"


def _section(group: Group) -> str:
    limits = f'<p class="warn">{escape("; ".join(group.limits))}</p>' if group.limits else ""
    return f"""<section>
<h2>{escape(group.heading)}</h2>
{limits}
<p class="lead">{escape(_verdict(group))}</p>
{_table(group)}
<div class="panels">
{"".join(_figure(panel, group) for panel in panels(group))}
</div>
<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes(group))}
<li>Curves: the mean over the runs still in training at that epoch; the band spans them.</li></ul>
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
    told = [name for name, value in measured.items() if value.excludes_zero]
    if not told:
        return f"{text} No variant differs from {BASELINE} by more than chance may explain."
    listed = "; ".join(f"{name} {difference(measured[name])}" for name in told)
    return f"{text} Told apart from {BASELINE}: {listed}."


def _chip(row: Row, group: Group) -> str:
    return f'<span class="chip" style="--chip: {colour(row, group)}"></span>'


def _table(group: Group) -> str:
    table = columns(group)
    head = "".join(f'<th scope="col">{escape(column.heading)}</th>' for column in table)
    body = "".join(
        _row(group, row, [column.cells[i] for column in table]) for i, row in enumerate(group.rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _row(group: Group, row: Row, cells: Sequence[str]) -> str:
    gap = group.difference(row)
    tone = {"▲": "up", "▼": "down"}.get(verdict(gap), "") if gap else ""
    best = ' class="best"' if row is group.best and len(group.rows) > 1 else ""
    rest = "".join(
        f'<td class="{tone if cell[:1] in "▲▼" else ""}">{escape(cell)}</td>' for cell in cells[1:]
    )
    return f'<tr{best}><th scope="row">{_chip(row, group)}{escape(cells[0])}</th>{rest}</tr>'


def _figure(panel: Panel, group: Group) -> str:
    # Every picture repeats what limits its numbers: pictures travel without their page.
    limits = f" <small>{escape('; '.join(group.limits))}</small>" if group.limits else ""
    wide = ' class="wide"' if panel.wide else ""
    return f"<figure{wide}><h3>{escape(panel.title)}{limits}</h3>{_svg(panel)}</figure>\n"


def _svg(panel: Panel) -> str:
    svg = panel_svg(panel, _SENTINELS)
    for sentinel, page_colour in _PAGE_COLOURS.items():
        svg = svg.replace(sentinel, page_colour)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(panel.title)}"', 1)


def _facts(group: Group) -> str:
    facts = {
        "Data": "; ".join(group.origins),
        "Seeds": ", ".join(map(str, group.seeds)),
        "Instruction set": ", ".join(sorted({str(r.get("isa")) for r in group.results})),
        "Threads": ", ".join(sorted({str(r.get("threads")) for r in group.results})),
        "Settings": ", ".join(
            f"{name} {value}" for name, value in group.settings.items() if value is not None
        ),
    }
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{items}</dl>"


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
    return (
        f'<details><summary>Every run</summary><div class="scroll"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
