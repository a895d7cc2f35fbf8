"""Where the words, arcs and labels of a drawn tree stand."""

from collections.abc import Sequence
from itertools import pairwise

from ..parse import Word
from .arcs import LEGEND, Arc
from .lettering import shown, text_width

# Pixels. Sizes of type; then distances.
FORM, TAG, LABEL = 15, 11, 11
MARGIN = 10.0
GAP = 16.0  # between two words
FIRST = 24.0  # from the words to the lowest arcs
STEP = 20.0  # from arcs to the arcs above: room for a label
CORNER = 6.0
HEAD = (3.2, 7.0)  # half the width and the length of an arrow's head
PITCH = (6.5, 13.0)  # least and greatest distance of two arcs at a word
LIFT = 4.0  # of a label above its arc
LABEL_PAD = 4.0
SWATCH = 34.0  # a line of the legend with its space


class TreeLayout:
    """Where everything stands.

    Attributes:
        x: The middle of each word; that of word 1 is x[1].
        ends: By arc, where it leaves its head and where it meets its dependent.
        labels: By arc, the middle of its label.
    """

    def __init__(self, words: Sequence[Word], arcs: Sequence[Arc], levels: Sequence[int]):
        self.words, self.arcs, self.levels = words, arcs, levels
        self.forms = [shown(word.form) for word in words]
        self.tags = [shown(tag_of(word)) for word in words]
        self._legs: list[list[int]] = [[] for _ in range(len(words) + 1)]
        for i, arc in enumerate(arcs):
            self._legs[arc.dependent].append(i)
            if arc.head:
                self._legs[arc.head].append(i)
        self._shifts = [self._spread(word) for word in range(len(words) + 1)]
        self._tops = [max((levels[i] for i in legs), default=0) for legs in self._legs]
        self._fences: list[list[float]] = [[] for _ in arcs]
        self.x = [0.0]
        self.width = MARGIN
        for word in range(1, len(words) + 1):
            self._place(word)
        self.ends = [
            (self._leg(i, arc.head or arc.dependent), self._leg(i, arc.dependent))
            for i, arc in enumerate(arcs)
        ]
        self.labels = [self._label(i) for i in range(len(arcs))]
        self.width = max(self.width, self.legend_width(self.kinds)) + MARGIN

    @property
    def kinds(self) -> list[str]:
        """Kinds of arcs that the legend explains."""
        return [kind for kind in LEGEND if any(arc.kind == kind for arc in self.arcs)]

    def legend_width(self, kinds: Sequence[str]) -> float:
        """Of the legend's first entries, with a margin before them."""
        return MARGIN + sum(SWATCH + text_width(LEGEND[kind], TAG) + GAP for kind in kinds)

    def _spread(self, word: int) -> dict[int, float]:
        """By arc at a word, its distance from the word's middle.

        Arcs to the left stand left of those to the right, and the higher an arc the nearer to the
        middle, so that none crosses another of the same word.
        """
        legs = sorted(self._legs[word], key=lambda i: self._rank(i, word))
        if not legs:
            return {}
        least, greatest = PITCH
        pitch = min(greatest, max(least, text_width(self.forms[word - 1], FORM) / len(legs)))
        first = -pitch * (len(legs) - 1) / 2
        return {i: first + pitch * place for place, i in enumerate(legs)}

    def _rank(self, i: int, word: int) -> tuple[int, int]:
        arc = self.arcs[i]
        if not arc.head:
            return 1, i
        return (0, self.levels[i]) if arc.right == word else (2, -self.levels[i])

    def _place(self, word: int) -> None:
        """Right of the words before it, with room for the labels of arcs that end here."""
        half = max(text_width(self.forms[word - 1], FORM), text_width(self.tags[word - 1], TAG)) / 2
        before = after = half
        for i, shift in self._shifts[word].items():
            arc = self.arcs[i]
            least = PITCH[0] / 2
            label = 0.0 if arc.head else label_width(arc) / 2
            middle = shift + (0.0 if arc.head else self._aside(i))
            before = max(before, least - shift, label - middle)
            after = max(after, least + shift, label + middle)
        x = self.width + (GAP if word > 1 else 0) + before
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
        half = label_width(self.arcs[i]) / 2
        return -half if i == roots[0] else half

    def bracket(self, word: int) -> tuple[float, float] | None:
        """Over a word too narrow for its arcs, from its first to its last arc."""
        shifts = self._shifts[word].values()
        reach = max(map(abs, shifts), default=0.0)
        if reach <= text_width(self.forms[word - 1], FORM) / 2 + PITCH[0]:
            return None
        return self.x[word] + min(shifts), self.x[word] + max(shifts)

    def _need(self, i: int) -> float:
        return max(label_width(self.arcs[i]) + 2 * LABEL_PAD, 2 * CORNER + 2)

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


def tag_of(word: Word) -> str:
    """The universal tag, else the treebank's own, else nothing."""
    return next((tag for tag in (word.upos, word.xpos) if tag != "_"), "")


def label_width(arc: Arc) -> float:
    """An estimate of the width of an arc's label."""
    return text_width(arc.label, LABEL) * (1.13 if arc.kind else 1)  # bold is wider
