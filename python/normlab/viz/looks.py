"""The look of every variant in figures, and the style of all figures."""

from typing import Any

from .._core import norm_variants

COLOURS = {
    "none": "#8b8f98",
    "layernorm": "#3b82c4",
    "layernorm_simple": "#2aa198",
    "adanorm": "#e07b39",
    "detachnorm": "#b565c9",
}
"""The paper's variants keep these in every picture; readable on white and on near-black."""

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
"""For all else, in this order."""

_DASHES: dict[str, Any] = {"dashed": (0, (5, 2)), "dashdot": (0, (6, 2, 1, 2)), "dots": (0, (1, 1))}
# By variant: colour, line, marker. Lines and markers tell them apart where colours do not.
_LOOKS: dict[str, tuple[str, str, str]] = {
    "none": (COLOURS["none"], "dots", "x"),
    "layernorm": (COLOURS["layernorm"], "solid", "o"),
    "layernorm_simple": (COLOURS["layernorm_simple"], "dashed", "s"),
    "detachnorm": (COLOURS["detachnorm"], "dots", "v"),
    "detach_mean": (MORE_COLOURS[3], "dashed", "<"),
    "detach_std": (MORE_COLOURS[4], "dashdot", ">"),
    "adanorm": (COLOURS["adanorm"], "dashdot", "D"),
    "gradnorm": (MORE_COLOURS[2], "dashed", "p"),
    "topk": (MORE_COLOURS[5], "dashed", "h"),
    "gain_only": (MORE_COLOURS[0], "dashed", "^"),
    "bias_only": (MORE_COLOURS[1], "dashdot", "P"),
    "rmsnorm": (MORE_COLOURS[6], "solid", "d"),
    "rmsnorm_simple": (MORE_COLOURS[6], "dashed", "d"),
    "scalenorm": (MORE_COLOURS[7], "dashdot", "H"),
    "dyt": (MORE_COLOURS[2], "dots", "X"),
    "batchnorm": (MORE_COLOURS[5], "solid", "1"),
    "groupnorm": (MORE_COLOURS[3], "dashdot", "2"),
    "instancenorm": (MORE_COLOURS[4], "dots", "3"),
}
_LINES = ("solid", "dashed", "dashdot", "dots")
_MARKERS = ("8", "4", "+", "|", "_")  # of none of the above


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
    """
    colours = [*list(COLOURS.values())[1:], *MORE_COLOURS[:3], COLOURS["none"]]
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor")
    return {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "svg.fonttype": "none",
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


def _derived(variant: str) -> tuple[str, str, str]:
    """Colour, line and marker of a variant without a look of its own: by its place in the table."""
    others = [name for name in norm_variants() if name not in _LOOKS]
    if variant not in others:
        return "#22262e", "solid", "*"
    place = others.index(variant)
    colour = MORE_COLOURS[place % len(MORE_COLOURS)]
    return colour, _LINES[place % len(_LINES)], _MARKERS[place % len(_MARKERS)]


def look(variant: str, *, marker: bool = True) -> dict[str, Any]:
    """The look of a variant: keyword arguments for ``ax.plot``, its label among them.

    Args:
        variant: One of ``nl.norm_variants()``; any other name is that of a variant of one's own,
            which has the colour of text.
        marker: Whether points are marked.
    """
    colour, line, mark = _LOOKS.get(variant) or _derived(variant)
    return {
        "color": colour,
        "linestyle": _DASHES.get(line, line),
        "label": variant,
        **({"marker": mark} if marker else {}),
    }
