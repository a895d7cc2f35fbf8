"""The arcs of a dependency tree, and how high each lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._core import ArgumentError, DtypeError
from ..parse import Sentence
from .lettering import shown

WRONG, MISSING = "wrong", "missing"
LEGEND = {WRONG: "only in this tree", MISSING: "only in the one it is compared with"}
"""The kinds of arcs beside common ones, in words."""


@dataclass(frozen=True)
class Arc:
    """An arc from a head (0: the root) to its dependent."""

    head: int
    dependent: int
    label: str
    kind: str = ""

    @property
    def left(self) -> int:
        """The number of its left word, 0 for the root."""
        return min(self.head, self.dependent)

    @property
    def right(self) -> int:
        """The number of its right word."""
        return max(self.head, self.dependent)


def arcs_of(sentence: Sentence, name: str) -> list[Arc]:
    """The arcs to all words whose head is known.

    Raises:
        ArgumentError: A head is no other word of the sentence; ``name`` is the argument's.
        DtypeError: It is no Sentence.
    """
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
        arcs.append(Arc(head, number, shown(label)))
    return arcs


def compared(ours: Sequence[Arc], theirs: Sequence[Arc]) -> list[Arc]:
    """All arcs of both, by dependents; those of one alone are marked."""
    common = set(ours) & set(theirs)
    arcs = [arc if arc in common else replace(arc, kind=WRONG) for arc in ours]
    arcs += [replace(arc, kind=MISSING) for arc in theirs if arc not in common]
    return sorted(arcs, key=lambda arc: arc.dependent)  # ours before theirs


def check_same_words(ours: Sequence[str], theirs: Sequence[str]) -> None:
    """ArgumentError unless both analyses have the same words."""
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


def levels_of(arcs: Sequence[Arc], words: int) -> list[int]:
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
