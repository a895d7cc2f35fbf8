# ruff: noqa: RUF001  (dash; Greek)
"""The directive ``variants``: the table of norm variants, from the engine's own traits."""

from collections.abc import Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import normlab as nl
from normlab.norm_formulas import formulas

HEADINGS = ("variant", "y", "z", "dx", "statistics over", "constant in backward", "learned")


def constants(name: str) -> str:
    """The values that are constants in the backward pass."""
    traits = nl.norm_traits(name)
    found = []
    if traits["scale"] == "std" and not traits["grad_mean"]:
        found.append("μ")
    if traits["scale"] != "none" and not traits["grad_scale"]:
        found.append("σ")
    found += {"adaptive": ["φ"], "residual": ["the x that is added"]}.get(traits["output"], [])
    return ", ".join(found) or "–"


def parameters(name: str) -> str:
    """The learned parameters."""
    channels = nl.norm_traits(name)["group"] in ("channels", "channel")
    layer = nl.nn.Norm(name, (4, 2) if channels else 4)
    return ", ".join(name for name, _ in layer.named_parameters()) or "–"


def rows() -> list[tuple[str, ...]]:
    """A row for each of nl.norm_variants()."""
    return [(*row, constants(row[0]), parameters(row[0])) for row in formulas()]


class Variants(SphinxDirective):
    """The table."""

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        group = nodes.tgroup(cols=len(HEADINGS))
        group += [nodes.colspec(colwidth=1) for _ in HEADINGS]
        group += nodes.thead("", _row(HEADINGS))
        group += nodes.tbody("", *[_row(row) for row in rows()])
        return [nodes.table("", group, classes=["variants"])]


def _row(cells: Sequence[str]) -> nodes.row:
    texts = [nodes.paragraph("", cell) for cell in cells]
    if cells is not HEADINGS:
        texts[0] = nodes.paragraph("", "", nodes.literal("", cells[0]))
    return nodes.row("", *[nodes.entry("", text) for text in texts])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("variants", Variants)
    return {"parallel_read_safe": True}
