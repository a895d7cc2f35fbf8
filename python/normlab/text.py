"""From lines of text to labels: words, vocabulary, batches, the Transformer classifier."""

from ._core.text import (
    Classifier,
    Packed,
    Vocabulary,
    pack,
    take,
    token_batches,
    tokenize,
)

__all__ = [
    "Classifier",
    "Packed",
    "Vocabulary",
    "pack",
    "take",
    "token_batches",
    "tokenize",
]
