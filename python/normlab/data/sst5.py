"""SST5: sentences of film reviews as trees of phrases, in five classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .fetch import RemoteFile
from .text import LineError, TextData, TextFile, TextSource, TextSplit, load_lines

# Socher et al. 2013.
SST5 = TextSource(
    name="sst5",
    folder="sst5",
    urls=("https://nlp.stanford.edu/sentiment/",),
    files=(
        RemoteFile(
            "trainDevTestTrees_PTB.zip",
            789_539,
            "5c613a4f673fc74097d523a2c83f38e0cc462984d847b82c7aaf36b01cbbbfcc",
        ),
    ),
    members=(
        TextFile(
            "train.txt",
            8_544,
            "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7",
            "utf-8",
        ),
        TextFile(
            "dev.txt",
            1_101,
            "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40",
            "utf-8",
        ),
        TextFile(
            "test.txt",
            2_210,
            "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761",
            "utf-8",
        ),
    ),
)
_LABELS = ("very negative", "negative", "neutral", "positive", "very positive")
_OPENINGS = {f"({label}": label for label in range(len(_LABELS))}


@dataclass(frozen=True)
class Tree:
    r"""A sentence and its phrases.

    Attributes:
        words: The leaves, escaped as the treebank escapes them (-LRB-, \/).
        phrases: Label, first word and the word after the last of each node, parents first.
    """

    words: list[str]
    phrases: list[tuple[int, int, int]]

    def examples(self) -> Iterator[tuple[str, int]]:
        """Text and label of each node, the whole sentence first."""
        for label, first, end in self.phrases:
            yield " ".join(self.words[first:end]), label


def sst5(*, phrases: bool = False, mirror: str | None = None) -> TextData:
    r"""Film reviews, a sentence each, from very negative to very positive (Socher et al. 2013).

    8,544 / 1,101 / 2,210 sentences, labelled as the roots of their trees are. Two of the validation
    and two of the test sentences occur in the training split too. Words are as the treebank writes
    them: -LRB- for a bracket, \/ for a slash.

    Looked for in NORMLAB_DATA/sst5 (train.txt, dev.txt and test.txt, packed with gzip or not, or
    the official archive), then in the user's cache, then downloaded. The bytes must be the official
    ones.

    Args:
        phrases: Train on the phrases of the training trees too: after the sentences come all other
            nodes with their own labels, each text with the same label once: 159,284 examples.
        mirror: Address to download from instead of the official one; the archive lies below it in
            sst5/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The files are nowhere, and the download failed.

    Example:
        >>> reviews = nl.data.sst5()
        >>> len(reviews.train.texts), reviews.labels[0]
        (8544, 'very negative')
    """
    return load(SST5, phrases, mirror)


def load(source: TextSource, phrases: bool, mirror: str | None) -> TextData:
    """Reads the three files of `source` as sst5() does."""
    files, origin = load_lines(source, mirror, parse_tree)
    train, valid, test = ([next(tree.examples()) for tree in trees] for trees in files)
    if phrases:
        every = dict.fromkeys(example for tree in files[0] for example in tree.examples())
        roots = set(train)
        train += [example for example in every if example not in roots]
    return TextData(source.name, origin, _LABELS, _split(train), _split(valid), _split(test))


def _split(examples: list[tuple[str, int]]) -> TextSplit:
    return TextSplit(
        [text for text, _ in examples], np.array([label for _, label in examples], np.int64)
    )


def parse_tree(line: str) -> Tree:
    """Reads "(3 (2 A) (4 gem))": a label, then a word or the trees of its parts, in brackets.

    Only the space divides: a no-break space is a part of its word.

    Raises:
        LineError: The line is no such tree.
    """
    words: list[str] = []
    phrases: list[tuple[int, int, int]] = []
    unclosed: list[int] = []  # a stack of our own: a deep tree must not exhaust Python's
    before = ""
    for token in line.split(" "):
        if phrases and not unclosed:
            raise LineError(f"must end with the tree's last bracket, goes on with {token!r}")
        if token.startswith("("):
            label = _OPENINGS.get(token)
            if label is None:
                raise LineError(f"a bracket must open with a label 0 to 4, opens with {token!r}")
            unclosed.append(len(phrases))
            phrases.append((label, len(words), 0))
        else:
            word = token.rstrip(")")
            _check_leaf(word, token, before, unclosed)
            words.append(word)
            for _ in range(len(token) - len(word)):
                place = unclosed.pop()
                phrases[place] = (*phrases[place][:2], len(words))
        before = token
    if unclosed:
        raise LineError(f"is cut short: {len(unclosed)} brackets are not closed")
    return Tree(words, phrases)


def _check_leaf(word: str, token: str, before: str, unclosed: list[int]) -> None:
    """One word, right after a label, with its closing brackets."""
    if not before.startswith("("):
        raise LineError(f"a word must follow a label 0 to 4, {token!r} follows {before!r}")
    if not word:
        raise LineError(f"a leaf must hold a word, {f'{before} {token}'!r} holds none")
    if word == token or "(" in word or ")" in word:
        raise LineError(f"a leaf must be one word and end with a bracket, is {token!r}")
    if len(token) - len(word) > len(unclosed):
        raise LineError(f"{token!r} closes more brackets than are open")
