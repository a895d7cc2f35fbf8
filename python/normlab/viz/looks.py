"""How variants look in every figure, and the style of all figures."""

from typing import Any

from .. import norm_variants

COLOURS = {
    "none": "#8b8f98",
    "layernorm": "#3b82c4",
    "layernorm_simple": "#2aa198",
    "adanorm": "#e07b39",
    "detachnorm": "#b565c9",
}
"""Colours of the paper's variants in every picture; readable on white and on near-black."""

MORE_COLOURS = (
    "#c9a227",
    "#d1495b",
    "#6c8f3a",
    "#7d6cc9",
    "#c06c9a",
    "#4f9dbd",
    "#a0764f",
    "#5aa469",
)
"""Colours of all other variants, in this order."""

# Variants have these in the order of the engine's table. Lines and markers tell them apart where
# colours do not.
_LINES: tuple[Any, ...] = ((0, (1, 1)), "solid", (0, (5, 2)), (0, (6, 2, 1, 2)))
_MARKERS = "xosv<>Dph^PdHX1234"
_OWN = {"color": "#22262e", "linestyle": "solid", "marker": "*"}  # variants of the user's own


# Any: matplotlib's stubs want a dict of its own parameters' names, and not every version does.
def style(*, ink: str = "#22262e", faint: str = "#dfe2e8", paper: str = "#ffffff") -> Any:
    """Matplotlib's settings for the figures of notebooks and reports.

    For ``plt.style.use(nl.viz.style())``, or ``with plt.style.context(nl.viz.style()):``.

    Args:
        ink: Colour of text.
        faint: Of the grid.
        paper: Of the ground.

    Returns:
        dict: rcParams by name.

    Example:
        >>> nl.viz.style(ink="black")["text.color"]
        'black'
    """
    colours = [*list(COLOURS.values())[1:], *MORE_COLOURS[:3], COLOURS["none"]]
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor")
    return {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,  # text that can be searched
        "svg.hashsalt": "normlab",
        **dict.fromkeys((*inked, "xtick.color", "ytick.color"), ink),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor"), paper),
        "figure.figsize": (7.2, 3.6),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": faint,
        "grid.linewidth": 0.7,
        **{f"axes.spines.{side}": False for side in ("top", "right", "left")},
        **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
        "axes.prop_cycle": f"cycler(color={colours})"
        " + cycler(linestyle=['-', '--', '-.', ':', '-', '--', '-.', ':'])",
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "legend.frameon": False,
        "image.cmap": "cividis",
    }


def look(variant: str, *, marker: bool = True) -> dict[str, Any]:
    """Keyword arguments for ``ax.plot`` that draw a variant the same way in every figure.

    Args:
        variant: One of ``nl.norm_variants()``. Any other name is the user's own variant, drawn in
            the colour of text.
        marker: Whether points are marked.

    Example:
        >>> nl.viz.look("adanorm")["label"]
        'adanorm'
    """
    known = norm_variants()
    found = _OWN
    if variant in known:
        place = known.index(variant)
        found = {
            "color": COLOURS.get(variant, MORE_COLOURS[place % len(MORE_COLOURS)]),
            "linestyle": _LINES[place % len(_LINES)],
            "marker": _MARKERS[place % len(_MARKERS)],
        }
    return {name: value for name, value in found.items() if marker or name != "marker"} | {
        "label": variant
    }
