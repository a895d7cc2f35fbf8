# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""The formulas of every norm variant, from its traits: the table of `normlab norms`."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from . import norm_traits, norm_variants
from ._plain import plain

_Y = {"none": "x", "std": "(x − μ)/σ", "rms": "x/rms", "l2": "x/‖x‖", "tanh": "tanh(αx)"}
_Z = {
    "plain": "y",
    "affine": "w·y + b",
    "gain": "w·y",
    "bias": "y + b",
    "adaptive": "φ·y",
    "residual": "x + y",
}
_DIVISOR = {"std": "σ", "rms": "rms", "l2": "‖x‖"}
_OVER = {"row": "row", "channels": "group", "channel": "channel", "batch": "batch"}
_NOTES = """\
g = dL/dz; G = dL/dy = w·g, φ·g or g. σ = sqrt(variance + eps), or with
--denominator std_eps the unbiased deviation + eps. w, b and α are learned,
scalenorm's w is one number. Statistics are taken over a row, or over a batch,
group of channels or channel. topk clamps a row's extremes before all else.
Constants in the backward pass: φ = C(1 − ky), gradnorm's x, and μ and σ where
their term (mean G, y·mean Gy) is missing: that is what the paper is about."""


def norms_table(encoding: str | None = None) -> Group:
    """Every variant with its forward formula, its backward formula and its statistics.

    Args:
        encoding: Of the output, so that columns stay in line where it lacks a character.
    """
    table = Table(
        title="Normalisation variants",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("variant", "y", "z", "dx", "over"):
        table.add_column(heading, overflow="fold")
    for row in formulas():
        table.add_row(*(plain(cell, encoding) for cell in row))
    return Group(table, plain(_NOTES, encoding))


def formulas() -> list[tuple[str, ...]]:
    """By variant: its name, y, z, dx, and what its statistics are taken over."""
    found: list[tuple[str, ...]] = []
    for name in norm_variants():
        traits = norm_traits(name)
        over = "–" if traits["scale"] in ("none", "tanh") else _OVER[traits["group"]]
        y, z = _Y[traits["scale"]], _Z[traits["output"]]
        found.append((name, y, z, gradient(traits), over))
    return found


def gradient(traits: dict[str, Any]) -> str:
    """The variant's dx: a constant statistic's term is absent."""
    if traits["scale"] == "none":
        return "g"
    if traits["scale"] == "tanh":
        return "α(1 − y²)·G"
    terms = ["G"]
    if traits["scale"] == "std" and traits["grad_mean"]:
        terms.append("mean G")
    if traits["grad_scale"]:
        terms.append("y·sum Gy" if traits["scale"] == "l2" else "y·mean Gy")
    joined = " − ".join(terms)
    return f"{f'({joined})' if len(terms) > 1 else joined}/{_DIVISOR[traits['scale']]}"
