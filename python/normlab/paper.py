"""The authors' own results, stated once.

Xu et al., "Understanding and Improving Layer Normalization", NeurIPS 2019 (arXiv 1911.07013);
numbers from their poster.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIVERGES = math.nan
"""Stands where the authors write that training diverges."""

NORMS = ("none", "layernorm", "layernorm_simple", "adanorm", "detachnorm")
"""The five variants of their main table."""

ADANORM_C = (0.8, 1.0, 1.5, 2.0)
"""Candidates of AdaNorm's C in their public scripts; chosen on the validation set."""


@dataclass(frozen=True)
class PaperTask:
    """One column of their table.

    Attributes:
        title: The column's name.
        metric: What the numbers are.
        layers: Depth of the network.
        results: The number of each variant, or DIVERGES.
        epochs: Passes over the training data, where they say.
        higher_is_better: False for bits per character.
    """

    title: str
    metric: str
    layers: int
    results: Mapping[str, float]
    epochs: int | None = None
    higher_is_better: bool = True


def _task(
    title: str,
    metric: str,
    layers: int,
    *results: float,
    epochs: int | None = None,
    higher_is_better: bool = True,
) -> PaperTask:
    return PaperTask(
        title, metric, layers, dict(zip(NORMS, results, strict=True)), epochs, higher_is_better
    )


# Columns after the layers: none, layernorm, layernorm_simple, adanorm, detachnorm.
RESULTS: Mapping[str, PaperTask] = {
    "en_de": _task("En-De", "BLEU", 12, DIVERGES, 28.3, 28.4, 28.5, DIVERGES),
    "de_en": _task("De-En", "BLEU", 12, 34.0, 35.5, 35.5, 35.6, 33.9),
    "en_vi": _task("En-Vi", "BLEU", 12, 28.4, 31.2, 31.6, 31.4, 27.7),
    "enwiki8": _task(
        "Enwiki8", "bits per character", 12, 1.04, 1.07, 1.07, 1.07, 1.12, higher_is_better=False
    ),
    "rt": _task("RT", "accuracy", 4, 76.85, 77.21, 76.66, 77.50, 76.40),
    "sst5": _task("SST5", "accuracy", 4, 38.55, 39.23, 40.54, 40.54, 40.04),
    "mnist": _task("MNIST", "accuracy", 3, 99.14, 99.13, 99.09, 99.35, 99.10, epochs=20),
    "ptb": _task("PTB", "UAS", 3, 88.31, 89.12, 89.19, 89.23, 89.79, epochs=20),
}

COUNTERPARTS: Mapping[str, str] = {"parse": "ptb"}
"""Tasks of ours whose network is theirs and whose data are not."""


def column(task: str) -> PaperTask | None:
    """Their column for a task of ours, or for the one that comes nearest; None without either."""
    return RESULTS.get(COUNTERPARTS.get(task, task))


def result(task: str, norm: str) -> float | None:
    """The authors' number, DIVERGES, or None where they give none."""
    found = column(task)
    return found.results.get(norm) if found else None
