"""Pictures for notebooks and pages: dependency trees, a probe's records, the style of all figures.

>>> nl.viz.tree(sentence)                      # in a notebook: the drawing
>>> nl.viz.tree(parsed, compare=gold).save("tree.svg")
>>> nl.viz.probed(probe.records)               # what norms did to the gradient, layer by layer
>>> plt.style.use(nl.viz.style())              # every figure after it
>>> ax.plot(losses, **nl.viz.look("adanorm"))  # a variant looks the same in every figure
"""

import contextlib
import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from ._core import ArgumentError, DtypeError, FileError
from ._probed import probed
from .parse import Sentence, Word

__all__ = ["COLOURS", "MORE_COLOURS", "TreeDrawing", "look", "probed", "style", "tree"]

# --- figures -------------------------------------------------------------------------------------

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


def look(variant: str, *, marker: bool = True) -> dict[str, Any]:
    """How a variant is drawn: keyword arguments for ``ax.plot``, its label among them.

    Args:
        variant: One of ``nl.norm_variants()``; any other name is that of a variant of one's own,
            which has the colour of text.
        marker: Whether points are marked.
    """
    colour, line, mark = _LOOKS.get(variant, ("#22262e", "solid", "*"))
    return {
        "color": colour,
        "linestyle": _DASHES.get(line, line),
        "label": variant,
        **({"marker": mark} if marker else {}),
    }


# --- trees ---------------------------------------------------------------------------------------

# Pixels. Sizes of type; then distances.
_FORM, _TAG, _LABEL = 15, 11, 11
_MARGIN = 10.0
_GAP = 16.0  # between two words
_FIRST = 24.0  # from the words to the lowest arcs
_STEP = 20.0  # from arcs to the arcs above: room for a label
_CORNER = 6.0
_HEAD = (3.2, 7.0)  # half the width and the length of an arrow's head
_PITCH = (6.5, 13.0)  # least and greatest distance of two arcs at a word
_LIFT = 4.0  # of a label above its arc
_LABEL_PAD = 4.0

# Of the reports' palette: readable on white and on near-black. Dashes and dots tell them apart
# where colours do not.
_WRONG, _MISSING = "wrong", "missing"
_LINES = {
    "": 'stroke="currentColor" stroke-opacity="0.6" stroke-width="1.2"',
    _WRONG: 'stroke="#d1495b" stroke-width="1.7" stroke-dasharray="7 3"',
    # Dots are round ends, as a style: any sheet of the page is stronger than an attribute.
    _MISSING: 'stroke="#3b82c4" stroke-width="2" style="stroke-linecap: round" '
    'stroke-dasharray="0.1 4"',
}
_FILLS = {
    "": 'fill="currentColor"',
    _WRONG: 'fill="#d1495b" font-weight="bold"',
    _MISSING: 'fill="#3b82c4" font-weight="bold"',
}
_LEGEND = {_WRONG: "only in this tree", _MISSING: "only in the one it is compared with"}
_SWATCH = 34.0  # a line of the legend with its space

# What XML forbids or a page may not show, and what would turn the direction of the text after it.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


# --- what is returned ----------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class TreeDrawing:
    """A drawn dependency tree. Notebooks show it; in a terminal it is text.

    Attributes:
        svg: The picture, a whole SVG document.
        text: The same in lines of text, a word a line: its number, form and tag, its arcs, its
            relation and its head's number; after "!" what ``compare`` does not have.
        title: The sentence.
    """

    svg: str
    text: str
    title: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture, whole or not at all.

        Args:
            path: Ends with .svg, or with .html for a page.

        Raises:
            ArgumentError: The path ends otherwise.
            FileError: It cannot be written.
        """
        path = Path(path)
        makers = {".svg": lambda: self.svg + "\n", ".html": self._page}
        if path.suffix.lower() not in makers:
            raise ArgumentError(f"save: the path must end with .svg or .html, got '{path}'")
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(makers[path.suffix.lower()](), encoding="utf-8", newline="\n")
            os.replace(part, path)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            with contextlib.suppress(OSError, ValueError):
                part.unlink()
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"{path}: cannot be written: {reason}") from error

    def _page(self) -> str:
        return f"""<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(self.title)}</title>
