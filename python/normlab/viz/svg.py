"""A tree's layout as SVG."""

import hashlib

from .._templates import render
from .arcs import LEGEND
from .layout import CORNER, FIRST, FORM, HEAD, LABEL, LIFT, MARGIN, STEP, SWATCH, TAG, TreeLayout


def svg_of(layout: TreeLayout, title: str, description: str) -> str:
    """The whole SVG document."""
    top = max(layout.levels, default=0)
    base = MARGIN + (FIRST + (top - 1) * STEP + LIFT + LABEL if top else 0)
    height = base + FORM + 5 + (TAG + 6 if any(layout.tags) else 0) + MARGIN
    legend_y = height + 12
    if layout.kinds:
        height += 12 + MARGIN
    return render(
        "tree.svg",
        title=title,
        description=description,
        # Two pictures of a page need different ids.
        key=hashlib.sha256(f"{title}\n{description}".encode()).hexdigest()[:12],
        width=_n(layout.width),
        height=_n(height),
        arcs=[_arc(layout, i, base) for i in range(len(layout.arcs))],
        label_size=LABEL,
        words=[_word(layout, number, base) for number in range(1, len(layout.words) + 1)],
        form_size=FORM,
        form_y=_n(base + FORM + 2),
        tag_size=TAG,
        tag_y=_n(base + FORM + TAG + 9),
        legend=[_legend(layout, i, legend_y) for i in range(len(layout.kinds))],
        legend_y=_n(legend_y),
    )


def _word(layout: TreeLayout, number: int, base: float) -> dict[str, str]:
    bracket = layout.bracket(number)
    return {
        "x": _n(layout.x[number]),
        "form": layout.forms[number - 1],
        "tag": layout.tags[number - 1],
        "bracket": f"M{_n(bracket[0])} {_n(base)}H{_n(bracket[1])}" if bracket else "",
    }


def _arc(layout: TreeLayout, i: int, base: float) -> dict[str, object]:
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
    source = layout.forms[arc.head - 1] + " → " if arc.head else ""
    return {
        "head": arc.head,
        "dependent": arc.dependent,
        "kind": arc.kind,
        "label": arc.label,
        "told": f"{arc.label}: {source}{layout.forms[arc.dependent - 1]}",
        "path": f"{path}V{_n(base - length)}",
        "tip": f"M{_n(end - half)} {_n(base - length)}H{_n(end + half)}L{_n(end)} {_n(base)}Z",
        "x": _n(layout.labels[i]),
        "y": _n(y - LIFT),
    }


def _legend(layout: TreeLayout, i: int, y: float) -> dict[str, str]:
    kind, x = layout.kinds[i], layout.legend_width(layout.kinds[:i])
    return {
        "kind": kind,
        "path": f"M{_n(x)} {_n(y - 4)}h{_n(SWATCH - 8)}",
        "x": _n(x + SWATCH),
        "text": LEGEND[kind],
    }


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")
