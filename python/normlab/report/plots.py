"""The pictures: learning curves, test numbers, differences to layernorm, over-fitting."""

import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .._text_format import shortened
from ..viz import COLOURS as _COLOURS
from ..viz import MORE_COLOURS as _MORE
from ..viz import look as look_of
from .groups import BASELINE, Group, Row
from .overfitting import Pair, pairs
from .stats import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ..viz.figures import Picture

_MOST_BANDS = 8  # more of them hide the lines
_MARKERS = 5  # on a curve
_AGAIN = ("*", "8", "p")  # markers of further rows of a variant, with another C
_MOST_LETTERS = 30  # of a name beside an axis
_MOST_COLUMNS = 9  # of a legend
_SERIES = (
    ("train_loss", "training loss"),
    ("valid_loss", "validation loss"),
    ("valid", "validation {}"),
)
_LOSSES = {"train_loss": ("training", "--"), "valid_loss": ("validation", "-")}


@dataclass(frozen=True)
class Theme:
    """Colours of everything but the data."""

    ink: str = "#22262e"
    faint: str = "#dfe2e8"
    paper: str = "#ffffff"

    @property
    def look(self) -> dict[str, Any]:
        """Arguments of settings(). No formulas: a treebank's name may contain $."""
        return {"math": False, **asdict(self)}


def colour(row: Row, group: Group) -> str:
    """The row's colour in all of the group's pictures."""
    if _is_first(row, group) and row.norm in _COLOURS:
        return _COLOURS[row.norm]
    return _MORE[_others(group).index(row.name) % len(_MORE)]


def _shape(row: Row, group: Group) -> dict[str, Any]:
    """Line and marker, which tell variants apart without colours."""
    if _is_first(row, group):
        found = look_of(row.norm)
        return {"linestyle": found["linestyle"], "marker": found["marker"]}
    again = [other for other in group.rows if other.norm == row.norm].index(row)
    return {"linestyle": "-", "marker": _AGAIN[again % len(_AGAIN)]}


def _is_first(row: Row, group: Group) -> bool:
    """True for the first row of its variant. adanorm has several rows if it has several C."""
    return next(other for other in group.rows if other.norm == row.norm) is row


def _others(group: Group) -> list[str]:
    """Names of the rows without a colour of their own."""
    return [row.name for row in group.rows if not (_is_first(row, group) and row.norm in _COLOURS)]