<style>
body {{ margin: 1.5rem; background: #fff; color: #22262e; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14161a; color: #e4e6ea; }} }}
</style>
</head>
<body>
{self._repr_html_()}
</body>
</html>
"""

    # Both: a notebook shows the first it knows. Pages take HTML, where the picture has the page's
    # colours and can be scrolled; exports to PDF take SVG.
    def _repr_html_(self) -> str:
        return f'<div dir="ltr" tabindex="0" style="overflow-x: auto">{self.svg}</div>'

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def tree(sentence: Sentence, *, compare: Sentence | None = None) -> TreeDrawing:
    """Draws a dependency tree: words with their tags, and above them the arcs to the dependents.

    A word whose head is not known has no arc. Any heads are drawn, if they are words: trees with
    crossing arcs, several roots, cycles.

    Args:
        sentence: The words and their heads.
        compare: Another analysis of the same words, such as the treebank's. Arcs that only
            ``sentence`` has are then dashed, arcs that only this one has are dotted.

    Returns:
        The drawing, which a notebook shows; ``.svg`` is its SVG, ``.save(path)`` writes it.

    Raises:
        ArgumentError: A head is no other word of the sentence, or the words of ``compare`` differ.
        DtypeError: An argument is no Sentence.
    """
    arcs = _arcs(sentence, "sentence")
    if compare is not None:
        arcs = _compared(arcs, _arcs(compare, "compare"))
        _check_same_words(sentence.forms, compare.forms)
    words, title = sentence.words, _clean(sentence.text)
    levels = _levels(arcs, len(words))
    svg = _svg(_Layout(words, arcs, levels), title, _in_words(words, arcs))
    return TreeDrawing(svg, _in_text(words, arcs, levels), title)


# --- arcs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arc:
    """An arc from a head (0: the root) to its dependent."""

    head: int
    dependent: int
    label: str
    kind: str = ""

    @property
    def left(self) -> int:
        return min(self.head, self.dependent)

    @property
    def right(self) -> int:
        return max(self.head, self.dependent)


def _arcs(sentence: Sentence, name: str) -> list[_Arc]:
    if not isinstance(sentence, Sentence):
        raise DtypeError(f"tree: {name} must be a Sentence, is {type(sentence).__name__}")
    arcs = []
    heads, deprels = sentence.heads, sentence.deprels
    for number, (head, deprel) in enumerate(zip(heads, deprels, strict=True), 1):
        if head is None:
            continue
        if head == number or head > len(heads):
            raise ArgumentError(
                f"tree: {name}: the head of word {number} must be 0 or another word of "
                f"{len(heads)}, is {head}"
            )
        label = deprel if deprel != "_" else "" if head else "root"
        arcs.append(_Arc(head, number, _clean(label)))
    return arcs


def _compared(ours: Sequence[_Arc], theirs: Sequence[_Arc]) -> list[_Arc]:
    """All arcs of both, by dependents; those of one alone are marked."""
    common = set(ours) & set(theirs)
    arcs = [arc if arc in common else replace(arc, kind=_WRONG) for arc in ours]
    arcs += [replace(arc, kind=_MISSING) for arc in theirs if arc not in common]
    return sorted(arcs, key=lambda arc: arc.dependent)  # ours before theirs


def _check_same_words(ours: Sequence[str], theirs: Sequence[str]) -> None:
    if len(ours) != len(theirs):
        raise ArgumentError(
            f"tree: compare must have the sentence's {len(ours)} words, has {len(theirs)}"
        )
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True), 1):
        if our != their:
            raise ArgumentError(
                f"tree: compare must have the sentence's words, but word {number} is {their!r} "
                f"instead of {our!r}"
            )


def _levels(arcs: Sequence[_Arc], words: int) -> list[int]:
    """How high each arc lies, from 1: above all shorter ones that share a gap between words."""
    tops = [0] * (words + 1)  # the highest arc over the gap after each word; 0 is before the first
    levels = [0] * len(arcs)
    by_length = sorted(range(len(arcs)), key=lambda i: arcs[i].right - arcs[i].left)
    for i in by_length:
        arc = arcs[i]
        if arc.head:
            levels[i] = 1 + max(tops[arc.left : arc.right])
            tops[arc.left : arc.right] = [levels[i]] * (arc.right - arc.left)
    for i, arc in enumerate(arcs):
        if not arc.head:
            levels[i] = 1 + max(tops[arc.dependent - 1 : arc.dependent + 1])
    return levels


# --- layout --------------------------------------------------------------------------------------


class _Layout:
    """Where everything stands.

    Attributes:
        x: The middle of each word; that of word 1 is x[1].
        ends: By arc, where it leaves its head and where it meets its dependent.
        labels: By arc, the middle of its label.
    """

    def __init__(self, words: Sequence[Word], arcs: Sequence[_Arc], levels: Sequence[int]):
        self.words, self.arcs, self.levels = words, arcs, levels
        self.forms = [_clean(word.form) for word in words]
        self.tags = [_clean(_tag(word)) for word in words]
        self._legs: list[list[int]] = [[] for _ in range(len(words) + 1)]
        for i, arc in enumerate(arcs):
            self._legs[arc.dependent].append(i)
            if arc.head:
                self._legs[arc.head].append(i)
        self._shifts = [self._spread(word) for word in range(len(words) + 1)]
        self._tops = [max((levels[i] for i in legs), default=0) for legs in self._legs]
        self._fences: list[list[float]] = [[] for _ in arcs]
        self.x = [0.0]
        self.width = _MARGIN
        for word in range(1, len(words) + 1):
            self._place(word)
        self.ends = [
            (self._leg(i, arc.head or arc.dependent), self._leg(i, arc.dependent))
            for i, arc in enumerate(arcs)
        ]
        self.labels = [self._label(i) for i in range(len(arcs))]
        self.width = max(self.width, self.legend_width(self.kinds)) + _MARGIN

    @property
    def kinds(self) -> list[str]:
        """Kinds of arcs that the legend explains."""
        return [kind for kind in _LEGEND if any(arc.kind == kind for arc in self.arcs)]

    def legend_width(self, kinds: Sequence[str]) -> float:
        """Of the legend's first entries, with a margin before them."""
        return _MARGIN + sum(_SWATCH + _width(_LEGEND[kind], _TAG) + _GAP for kind in kinds)

    def _spread(self, word: int) -> dict[int, float]:
        """By arc at a word, its distance from the word's middle.

        Arcs to the left stand left of those to the right, and the higher an arc the nearer to the
        middle, so that none crosses another of the same word.
        """
        legs = sorted(self._legs[word], key=lambda i: self._rank(i, word))
        if not legs:
            return {}
        least, greatest = _PITCH
        pitch = min(greatest, max(least, _width(self.forms[word - 1], _FORM) / len(legs)))
        first = -pitch * (len(legs) - 1) / 2
        return {i: first + pitch * place for place, i in enumerate(legs)}

    def _rank(self, i: int, word: int) -> tuple[int, int]:
        arc = self.arcs[i]
        if not arc.head:
            return 1, i
        return (0, self.levels[i]) if arc.right == word else (2, -self.levels[i])

    def _place(self, word: int) -> None:
        """Right of the words before it, with room for the labels of arcs that end here."""
        half = max(_width(self.forms[word - 1], _FORM), _width(self.tags[word - 1], _TAG)) / 2
        before = after = half
        for i, shift in self._shifts[word].items():
            arc = self.arcs[i]
            least = _PITCH[0] / 2
            label = 0.0 if arc.head else _label_width(arc) / 2
            middle = shift + (0.0 if arc.head else self._aside(i))
            before = max(before, least - shift, label - middle)
            after = max(after, least + shift, label + middle)
        x = self.width + (_GAP if word > 1 else 0) + before
        for i, shift in self._shifts[word].items():
            if self.arcs[i].head and self.arcs[i].right == word:
                self._fences[i] = fences = self._fenced(i)
                if all(right - left < self._need(i) for left, right in pairwise(fences)):
                    x = max(x, fences[-1] + self._need(i) - shift)
        self.x.append(x)
        self.width = x + after

    def _aside(self, i: int) -> float:
        """How far a root's label stands beside its arrow: two at a word part."""
        roots = [other for other in self._legs[self.arcs[i].dependent] if not self.arcs[other].head]
        if len(roots) == 1:
            return 0.0
        half = _label_width(self.arcs[i]) / 2
        return -half if i == roots[0] else half

    def bracket(self, word: int) -> tuple[float, float] | None:
        """Over a word too narrow for its arcs, from its first to its last arc."""
        shifts = self._shifts[word].values()
        reach = max(map(abs, shifts), default=0.0)
        if reach <= _width(self.forms[word - 1], _FORM) / 2 + _PITCH[0]:
            return None
        return self.x[word] + min(shifts), self.x[word] + max(shifts)

    def _need(self, i: int) -> float:
        return max(_label_width(self.arcs[i]) + 2 * _LABEL_PAD, 2 * _CORNER + 2)

    def _fenced(self, i: int) -> list[float]:
        """Where a label must not stand: the arc's left end and the higher arcs that cross it."""
        arc = self.arcs[i]
        crossing = [
            self._leg(other, word)
            for word in range(arc.left + 1, arc.right)
            if self._tops[word] > self.levels[i]
            for other in self._shifts[word]
            if self.levels[other] > self.levels[i]
        ]
        return [self._leg(i, arc.left), *sorted(crossing)]

    def _leg(self, i: int, word: int) -> float:
        return self.x[word] + self._shifts[word][i]

    def _label(self, i: int) -> float:
        """As near to the arc's middle as other arcs let it be."""
        if not self.arcs[i].head:
            return self.ends[i][1] + self._aside(i)
        fences = [*self._fences[i], max(self.ends[i])]
        middle, half = (fences[0] + fences[-1]) / 2, self._need(i) / 2
        places = [
            min(max(middle, left + half), right - half)
            for left, right in pairwise(fences)
            if right - left >= 2 * half - 1e-6
        ]
        return min(places, key=lambda place: abs(place - middle))


def _tag(word: Word) -> str:
    return next((tag for tag in (word.upos, word.xpos) if tag != "_"), "")


def _label_width(arc: _Arc) -> float:
    return _width(arc.label, _LABEL) * (1.13 if arc.kind else 1)  # bold is wider


# Parts of an em, those of the wider common fonts.
_ASCII = {
    **dict.fromkeys(map(chr, range(32, 127)), 0.64),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.74),
    **dict.fromkeys("#+<=>^~&", 0.84),
    **dict.fromkeys("mwMW@%", 0.98),
    **dict.fromkeys('ft()[]-/\\"`r!J', 0.42),
    **dict.fromkeys("ijlI.,:;'| ", 0.33),
}


def _width(text: str, size: float) -> float:
    """An estimate of a text's width, rather too wide than too narrow."""
    return size * sum(_ASCII[c] if c in _ASCII else _em(c) for c in text)


def _em(c: str) -> float:
    category = unicodedata.category(c)
    if category in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(c) in "WF":
        return 1.35 if category == "So" else 1.02  # emoji are wider
    return {"Ll": 0.66, "Lu": 0.82, "So": 1.0, "Pd": 1.0}.get(category, 0.8)


# --- SVG -----------------------------------------------------------------------------------------


def _svg(layout: _Layout, title: str, description: str) -> str:
    top = max(layout.levels, default=0)
    base = _MARGIN + (_FIRST + (top - 1) * _STEP + _LIFT + _LABEL if top else 0)
    parts = [_arc(layout, i, base) for i in range(len(layout.arcs))]
    parts += [_word(layout, number, base) for number in range(1, len(layout.words) + 1)]
    height = base + _FORM + 5 + (_TAG + 6 if any(layout.tags) else 0) + _MARGIN
    if layout.kinds:
        parts += [_legend(layout, i, height + 12) for i in range(len(layout.kinds))]
        height += 12 + _MARGIN
    size = f"{_n(layout.width)} {_n(height)}"
    body = "\n".join(parts)
    # Names that two pictures on a page do not share.
    key = hashlib.sha256(f"{title}\n{description}\n{body}".encode()).hexdigest()[:12]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" role="img" \
aria-labelledby="nl-title-{key} nl-desc-{key}" width="{_n(layout.width)}" height="{_n(height)}" \
viewBox="0 0 {size}" style="max-width: none" font-family="system-ui, sans-serif" \
text-anchor="middle">
<title id="nl-title-{key}">{escape(title)}</title>
<desc id="nl-desc-{key}">{escape(description)}</desc>
{body}
</svg>"""


def _word(layout: _Layout, number: int, base: float) -> str:
    x, form, tag = _n(layout.x[number]), layout.forms[number - 1], layout.tags[number - 1]
    below = (
        f'<text x="{x}" y="{_n(base + _FORM + _TAG + 9)}" font-size="{_TAG}" fill="currentColor" '
        f'fill-opacity="0.7">{escape(tag)}</text>'
        if tag
        else ""
    )
    bracket = layout.bracket(number)
    above = (
        f'<path d="M{_n(bracket[0])} {_n(base)}H{_n(bracket[1])}" fill="none" {_LINES[""]}/>'
        if bracket
        else ""
    )
    return (
        f'<g class="nl-word" data-word="{number}"><text x="{x}" y="{_n(base + _FORM + 2)}" '
        f'font-size="{_FORM}" fill="currentColor" style="unicode-bidi: plaintext">'
        f"{escape(form)}</text>{below}{above}</g>"
    )


def _arc(layout: _Layout, i: int, base: float) -> str:
    arc, (start, end) = layout.arcs[i], layout.ends[i]
    y = base - _FIRST - (layout.levels[i] - 1) * _STEP
    half, length = _HEAD
    corner = _CORNER if end > start else -_CORNER
    path = f"M{_n(start)} {_n(y)}"
    if arc.head:
        path = (
            f"M{_n(start)} {_n(base)}V{_n(y + _CORNER)}"
            f"Q{_n(start)} {_n(y)} {_n(start + corner)} {_n(y)}"
            f"H{_n(end - corner)}Q{_n(end)} {_n(y)} {_n(end)} {_n(y + _CORNER)}"
        )
    head = f"M{_n(end - half)} {_n(base - length)}H{_n(end + half)}L{_n(end)} {_n(base)}Z"
    label = (
        f'<text x="{_n(layout.labels[i])}" y="{_n(y - _LIFT)}" font-size="{_LABEL}" '
        f"{_FILLS[arc.kind]}>{escape(arc.label)}</text>"
    )
    source = layout.forms[arc.head - 1] + " → " if arc.head else ""
    told = f"{arc.label}: {source}{layout.forms[arc.dependent - 1]}"
    return (
        f'<g class="nl-arc{" nl-" * bool(arc.kind)}{arc.kind}" data-head="{arc.head}" '
        f'data-dependent="{arc.dependent}"><title>{escape(told)}</title>'
        f'<path d="{path}V{_n(base - length)}" fill="none" {_LINES[arc.kind]}/>'
        f'<path d="{head}" {_FILLS[arc.kind]}/>{label if arc.label else ""}</g>'
    )


def _legend(layout: _Layout, i: int, y: float) -> str:
    kind, x = layout.kinds[i], layout.legend_width(layout.kinds[:i])
    return (
        f'<g class="nl-legend"><path d="M{_n(x)} {_n(y - 4)}h{_n(_SWATCH - 8)}" fill="none" '
        f'{_LINES[kind]}/><text x="{_n(x + _SWATCH)}" y="{_n(y)}" font-size="{_TAG}" '
        f'fill="currentColor" text-anchor="start">{escape(_LEGEND[kind])}</text></g>'
    )


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _clean(text: str) -> str:
    """With signs in the place of characters that cannot be shown."""
    return _UNFIT.sub(lambda found: _sign(ord(found[0])), text)


def _sign(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


# --- words and text ------------------------------------------------------------------------------


def _in_words(words: Sequence[Word], arcs: Sequence[_Arc]) -> str:
    """The arcs for those who do not see them."""
    if not arcs:
        return "No arcs: the heads are not known."
    told = []
    for arc in arcs:
        kind = f" ({_LEGEND[arc.kind]})" if arc.kind else ""
        form = _clean(words[arc.dependent - 1].form)
        head = f" of {arc.head} {_clean(words[arc.head - 1].form)}" if arc.head else ""
        label = arc.label or "dependent"
        told.append(f"{arc.dependent} {form}: {label}{head}{kind}")
    return "; ".join(told) + "."


# Box-drawing characters by what meets in them: up 1, down 2, left 4, right 8.
_BOXES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_WIDEST = 120  # columns for arcs


def _in_text(words: Sequence[Word], arcs: Sequence[_Arc], levels: Sequence[int]) -> str:
    """A word a line, with its arcs right of it and its relation at the end."""
    ends = [""] * len(words)
    for arc in sorted(arcs, key=lambda arc: arc.kind == _MISSING):
        relation = f"{arc.label or '_'} of {arc.head}" if arc.head else arc.label
        mark = {_WRONG: "  !", _MISSING: "  compared: "}.get(arc.kind, "  ")
        ends[arc.dependent - 1] += mark + relation
    columns = [
        [str(number) for number in range(1, len(words) + 1)],
        [_clean(word.form) for word in words],
        [_clean(_tag(word)) for word in words],
        _boxes(len(words), arcs, levels),
    ]
    widths = [max(map(_cells, column), default=0) for column in columns]
    lines = []
    for row, end in zip(zip(*columns, strict=True), ends, strict=True):
        padded = (part + " " * (w - _cells(part)) for part, w in zip(row, widths, strict=True))
        lines.append((" ".join(padded) + end).rstrip())
    return "\n".join(lines)


def _boxes(words: int, arcs: Sequence[_Arc], levels: Sequence[int]) -> list[str]:
    """The arcs of `sentence` as lines of text; nothing where no terminal is wide enough."""
    shown = [(arc, level) for arc, level in zip(arcs, levels, strict=True) if arc.head]
    shown = [(arc, level) for arc, level in shown if arc.kind != _MISSING]
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


def _cells(text: str) -> int:
    """Columns of a terminal."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
