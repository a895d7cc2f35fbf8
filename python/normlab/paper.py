"""The authors' own results, stated once.

Xu et al., "Understanding and Improving Layer Normalization", NeurIPS 2019 (arXiv 1911.07013);
numbers from their poster.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIVERGES = math.nan
"""Stands for the authors' remark that training diverges."""

NORMS = ("none", "layernorm", "layernorm_simple", "adanorm", "detachnorm")
"""The five variants of their main table."""

ADANORM_C = (0.8, 1.0, 1.5, 2.0)
"""Candidates of AdaNorm's C in their public scripts; chosen on the validation set."""


@dataclass(frozen=True)
class PaperTask:
    """One column of their table.

    Attributes:
        title: The column's name.
        results: The number of each variant, or DIVERGES.
        epochs: Passes over the training data, if they tell.
    """

    title: str
    results: Mapping[str, float]
    epochs: int | None = None


def _task(title: str, *results: float, epochs: int | None = None) -> PaperTask:
    return PaperTask(title, dict(zip(NORMS, results, strict=True)), epochs)


# BLEU, bits per character, accuracy, UAS: none, layernorm, layernorm_simple, adanorm, detachnorm.
RESULTS: Mapping[str, PaperTask] = {
    "en_de": _task("En-De", DIVERGES, 28.3, 28.4, 28.5, DIVERGES),
    "de_en": _task("De-En", 34.0, 35.5, 35.5, 35.6, 33.9),
    "en_vi": _task("En-Vi", 28.4, 31.2, 31.6, 31.4, 27.7),
    "enwiki8": _task("Enwiki8", 1.04, 1.07, 1.07, 1.07, 1.12),
    "rt": _task("RT", 76.85, 77.21, 76.66, 77.50, 76.40),
    "sst5": _task("SST5", 38.55, 39.23, 40.54, 40.54, 40.04),
    "mnist": _task("MNIST", 99.14, 99.13, 99.09, 99.35, 99.10, epochs=20),
    "ptb": _task("PTB", 88.31, 89.12, 89.19, 89.23, 89.79, epochs=20),
}

COUNTERPARTS: Mapping[str, str] = {"parse": "ptb"}
"""Our tasks with their network but other data, and the column that comes nearest."""


def result(task: str, norm: str) -> float | None:
    """The authors' number for a task of ours or its counterpart; None if they give none."""
    found = RESULTS.get(COUNTERPARTS.get(task, task))
    return found.results.get(norm) if found else None
