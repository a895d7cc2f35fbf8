# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""What `normlab norms` and `normlab info` print."""

import os
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from . import build_info, norm_traits, norm_variants
from ._core import Error
from ._plain import one_line, plain
from .data.fetch import cache_folder
from .data.mnist import FASHION_MNIST, MNIST
from .data.places import Source, is_cached, local_folders
from .data.rt import RT
from .data.sst5 import SST5
from .data.ud import EN_EWT
from .machine import processor, vector_instructions

_SOURCES = (MNIST, FASHION_MNIST, RT, SST5, EN_EWT)
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


def info_table(encoding: str | None = None) -> Table:
    """Build, machine and data, one fact a line; for an output of that encoding."""
    build = build_info()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    facts = {
        "normlab": f"{build['version']}, {build['compiler']}",
        "processor": processor(),
        "vector instructions": ", ".join(vector_instructions()) or "none of interest",
        "instruction set": f"{build['isa']} kernels",
        "oneDNN": str(build["onednn"]),
        "threads": str(build["threads"]),
        "CUDA": "yes" if build["cuda"] else f"no: {build['cuda_reason']}",
        "NORMLAB_DATA": os.environ.get("NORMLAB_DATA") or "not set",
        "cache": str(cache_folder()),
        **{source.name: whereabouts(source) for source in _SOURCES},
    }
    for name, text in facts.items():
        table.add_row(name, Text(plain(one_line(text), encoding)))
    return table


def whereabouts(source: Source) -> str:
    """Where that data set would be read from."""
    try:
        folders = local_folders(source)
    except Error as error:
        return str(error)
    if folders:
        return f"{folders[0][1]} ({folders[0][0]})"
    if is_cached(source):
        return f"cache ({cache_folder() / source.folder})"
    return f"not on this machine; will be downloaded from {source.urls[0]}"
