"""Optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING, Any

from ._core.optim import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    clip_grad_norm,
    constant,
    cosine,
    inverse_sqrt,
    linear_warmup,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "clip_grad_norm",
    "constant",
    "cosine",
    "inverse_sqrt",
    "linear_warmup",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Says what to type for a name of other frameworks."""
        from ._hints import missing

        raise missing("nl.optim", name) or AttributeError(
            f"module {__name__!r} has no attribute {name!r}"
        )
