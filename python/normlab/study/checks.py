"""What training needs of its data, asked before it starts."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .._core import FileError

__all__ = ["check_classes", "check_counts"]


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


def check_classes(origin: str, labels: Mapping[str, NDArray[np.int64]], classes: int) -> None:
    """FileError for labels that no output stands for, or that leave nothing to learn.

    Args:
        origin: The data, in words.
        labels: Of each split, which has some; "train" is among them.
        classes: How many the network tells apart.
    """
    for split, found in labels.items():
        low, high = int(found.min()), int(found.max())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise FileError(
                f"{origin}: labels of the {split} split must be 0 to {classes - 1}, one is {wrong}"
            )
    known = np.unique(labels["train"])
    if len(known) < 2:
        raise FileError(
            f"{origin}: the train split must have two classes or more, all are of class {known[0]}"
        )
    for split, found in labels.items():
        if missing := sorted({*found.tolist()} - {*known.tolist()}):
            raise FileError(
                f"{origin}: the {split} split has class {missing[0]}, of which the train split "
                "has no example"
            )
