"""From lines of text to labels: words, vocabulary, batches, the Transformer classifier."""

from ._core.text import (
    Classifier,
    Model,
    Packed,
    Vocabulary,
    load_model,
    pack,
    save_model,
    take,
    token_batches,
    tokenize,
)

__all__ = [
    "Classifier",
    "Model",
    "Packed",
    "Vocabulary",
    "load_model",
    "pack",
    "save_model",
    "take",
    "token_batches",
    "tokenize",
]
