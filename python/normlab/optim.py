"""Optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING

from ._attach import missing_in
from ._core.optim import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    ParameterGroup,
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
    "ParameterGroup",
    "clip_grad_norm",
    "constant",
    "cosine",
    "inverse_sqrt",
    "linear_warmup",
]

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.optim", __name__)
