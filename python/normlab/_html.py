# ruff: noqa: RUF001  (typographic minus, dash, times)
"""What notebooks show of tensors, modules and reports.

Colours are the page's own or half transparent, so that light and dark dress both suit; styles
stand on the elements, since notebooks drop style sheets.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core import DtypeError, Tensor
from ._core.nn import Module

_MOST = 10  # rows or columns that are shown whole; of more, the first and the last four
_EDGE = 4
_MOST_PARTS = 40  # of a module
_MOST_MEASURED = 1 << 24  # elements whose statistics are worth their time
_LINE = "1px solid rgba(128,128,128,0.35)"
_SOFT = "opacity:0.7"


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, best: int | None = None
) -> str:
    """A small table.

    Args:
        headings: Over the columns; without any, there is no head.
        rows: Text of the cells.
        left: So many columns stand on the left, the others, numbers, on the right.
        best: The row whose name and first number are bold.
    """

    def cell(kind: str, column: int, text: str, style: str = "") -> str:
        side = "left" if column < left else "right"
        return (
            f'<{kind} style="text-align:{side};padding:2px 8px;border:0;'
            f'white-space:pre;{style}">{escape(text)}</{kind}>'
        )

    def line(i: int, row: Sequence[str]) -> str:
        bold = ["font-weight:600" if i == best and column < 2 else "" for column in range(len(row))]
        cells = (cell("td", column, text, bold[column]) for column, text in enumerate(row))
        return f"<tr>{''.join(cells)}</tr>"

    head = "".join(
        cell("th", i, text, f"border-bottom:{_LINE};{_SOFT};font-weight:600")
        for i, text in enumerate(headings)
    )
    head = f"<thead><tr>{head}</tr></thead>" if headings else ""
    body = "".join(line(i, row) for i, row in enumerate(rows))
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:4px 0;'
        f'font-variant-numeric:tabular-nums">{head}<tbody>{body}</tbody></table></div>'
    )


def caption(title: str, facts: Sequence[str]) -> str:
    """A line over a table."""
    said = "".join(f" · {escape(fact)}" for fact in facts if fact)
    return f'<div><b>{escape(title)}</b><span style="{_SOFT}">{said}</span></div>'


# --- tensors -------------------------------------------------------------------------------------


def tensor_html(x: Tensor) -> str:
    """Shape and type, the elements or their edges, and statistics where not all are shown."""
    dtype, there = _dtype(x), x.detach().to("cpu")
    values = (there.to("float32") if dtype == "bfloat16" else there).numpy()
    facts = [
        " × ".join(map(str, x.shape)) or "one number",
        dtype,
        "" if x.device == "cpu" else str(x.device),
        _of_gradient(x),
    ]
    parts = [caption("Tensor", facts)]
    if values.size:
        shown, place = _plane(values)
        if place:
            parts.append(f'<div style="{_SOFT}">{escape(place)}</div>')
        parts.append(_plane_table(shown))
        if values.size > shown.size or max(shown.shape) > _MOST:
            parts.append(_statistics(values))
    return "".join(parts)


def _dtype(x: Tensor) -> str:
    """The element type's name: NumPy, whose types x.dtype speaks of, has no bfloat16."""
    try:
        return str(x.dtype)
    except DtypeError:
        return "bfloat16"


def _of_gradient(x: Tensor) -> str:
    if not x.requires_grad:
        return ""
    if not x.is_leaf:
        return "recorded for the backward pass"
    has = x.grad is not None or x.sparse_grad is not None
    return "requires a gradient" + (", has one" if has else "")


def _plane(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """The last two axes at the first place of the others, and a name for that place."""
    if values.ndim <= 2:
        return np.atleast_2d(values), ""
    zeros = (0,) * (values.ndim - 2)
    return values[zeros], f"x[{', '.join(map(str, zeros))}]"


def _plane_table(plane: NDArray[Any]) -> str:
    rows, columns = (_places(n) for n in plane.shape)
    cells = [["…" if None in (i, j) else _text(plane[i, j]) for j in columns] for i in rows]
    return table((), cells, left=0)


def _places(n: int) -> list[int | None]:
    """The indices that are shown; None where some are left out."""
    if n <= _MOST:
        return list(range(n))
    return [*range(_EDGE), None, *range(n - _EDGE, n)]


def _text(value: Any) -> str:
    if isinstance(value, np.floating):
        return f"{value:.4g}".replace("-", "−")
    return str(value).replace("-", "−")


def _statistics(values: NDArray[Any]) -> str:
    """Of the finite elements; nothing for booleans and where it would take long."""
    if values.dtype == bool or values.size > _MOST_MEASURED:
        return ""
    finite = values[np.isfinite(values)]
    facts = []
    if finite.size:
        mean, deviation = np.mean(finite, dtype=float), np.std(finite, dtype=float)
        numbers = {"least": finite.min(), "mean": mean, "deviation": deviation}
        numbers["greatest"] = finite.max()
        facts = [f"{name} {_text(number)}" for name, number in numbers.items()]
    if lost := values.size - finite.size:
        facts.append(f"{lost:,} not finite")
    return f'<div style="{_SOFT}">{escape(" · ".join(facts))}</div>'


# --- modules -------------------------------------------------------------------------------------


def module_html(module: Module) -> str:
    """A line for each part: its name, what it is, its parameters' shapes and their number."""
    mode = "training" if module.training else "evaluation"
    parts = list(module.named_modules())
    rows = [_part_row(name, part) for name, part in parts[:_MOST_PARTS]]
    if not parts or _own(module):
        rows.insert(0, _part_row("", module))
    if left_out := max(len(parts) - _MOST_PARTS, 0):
        rows.append(["…", f"{left_out} more", "", ""])
    title = caption(type(module).__name__, [f"{module.num_parameters():,} parameters", mode])
    return title + table(("part", "layer", "parameters", "count"), rows, left=3)


def _part_row(name: str, part: Module) -> list[str]:
    above, _, last = name.rpartition(".")
    depth = above.count(".") + 1 if above else 0
    shapes = {n: " × ".join(map(str, p.shape)) or "one number" for n, p in _own(part).items()}
    count = sum(p.size for p in _own(part).values())
    return [
        "    " * depth + (last or "itself"),
        _layer(part),
        ", ".join(f"{n} {shape}" for n, shape in shapes.items()),
        f"{count:,}" if shapes else "",
    ]


def _own(part: Module) -> dict[str, Tensor]:
    """Parameters that are none of a submodule's."""
    return {name: value for name, value in part.named_parameters() if "." not in name}


def _layer(part: Module) -> str:
    said = part.extra_repr()
    return type(part).__name__ + (f"({said})" if said else "")
