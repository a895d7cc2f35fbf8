"""The picture of what a probe has recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._core import ArgumentError, NormRecord
from .._text_format import shortened_in_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .figures import Picture

_SHARE = "mean of a row / its deviation"
_VARIANCE = "variance of a row"
_MOST_LETTERS = 40  # of a layer's name
_TINY = 1e-12  # stands for zero on a logarithmic scale


def probed(records: Sequence[NormRecord]) -> "Figure":
    """Draws what each norm did to the gradient: what arrives, dL/dz, beside what leaves, dL/dx.

    On the left the mean of a row beside its deviation, which re-centring makes zero; on the right
    the variance of a row, which re-scaling divides by that of x and shrinks. One step is drawn with
    a line a layer, several as maps, layer by step.

    Args:
        records: Of ``nl.probe``; those without a gradient are left out.

    Returns:
        The figure, which a notebook shows where it ends a cell.

    Raises:
        ArgumentError: There is no record, or none has a gradient.

    Example:
        >>> net = nl.nn.Sequential(nl.nn.Linear(4, 8), nl.nn.Norm("layernorm", 8))
        >>> with nl.probe(net) as probe:
        ...     net(nl.randn((16, 4))).backward(nl.randn((16, 8)))
        ...     probe.next_step()
        >>> figure = nl.viz.probed(probe.records)
    """
    from .settings import settings

    if not records:
        raise ArgumentError(
            "probed: there is no record: call the model inside `with`; compiled code calls no hooks"
        )
    found = [record for record in records if record.has_gradient]
    if not found:
        raise ArgumentError(
            "probed: no record has a gradient: call backward() inside `with nl.probe(net)`"
        )
    layers = list(dict.fromkeys(record.layer for record in found))
    steps = sorted({record.step for record in found})
    with settings():
        from .figures import fit

        figure = _dumbbells(found, layers) if len(steps) == 1 else _maps(found, layers, steps)
        fit(figure)
        return figure


def _share(moments: Any) -> float:
    return float(max(moments.row_mean / max(moments.row_var, 1e-300) ** 0.5, _TINY))


def _variance(moments: Any) -> float:
    return float(max(moments.row_var, 1e-300))


def _dumbbells(records: Sequence[NormRecord], layers: Sequence[str]) -> "Picture":
    from .figures import Picture

    figure = Picture((7.6, 1.3 + 0.3 * len(layers)))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, title, value in zip(axes, (_SHARE, _VARIANCE), (_share, _variance), strict=True):
        for record in records:
            y = layers.index(record.layer)
            before, after = value(record.dz), value(record.dx)
            ax.plot([before, after], [y, y], color="#8b8f98", linewidth=1, linestyle="-")
            ax.plot(before, y, "o", color="#22262e", fillstyle="none", label="arrives, dL/dz")
            ax.plot(after, y, "o", color="#22262e", label="leaves, dL/dx")
        _name_layers(ax, layers)
        ax.set(xscale="log", title=title)
    axes[0].set_ylabel("layer")
    _legend(figure, axes[0])
    return figure


def _legend(figure: "Figure", ax: "Axes") -> None:
    handles, names = ax.get_legend_handles_labels()
    first = dict(reversed(list(zip(names, handles, strict=True))))
    figure.legend(
        list(first.values())[::-1], list(first)[::-1], loc="outside lower center", ncols=2
    )


def _name_layers(ax: "Axes", layers: Sequence[str]) -> None:
    names = [shortened_in_front(layer, _MOST_LETTERS) for layer in layers]
    ax.set_yticks(range(len(layers)), names, parse_math=False)
    ax.set_ylim(len(layers) - 0.5, -0.5)


def _maps(records: Sequence[NormRecord], layers: Sequence[str], steps: Sequence[int]) -> "Picture":
    import numpy as np
    from matplotlib.colors import LogNorm

    from .figures import Picture

    figure = Picture((8.2, 1.8 + 0.36 * len(layers)))
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for column, (title, value) in enumerate(((_SHARE, _share), (_VARIANCE, _variance))):
        maps = np.full((2, len(layers), len(steps)), np.nan)
        for record in records:
            y, x = layers.index(record.layer), steps.index(record.step)
            maps[0, y, x], maps[1, y, x] = value(record.dz), value(record.dx)
        scale = LogNorm(np.nanmin(maps), np.nanmax(maps))
        for ax, values in zip(axes[:, column], maps, strict=True):
            image = ax.pcolormesh(steps, range(len(layers)), values, norm=scale)
            ax.grid(False)
            _name_layers(ax, layers)
        figure.colorbar(image, ax=axes[:, column], label=title)
        axes[0, column].set_title("arrives, dL/dz")
        axes[1, column].set_title("leaves, dL/dx")
        axes[1, column].set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("layer")
    return figure
