"""A tree's layout as SVG."""

import hashlib
from html import escape

from .arcs import LEGEND, MISSING, WRONG
from .layout import CORNER, FIRST, FORM, HEAD, LABEL, LIFT, MARGIN, STEP, SWATCH, TAG, TreeLayout

# Of the reports' palette: readable on white and on near-black. Dashes and dots tell them apart
# where colours do not.
_LINES = {
    "": 'stroke="currentColor" stroke-opacity="0.6" stroke-width="1.2"',
    WRONG: 'stroke="#d1495b" stroke-width="1.7" stroke-dasharray="7 3"',
    # Dots are round ends, as a style: any sheet of the page is stronger than an attribute.
    MISSING: 'stroke="#3b82c4" stroke-width="2" style="stroke-linecap: round" '
    'stroke-dasharray="0.1 4"',
}
_FILLS = {
    "": 'fill="currentColor"',
    WRONG: 'fill="#d1495b" font-weight="bold"',
    MISSING: 'fill="#3b82c4" font-weight="bold"',
}


def svg_of(layout: TreeLayout, title: str, description: str) -> str:
    """The whole SVG document."""
    top = max(layout.levels, default=0)
    base = MARGIN + (FIRST + (top - 1) * STEP + LIFT + LABEL if top else 0)
    parts = [_arc(layout, i, base) for i in range(len(layout.arcs))]
    parts += [_word(layout, number, base) for number in range(1, len(layout.words) + 1)]
    height = base + FORM + 5 + (TAG + 6 if any(layout.tags) else 0) + MARGIN
    if layout.kinds:
        parts += [_legend(layout, i, height + 12) for i in range(len(layout.kinds))]
        height += 12 + MARGIN
    size = f"{_n(layout.width)} {_n(height)}"
    body = "\n".join(parts)
    # Names that two pictures on a page do not share.
    key = hashlib.sha256(f"{title}\n{description}\n{body}".encode()).hexdigest()[:12]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" role="img" \
aria-labelledby="nl-title-{key} nl-desc-{key}" width="{_n(layout.width)}" height="{_n(height)}" \
viewBox="0 0 {size}" style="max-width: none" font-family="system-ui, sans-serif" \
text-anchor="middle">
<title id="nl-title-{key}">{escape(title)}</title>
<desc id="nl-desc-{key}">{escape(description)}</desc>
{body}
</svg>"""


def _word(layout: TreeLayout, number: int, base: float) -> str:
    x, form, tag = _n(layout.x[number]), layout.forms[number - 1], layout.tags[number - 1]
    below = (
        f'<text x="{x}" y="{_n(base + FORM + TAG + 9)}" font-size="{TAG}" fill="currentColor" '
        f'fill-opacity="0.7">{escape(tag)}</text>'
        if tag
        else ""
    )
    bracket = layout.bracket(number)
    above = (
        f'<path d="M{_n(bracket[0])} {_n(base)}H{_n(bracket[1])}" fill="none" {_LINES[""]}/>'
        if bracket
        else ""
    )
    return (
        f'<g class="nl-word" data-word="{number}"><text x="{x}" y="{_n(base + FORM + 2)}" '
        f'font-size="{FORM}" fill="currentColor" style="unicode-bidi: plaintext">'
        f"{escape(form)}</text>{below}{above}</g>"
    )


def _arc(layout: TreeLayout, i: int, base: float) -> str:
    arc, (start, end) = layout.arcs[i], layout.ends[i]
    y = base - FIRST - (layout.levels[i] - 1) * STEP
    half, length = HEAD
    corner = CORNER if end > start else -CORNER
    path = f"M{_n(start)} {_n(y)}"
    if arc.head:
        path = (
            f"M{_n(start)} {_n(base)}V{_n(y + CORNER)}"
            f"Q{_n(start)} {_n(y)} {_n(start + corner)} {_n(y)}"
            f"H{_n(end - corner)}Q{_n(end)} {_n(y)} {_n(end)} {_n(y + CORNER)}"
        )
    head = f"M{_n(end - half)} {_n(base - length)}H{_n(end + half)}L{_n(end)} {_n(base)}Z"
    label = (
        f'<text x="{_n(layout.labels[i])}" y="{_n(y - LIFT)}" font-size="{LABEL}" '
        f"{_FILLS[arc.kind]}>{escape(arc.label)}</text>"
    )
    source = layout.forms[arc.head - 1] + " → " if arc.head else ""
    told = f"{arc.label}: {source}{layout.forms[arc.dependent - 1]}"
    return (
        f'<g class="nl-arc{" nl-" * bool(arc.kind)}{arc.kind}" data-head="{arc.head}" '
        f'data-dependent="{arc.dependent}"><title>{escape(told)}</title>'
        f'<path d="{path}V{_n(base - length)}" fill="none" {_LINES[arc.kind]}/>'
        f'<path d="{head}" {_FILLS[arc.kind]}/>{label if arc.label else ""}</g>'
    )


def _legend(layout: TreeLayout, i: int, y: float) -> str:
    kind, x = layout.kinds[i], layout.legend_width(layout.kinds[:i])
    return (
        f'<g class="nl-legend"><path d="M{_n(x)} {_n(y - 4)}h{_n(SWATCH - 8)}" fill="none" '
        f'{_LINES[kind]}/><text x="{_n(x + SWATCH)}" y="{_n(y)}" font-size="{TAG}" '
        f'fill="currentColor" text-anchor="start">{escape(LEGEND[kind])}</text></g>'
    )


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")