def curves(ax: "Axes", group: Group, series: str) -> None:
    """Mean over seeds by epoch; the band spans the seeds."""
    for i, row in enumerate(group.rows):
        runs = row.curve(series)
        step = max(1, max(map(len, runs)) // _MARKERS)
        style = {"label": row.name, "markevery": (i % step, step), **_shape(row, group)}
        banded = len(group.rows) <= _MOST_BANDS
        _mean_curve(ax, runs, colour(row, group), banded, style)
    _by_epochs(ax, "epoch", logarithmic=series.endswith("loss"))


def pair_curves(ax: "Axes", group: Group, pair: Pair, series: Sequence[str]) -> None:
    """Losses of layernorm and of one variant, marked by dots; the bands span the seeds.

    The axis is linear, so that the gap is a distance, and equal for all pairs of the group.
    """
    for row in pair.rows:
        for name in series:
            loss, line = _LOSSES[name]
            one = len(series) == 1
            style = {
                "linestyle": "-" if one else line,
                "label": row.name if one else f"{row.name}, {loss}",
                **({"marker": "o"} if row is pair.row else {}),
            }
            _mean_curve(ax, pair.curves(row, name), colour(row, group), True, style)
    runs = [
        run
        for other in pairs(group)
        for row in other.rows
        for name in series
        for run in other.curves(row, name)
    ]
    ax.update_datalim([(max(map(len, runs)), end(map(end, runs))) for end in (min, max)])
    ax.autoscale_view()
    _by_epochs(ax, f"epoch ({pair.averaged})", logarithmic=False)


def _mean_curve(
    ax: "Axes",
    runs: Sequence[Sequence[float | None]],
    shade: str,
    banded: bool,
    style: Mapping[str, Any],
) -> None:
    means, lows, highs = _by_epoch(runs)
    epochs = range(1, len(means) + 1)
    if banded and len(runs) > 1:
        ax.fill_between(epochs, lows, highs, color=shade, alpha=0.13, linewidth=0)
    marker = {"marker": "o" if len(means) < 4 else None}
    ax.plot(epochs, means, color=shade, linewidth=1.8, markersize=3.5, **(marker | dict(style)))


def _by_epochs(ax: "Axes", label: str, logarithmic: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    if logarithmic:
        _logarithmic(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first, last = ax.get_xlim()
    if last - first < 1:  # one epoch: else ticks at fractions of it
        ax.set_xlim(0.5, 1.5)
    ax.set_xlabel(label)


def _by_epoch(runs: Sequence[Sequence[float | None]]) -> tuple[list[float], ...]:
    """Mean, least and greatest over the runs that reached each epoch."""
    columns = [[run[i] for run in runs if i < len(run)] for i in range(max(map(len, runs)))]
    finite = [[x for x in column if x is not None] or [math.nan] for column in columns]
    return (
        [statistics.fmean(c) for c in finite],
        [min(c) for c in finite],
        [max(c) for c in finite],
    )


def _logarithmic(ax: "Axes") -> None:
    """A few ticks a decade, written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    subs = (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def tests(ax: "Axes", group: Group) -> None:
    """A small dot a seed, the mean with its interval, the authors' number as a hollow diamond."""
    for i, row in enumerate(group.rows):
        shade = colour(row, group)
        values = list(row.tests.values())
        ax.scatter(values, [i + 0.24] * len(values), s=14, color=shade, alpha=0.75, linewidths=0)
        _interval(ax, i, row.test, row, group)
    label = f"test {group.metric}"
    if group.has_authors and not group.limits:  # else theirs is another experiment
        _diamonds(ax, [group.authors(row) for row in group.rows])
        label += " (◇ authors)"
    _variants(ax, group)
    ax.set_xlabel(label)


def _diamonds(ax: "Axes", numbers: Sequence[float | None]) -> None:
    found = {i: x for i, x in enumerate(numbers) if x is not None and not math.isnan(x)}
    ink = ax.xaxis.label.get_color()
    ax.scatter(
        [*found.values()], [*found], s=46, marker="D", facecolors="none", edgecolors=ink, lw=1.1
    )


def differences(ax: "Axes", group: Group) -> None:
    """Paired differences to layernorm with their intervals, around zero."""
    ax.axvline(0, color=ax.xaxis.label.get_color(), linewidth=0.9, alpha=0.6)
    for i, row in enumerate(group.rows):
        if (difference := group.difference(row)) is not None:
            _interval(ax, i, difference, row, group)
    _variants(ax, group)
    unit = "points" if group.first["unit"] == "%" else group.first["unit"] or group.first["metric"]
    ax.set_xlabel(f"difference to {BASELINE}, paired by seed ({unit})")


def _interval(ax: "Axes", y: int, value: Estimate, row: Row, group: Group) -> None:
    ax.errorbar(
        [value.mean],
        [y],
        xerr=None if value.half is None else [value.half],
        fmt=_shape(row, group)["marker"],
        color=colour(row, group),
        markersize=6,
        elinewidth=2.2,
        capsize=4,
        capthick=1.6,
    )


def _variants(ax: "Axes", group: Group) -> None:
    names = [shortened(row.name, _MOST_LETTERS) for row in group.rows]
    ax.set_yticks(range(len(group.rows)), names)
    ax.set_ylim(len(group.rows) - 0.4, -0.6)


def curves_figure(groups: Sequence[Group], theme: Theme | None = None) -> "Picture":
    """curves.png: a row of learning curves and test numbers for each group."""
    from ..viz.figures import Picture, fit
    from ..viz.settings import settings

    look = (theme or Theme()).look
    with settings(**look):
        figure = Picture((16, 4.7 * len(groups)), look, layout="constrained")
        for part, group in zip(
            figure.subfigures(len(groups), 1, squeeze=False)[:, 0], groups, strict=True
        ):
            part.suptitle(_title(group), x=0.01, ha="left", fontsize=13, fontweight="bold")
            axes = part.subplots(1, len(_SERIES) + 1)
            for ax, (series, name) in zip(axes, _SERIES, strict=False):
                curves(ax, group, series)
                ax.set_title(name.format(group.first["metric"]))
            tests(axes[-1], group)
            axes[-1].set_title(f"test {group.first['metric']}")
            _legend(part, axes[0])
        fit(figure)
        return figure


def overfitting_figure(groups: Sequence[Group], theme: Theme | None = None) -> "Picture | None":
    """overfitting.png, as the paper draws it: training and validation loss of two variants.

    Two pairs a row, under each group's title; None if no group has a pair.
    """
    found = [(group, pairs(group)) for group in groups if pairs(group)]
    if not found:
        return None
    from ..viz.figures import Picture, fit
    from ..viz.settings import settings

    heights = [4.4 * math.ceil(len(several) / 2) for _, several in found]
    across = min(2, max(len(several) for _, several in found))
    look = (theme or Theme()).look
    with settings(**look):
        figure = Picture((8 * across, sum(heights)), look, layout="constrained")
        parts = figure.subfigures(len(found), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (group, several) in zip(parts, found, strict=True):
            title = f"Over-fitting: {group.title}"
            part.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
            places = part.subfigures(math.ceil(len(several) / 2), across, squeeze=False)
            for place, pair in zip(places.flat, several, strict=False):
                _draw_pair(place, group, pair)
        fit(figure)
        return figure


def _draw_pair(place: "SubFigure", group: Group, pair: Pair) -> None:
    axes = place.subplots(1, len(_LOSSES))
    for ax, (series, (loss, _)) in zip(axes, _LOSSES.items(), strict=True):
        pair_curves(ax, group, pair, [series])
        ax.set_title(f"{loss} loss")
    _legend(place, axes[0])


def _legend(part: "SubFigure", ax: "Axes") -> None:
    """Adds a legend below the part, in as many columns as fit."""
    handles, names = ax.get_legend_handles_labels()
    for columns in range(min(len(names), _MOST_COLUMNS), 0, -1):
        legend = part.legend(
            handles, names, loc="outside lower center", frameon=False, ncols=columns
        )
        if columns == 1 or legend.get_window_extent().width < 0.98 * part.bbox.width:
            return
        legend.remove()


def png(figure: "Figure") -> bytes:
    """The figure as a file: a Picture with normlab's settings, any other with the user's."""
    from ..viz.figures import Picture

    if isinstance(figure, Picture):
        return figure.file("png", dpi=120)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def _title(group: Group) -> str:
    seeds = len(group.seeds)
    return f"{group.title}: {'one seed' if seeds == 1 else f'{seeds} seeds'}"


@dataclass(frozen=True)
class Panel:
    """A single picture of the page."""

    title: str
    draw: Callable[["Axes"], None]
    size: tuple[float, float]
    wide: bool = False
    named: bool = True  # the picture itself names its variants


def panels(group: Group) -> list[Panel]:
    """The page's pictures: test numbers, differences, learning curves."""
    size = (4.5, 0.9 + 0.34 * len(group.rows))  # letters large enough on a phone
    metric = group.first["metric"]
    found = [Panel(f"Test {metric}", partial(tests, group=group), size, wide=True)]
    if any(group.difference(row) for row in group.rows):
        found.append(
            Panel(f"Difference to {BASELINE}", partial(differences, group=group), size, wide=True)
        )
    for series, name in _SERIES:
        title = name[0].upper() + name[1:].format(metric)
        draw = partial(curves, group=group, series=series)
        found.append(Panel(title, draw, (3.4, 2.6), named=False))
    return found


def overfitting_panels(group: Group) -> list[Panel]:
    """A picture for each pair: training and validation loss of layernorm and a variant."""

    def draw(ax: "Axes", pair: Pair) -> None:
        pair_curves(ax, group, pair, list(_LOSSES))
        ax.set_ylabel("loss")
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.45, -0.2),
            ncols=2,
            frameon=False,
            fontsize=9,
            handlelength=1.7,
            columnspacing=1.2,
        )

    return [
        Panel(f"Over-fitting: {pair.name}", partial(draw, pair=pair), (4.5, 3.7), wide=True)
        for pair in pairs(group)
    ]


def panel_svg(panel: Panel, theme: Theme) -> str:
    """The panel as an <svg> element, without a title: the page has that."""
    from ..viz.settings import settings

    with settings(**theme.look):
        svg = panel_figure(panel, theme).file("svg", metadata={"Date": None}).decode()
    return svg[svg.index("<svg") :]


def panel_figure(panel: Panel, theme: Theme) -> "Picture":
    """The panel on a transparent ground."""
    from ..viz.figures import Picture, fit
    from ..viz.settings import settings

    with settings(**theme.look):
        figure = Picture(panel.size, theme.look, layout="constrained")
        figure.patch.set_alpha(0)
        ax = figure.subplots()
        ax.patch.set_alpha(0)
        panel.draw(ax)
        fit(figure)
        return figure
