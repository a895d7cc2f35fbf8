"""Dependency trees as pictures and as text."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from .._core import ArgumentError, FileError
from .._templates import render
from ..parse import Sentence
from .arcs import arcs_of, check_same_words, compared, levels_of
from .layout import TreeLayout
from .lettering import shown
from .svg import svg_of
from .tree_text import in_text, in_words


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
        return render("tree.html", title=self.title, drawing=self._repr_html_())

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

    Example:
        >>> sentence = nl.data.standin_treebank(train=1, valid=1, test=1).train[0]
        >>> nl.viz.tree(sentence).svg[:4]
        '<svg'
    """
    arcs = arcs_of(sentence, "sentence")
    if compare is not None:
        arcs = compared(arcs, arcs_of(compare, "compare"))
        check_same_words(sentence.forms, compare.forms)
    words, title = sentence.words, shown(sentence.text)
    levels = levels_of(arcs, len(words))
    svg = svg_of(TreeLayout(words, arcs, levels), title, in_words(words, arcs))
    return TreeDrawing(svg, in_text(words, arcs, levels), title)
