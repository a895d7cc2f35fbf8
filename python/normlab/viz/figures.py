"""Figures whose look is normlab's, wherever and whenever they are drawn, and whose text fits."""

import io
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from .settings import settings

with settings():  # the first import reads the user's settings
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["Picture", "fit", "jutting"]

_ROUNDING = 1.0  # pixels that text may be measured too wide
_ATTEMPTS = 4  # wrapped text moves what is around it
_SHORTEST = 12  # letters of a line


class Picture(Figure):
    """A figure that is drawn under the settings that it was made with; notebooks show it.

    Args:
        size: In inches.
        look: Arguments of settings().
        options: Figure's.
    """

    def __init__(
        self,
        size: tuple[float, float],
        look: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        super().__init__(figsize=size, **options)
        self._look = dict(look or {})
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """See Figure."""
        with settings(**self._look):
            super().draw(renderer)

    def file(self, form: str, **options: Any) -> bytes:
        """The picture as a file of that format."""
        out = io.BytesIO()
        with settings(**self._look):
            self.savefig(out, format=form, **options)
        return out.getvalue()

    def _repr_png_(self) -> bytes:
        return self.file("png", dpi=self.dpi)


def fit(figure: Figure) -> None:
    """Breaks the lines of labels that would leave the picture, and of titles wider than their axes.

    Tick labels are left as they are: they are the names of what is drawn, for the caller to limit.
    """
    for _ in range(_ATTEMPTS):
        found = [(text, room) for text, room in [*jutting(figure), *_wide(figure)] if room < 1]
        if not found:
            return
        for text, room in found:
            longest = max(map(len, text.get_text().split("\n")))
            width = max(int(longest * room), _SHORTEST)
            lines = textwrap.fill(text.get_text().replace("\n", " "), width)
            text.set_text(lines)


def jutting(figure: Figure) -> list[tuple[Text, float]]:
    """Text that leaves the picture, with the share of its width that there is room for.

    The share is 1 where text is wide enough but leaves at the top or at the bottom.
    """
    figure.draw_without_rendering()
    page = figure.bbox
    found = []
    for text in _shown(figure):
        box = text.get_window_extent()
        across = box.x0 < page.x0 - _ROUNDING or box.x1 > page.x1 + _ROUNDING
        along = box.y0 < page.y0 - _ROUNDING or box.y1 > page.y1 + _ROUNDING
        if across:
            found.append((text, _room(text, box, page)))
        elif along:
            found.append((text, 1.0))
    return found


def _wide(figure: Figure) -> Iterator[tuple[Text, float]]:
    """Titles that may lie on those of other axes, with the share that there is room for."""
    for ax in figure.axes:
        title = ax.title if ax.title.get_text() else ax._left_title  # type: ignore[attr-defined]
        width = title.get_window_extent().width
        if title.get_text() and len(figure.axes) > 1:
            yield title, ax.bbox.width / width


def _room(text: Text, box: Any, page: Any) -> float:
    """How much of its width fits around its anchor."""
    place = text.get_horizontalalignment()
    if place == "center":
        middle = (box.x0 + box.x1) / 2
        room = 2 * min(middle - page.x0, page.x1 - middle)
    else:
        room = page.x1 - box.x0 if place == "left" else box.x1 - page.x0
    return float(min(max(room / box.width, 0.0), 0.99))


def _shown(figure: Figure) -> Iterator[Text]:
    """All text but that of ticks beyond the ends of their axis."""
    beyond = {
        id(label)
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not _between(tick.get_loc(), *axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in beyond:
            yield text


def _between(place: float, one: float, other: float) -> bool:
    return min(one, other) <= place <= max(one, other)
