"""Checks of the data before training starts."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .._core import FileError

__all__ = ["check_classes", "check_counts"]

Labels = Mapping[str, NDArray[np.int64]]


def check_counts(origin: str, what: str, counts: Mapping[str, int]) -> None:
    """FileError for a split without anything to train on, or to measure with.

    Args:
        origin: The data, in words.
        what: What is counted: "images", "sentences".
        counts: How many there are, by split.
    """
    for split, count in counts.items():
        if not count:
            raise FileError(f"{origin}: the {split} split must have {what}, has none")


def check_classes(
    origin: str, what: str, counts: Mapping[str, int], labels: Labels, classes: int
) -> None:
    """FileError for examples and labels that cannot be trained on, or leave nothing to learn.

    Args:
        origin: The data, in words.
        what: What is counted: "images", "sentences".
        counts: How many there are, by split; "train" is one of them.
        labels: Of each split.
        classes: How many the network tells apart.
    """
    check_counts(origin, what, counts)
    for split, count in counts.items():
        if len(labels[split]) != count:
            raise FileError(
                f"{origin}: the {split} split must have a label for each of {count:,} {what}, has "
                f"{len(labels[split]):,} labels"
            )
        wrong = labels[split][(labels[split] < 0) | (labels[split] >= classes)]
        if wrong.size:
            raise FileError(
                f"{origin}: labels of the {split} split must be 0 to {classes - 1}, one is "
                f"{wrong[0]}"
            )
    _check_known(origin, labels)


def _check_known(origin: str, labels: Labels) -> None:
    known = np.unique(labels["train"])
    if len(known) < 2:
        raise FileError(
            f"{origin}: the train split must have two classes or more, all are of class {known[0]}"
        )
    for split, found in labels.items():
        if (missing := np.setdiff1d(found, known)).size:
            raise FileError(
                f"{origin}: the {split} split has class {missing[0]}, of which the train split "
                "has no example"
            )
