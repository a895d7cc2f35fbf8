"""Optimizers and learning-rate schedules."""

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
