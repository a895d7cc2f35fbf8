"""The authors' own results, stated once.

Xu et al., "Understanding and Improving Layer Normalization", NeurIPS 2019 (arXiv 1911.07013);
numbers from their poster.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

DIVERGES = math.nan
"""Stands for the authors' remark that training diverges."""

NORMS = ("none", "layernorm", "layernorm_simple", "adanorm", "detachnorm")
"""The five variants of their main table."""

VARIANTS = (*NORMS, "gain_only", "bias_only")
"""The rows of our table: theirs, and the two that part gain from bias."""

NAMES: Mapping[str, str] = {
    "none": "w/o norm",
    "layernorm": "LayerNorm",
    "layernorm_simple": "LayerNorm-simple",
    "adanorm": "AdaNorm",
    "detachnorm": "DetachNorm",
    "gain_only": "gain only",
    "bias_only": "bias only",
}
"""What the paper calls them."""

ADANORM_C = (0.8, 1.0, 1.5, 2.0)
"""Candidates of AdaNorm's C in their public scripts; chosen on the validation set."""


@dataclass(frozen=True)
class Filler:
    """A task of ours that fills a column.

    Attributes:
        task: Its name.
        data: Its data, in words, where they are not the paper's; else empty.
        quick: Settings for `normlab paper --quick` instead of the task's own.
    """

    task: str
    data: str = ""
    quick: Mapping[str, Any] = field(default_factory=lambda: {"epochs": 2})


@dataclass(frozen=True)
class PaperTask:
    """One column of their table.

    Attributes:
        title: The column's name.
        metric: What is measured, with its unit.
        results: The number of each variant, or DIVERGES.
        fillers: Tasks of ours for it, the best first.
        higher_is_better: The metric's direction.
        epochs: Passes over the training data, if they tell.
    """

    title: str
    metric: str
    results: Mapping[str, float]
    fillers: Sequence[Filler] = ()
    higher_is_better: bool = True
    epochs: int | None = None

    @property
    def sign(self) -> int:
        """Factor under which more is better."""
        return 1 if self.higher_is_better else -1


def _numbers(*results: float) -> Mapping[str, float]:
    return dict(zip(NORMS, results, strict=True))


# Half of everything, and many small steps. At the usual scale of its sines, RT is learned late.
_QUICK_TEXT = {
    "layers": 2,
    "size": 64,
    "hidden": 256,
    "batch": 512,
    "lr": 1e-3,
    "position_scale": 0.1,
}

_QUICK_CHARACTERS = {
    "layers": 2,
    "size": 64,
    "hidden": 256,
    "context": 64,
    "epochs": 1,
    "train_items": 300_000,
}

_QUICK_TRANSLATION = {
    "layers": 1,
    "size": 64,
    "hidden": 128,
    "subwords": 1_500,
    "dropout": 0.1,
    "batch": 512,
    "warmup": 150,
    "average": 2,
    "beam": 2,
    "epochs": 3,
    "train_items": 6_000,
}

# none, layernorm, layernorm_simple, adanorm, detachnorm.
RESULTS: Mapping[str, PaperTask] = MappingProxyType(
    {
        "en_de": PaperTask(
            "En-De",
            "BLEU",
            _numbers(DIVERGES, 28.3, 28.4, 28.5, DIVERGES),
            (Filler("en_de"), Filler("translate", "Multi30k En-De", _QUICK_TRANSLATION)),
        ),
        "de_en": PaperTask(
            "De-En",
            "BLEU",
            _numbers(34.0, 35.5, 35.5, 35.6, 33.9),
            (
                Filler("de_en", quick=_QUICK_TRANSLATION),
                Filler("translate_multi30k_de_en", "Multi30k De-En", _QUICK_TRANSLATION),
            ),
        ),
        "en_vi": PaperTask(
            "En-Vi",
            "BLEU",
            _numbers(28.4, 31.2, 31.6, 31.4, 27.7),
            (Filler("en_vi", quick=_QUICK_TRANSLATION),),
        ),
        "enwiki8": PaperTask(
            "Enwiki8",
            "bits a character",
            _numbers(1.04, 1.07, 1.07, 1.07, 1.12),
            (Filler("enwiki8"), Filler("charlm", "tinyshakespeare", _QUICK_CHARACTERS)),
            higher_is_better=False,
        ),
        "rt": PaperTask(
            "RT",
            "accuracy, %",
            _numbers(76.85, 77.21, 76.66, 77.50, 76.40),
            (Filler("rt", quick={**_QUICK_TEXT, "epochs": 2, "train_items": 3_000}),),
        ),
        "sst5": PaperTask(
            "SST5",
            "accuracy, %",
            _numbers(38.55, 39.23, 40.54, 40.54, 40.04),
            (Filler("sst5", quick={**_QUICK_TEXT, "epochs": 1}),),
        ),
        "mnist": PaperTask(
            "MNIST",
            "accuracy, %",
            _numbers(99.14, 99.13, 99.09, 99.35, 99.10),
            (Filler("mnist", quick={"epochs": 1, "train_items": 5_000}),),
            epochs=20,
        ),
        "ptb": PaperTask(
            "PTB",
            "UAS, %",
            _numbers(88.31, 89.12, 89.19, 89.23, 89.79),
            (
                Filler("ptb"),
                Filler("parse", "UD English", {"epochs": 1, "train_items": 60_000, "batch": 512}),
            ),
            epochs=20,
        ),
    }
)
"""Their columns, and the tasks of ours that fill them: a new task is a Filler here."""

COUNTERPARTS: Mapping[str, str] = MappingProxyType(
    {filler.task: name for name, each in RESULTS.items() for filler in each.fillers if filler.data}
)
"""Our tasks with their network but other data, and the column that comes nearest."""


def result(task: str, norm: str) -> float | None:
    """The authors' number for a task of ours or its counterpart; None if they give none."""
    found = RESULTS.get(COUNTERPARTS.get(task, task))
    return found.results.get(norm) if found else None


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: one variant is better or worse than another.

    Attributes:
        number: 1 to 3, as the README counts them.
        text: In words.
        variant, baseline: What is compared.
        sign: 1 for better, -1 for worse.
    """

    number: int
    text: str
    variant: str
    baseline: str
    sign: int = 1


_OVERFIT = "gain and bias add a risk of over-fitting: without them, LayerNorm is better"
CLAIMS = (
    Claim(
        1,
        "forward normalisation alone does not do: DetachNorm is worse than LayerNorm-simple",
        "detachnorm",
        "layernorm_simple",
        -1,
    ),
    Claim(2, _OVERFIT, "layernorm_simple", "layernorm"),
    Claim(2, "without its bias, LayerNorm is better", "gain_only", "layernorm"),
    Claim(2, "without its gain, LayerNorm is better", "bias_only", "layernorm"),
    Claim(3, "AdaNorm is better than LayerNorm", "adanorm", "layernorm"),
)
"""What is tested. The paper leaves gain and bias each alone open."""
