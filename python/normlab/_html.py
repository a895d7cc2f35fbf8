# ruff: noqa: RUF001  (typographic minus, dash, times)
"""HTML of tensors, modules and probes for notebooks."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._core import DtypeError, NormRecord, Tensor
from ._core.nn import Module
from ._templates import render

_MOST = 10  # rows or columns that are shown whole; of more, the first and the last four
_EDGE = 4
_MOST_PARTS = 40  # of a module
_MOST_MEASURED = 1 << 24  # elements; statistics of more take too long


# --- tensors -------------------------------------------------------------------------------------


def tensor_html(x: Tensor) -> str:
    """Shape and type, the elements or their edges, and statistics where not all are shown."""
    dtype, on_cpu = _dtype(x), x.detach().to("cpu")
    values = (on_cpu.to("float32") if dtype == "bfloat16" else on_cpu).numpy()
    facts = [
        _shape_text(x),
        dtype,
        "" if x.device == "cpu" else str(x.device),
        _gradient_fact(x),
    ]
    return render("tensor.html", facts=facts, **_elements(values))


def _elements(values: NDArray[Any]) -> dict[str, Any]:
    """The elements that are shown, their place and, where some are left out, statistics."""
    if not values.size:
        return {"place": "", "cells": [], "statistics": ""}
    plane, place = _plane(values)
    is_cut = values.size > plane.size or max(plane.shape) > _MOST
    statistics = _statistics(values) if is_cut else ""
    return {"place": place, "cells": _plane_cells(plane), "statistics": statistics}


def _shape_text(x: Tensor) -> str:
    return " × ".join(map(str, x.shape)) or "one number"


def _dtype(x: Tensor) -> str:
    """The element type's name. x.dtype is NumPy's type, and NumPy has no bfloat16."""
    try:
        return str(x.dtype)
    except DtypeError:
        return "bfloat16"


def _gradient_fact(x: Tensor) -> str:
    if not x.requires_grad:
        return ""
    if not x.is_leaf:
        return "recorded for the backward pass"
    has = x.grad is not None or x.sparse_grad is not None
    return "requires a gradient" + (", has one" if has else "")


def _plane(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """The last two axes at index 0 of the others, and that place's name."""
    if values.ndim <= 2:
        return np.atleast_2d(values), ""
    zeros = (0,) * (values.ndim - 2)
    return values[zeros], f"x[{', '.join(map(str, zeros))}]"


def _plane_cells(plane: NDArray[Any]) -> list[list[str]]:
    rows, columns = (_indices(n) for n in plane.shape)
    return [["…" if None in (i, j) else _text(plane[i, j]) for j in columns] for i in rows]


def _indices(n: int) -> list[int | None]:
    """The indices that are shown, with None for those left out."""
    if n <= _MOST:
        return list(range(n))
    return [*range(_EDGE), None, *range(n - _EDGE, n)]


def _text(value: Any) -> str:
    if isinstance(value, np.floating):
        return f"{value:.4g}".replace("-", "−")
    return str(value).replace("-", "−")


def _statistics(values: NDArray[Any]) -> str:
    """Statistics of the finite elements; empty for booleans and very large tensors."""
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
    return " · ".join(facts)


# --- modules -------------------------------------------------------------------------------------


def module_html(module: Module) -> str:
    """A row a part: name, layer, shapes of its parameters, number of elements."""
    mode = "training" if module.training else "evaluation"
    parts = list(module.named_modules())
    rows = [_part_row(name, part) for name, part in parts[:_MOST_PARTS]]
    if not parts or _own(module):
        rows.insert(0, _part_row("", module))
    if left_out := max(len(parts) - _MOST_PARTS, 0):
        rows.append(["…", f"{left_out} more", "", ""])
    facts = [f"{module.num_parameters():,} parameters", mode]
    return render("module.html", title=type(module).__name__, facts=facts, rows=rows)


def _part_row(name: str, part: Module) -> list[str]:
    above, _, last = name.rpartition(".")
    depth = above.count(".") + 1 if above else 0
    own = _own(part)
    return [
        "    " * depth + (last or "itself"),
        _layer(part),
        ", ".join(f"{name} {_shape_text(value)}" for name, value in own.items()),
        f"{sum(value.size for value in own.values()):,}" if own else "",
    ]


def _own(part: Module) -> dict[str, Tensor]:
    """The part's parameters without those of its submodules."""
    return {name: value for name, value in part.named_parameters() if "." not in name}


def _layer(part: Module) -> str:
    said = part.extra_repr()
    return type(part).__name__ + (f"({said})" if said else "")


# --- probes --------------------------------------------------------------------------------------


class Probe(Protocol):
    """What has recorded norms."""

    @property
    def step(self) -> int:
        """The current step's number."""

    @property
    def records(self) -> list[NormRecord]:
        """All records so far."""


def probe_html(probe: Probe) -> str:
    """A row a layer: the gradient before and behind its norm, in the last step that has one."""
    records = probe.records
    last = {record.layer: record for record in records if record.has_gradient}
    rows = [_record_row(record) for record in list(last.values())[:_MOST_PARTS]]
    if left_out := max(len(last) - _MOST_PARTS, 0):
        rows.append(["…", f"{left_out} more", *[""] * 4])
    facts = [f"step {probe.step}", f"{len(records):,} records"]
    if records and not last:
        facts.append("no gradient yet")
    return render("probe.html", title="probe", facts=facts, rows=rows)


def _record_row(record: NormRecord) -> list[str]:
    moments = (record.dz.row_mean, record.dx.row_mean, record.dz.row_var, record.dx.row_var)
    return [record.layer, record.variant, *(_text(np.float64(value)) for value in moments)]
