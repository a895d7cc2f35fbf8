"""A tree in lines of text, and its arcs in words."""

from collections.abc import Sequence

from ..parse import Word
from .arcs import LEGEND, MISSING, WRONG, Arc
from .layout import tag_of
from .lettering import cell_width, shown


def in_words(words: Sequence[Word], arcs: Sequence[Arc]) -> str:
    """The arcs for those who do not see them."""
    if not arcs:
        return "No arcs: the heads are not known."
    told = []
    for arc in arcs:
        kind = f" ({LEGEND[arc.kind]})" if arc.kind else ""
        form = shown(words[arc.dependent - 1].form)
        head = f" of {arc.head} {shown(words[arc.head - 1].form)}" if arc.head else ""
        label = arc.label or "dependent"
        told.append(f"{arc.dependent} {form}: {label}{head}{kind}")
    return "; ".join(told) + "."


# Box-drawing characters by what meets in them: up 1, down 2, left 4, right 8.
_BOXES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_WIDEST = 120  # columns for arcs


def in_text(words: Sequence[Word], arcs: Sequence[Arc], levels: Sequence[int]) -> str:
    """A word a line, with its arcs right of it and its relation at the end."""
    ends = [""] * len(words)
    for arc in sorted(arcs, key=lambda arc: arc.kind == MISSING):
        relation = f"{arc.label or '_'} of {arc.head}" if arc.head else arc.label
        mark = {WRONG: "  !", MISSING: "  compared: "}.get(arc.kind, "  ")
        ends[arc.dependent - 1] += mark + relation
    columns = [
        [str(number) for number in range(1, len(words) + 1)],
        [shown(word.form) for word in words],
        [shown(tag_of(word)) for word in words],
        _boxes(len(words), arcs, levels),
    ]
    widths = [max(map(cell_width, column), default=0) for column in columns]
    lines = []
    for row, end in zip(zip(*columns, strict=True), ends, strict=True):
        padded = (part + " " * (w - cell_width(part)) for part, w in zip(row, widths, strict=True))
        lines.append((" ".join(padded) + end).rstrip())
    return "\n".join(lines)


def _boxes(words: int, arcs: Sequence[Arc], levels: Sequence[int]) -> list[str]:
    """The arcs of `sentence` as lines of text; nothing where no terminal is wide enough."""
    shown = [(arc, level) for arc, level in zip(arcs, levels, strict=True) if arc.head]
    shown = [(arc, level) for arc, level in shown if arc.kind != MISSING]
    width = max((level for _, level in shown), default=0)
    if width > _WIDEST:
        return [""] * words
    rows = [[0] * width for _ in range(words)]
    starts = [" "] * words
    for arc, level in shown:
        for word, turn in ((arc.left, _DOWN), (arc.right, _UP)):
            row = rows[word - 1]
            row[: level - 1] = [box | _LEFT | _RIGHT for box in row[: level - 1]]
            row[level - 1] |= _LEFT | turn
            starts[word - 1] = "─" if starts[word - 1] == " " else starts[word - 1]
        for word in range(arc.left + 1, arc.right):
            rows[word - 1][level - 1] |= _UP | _DOWN
        starts[arc.dependent - 1] = "←"
    lines = ("".join(_BOXES[box] for box in row) for row in rows)
    return [start + line for start, line in zip(starts, lines, strict=True)]
