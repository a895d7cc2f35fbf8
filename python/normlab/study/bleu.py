"""BLEU and chrF of translations, by sacrebleu."""

from collections.abc import Sequence
from typing import Any

from .._extras import package


def scoring() -> Any:
    """The package sacrebleu; MissingPackageError if it is not installed."""
    return package("sacrebleu", "mt", "BLEU")


def scored(found: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """BLEU in lower case, BLEU as it is, and chrF, each by sacrebleu with its signature.

    Both BLEUs cut words as mteval-v13a does. They take text that a corpus has cut before (IWSLT15)
    without sacrebleu's warnings, which would come after every epoch.
    """
    metrics = scoring().metrics
    kinds = {
        "bleu": metrics.BLEU(lowercase=True, force=True),
        "sacrebleu": metrics.BLEU(force=True),
        "chrf": metrics.CHRF(),
    }
    scores: dict[str, Any] = {}
    for name, metric in kinds.items():
        scores[name] = float(metric.corpus_score(list(found), [list(references)]).score)
        scores[f"{name}_signature"] = str(metric.get_signature())
    return scores
