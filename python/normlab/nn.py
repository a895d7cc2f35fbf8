"""Modules: parts of networks that hold parameters."""

from typing import TYPE_CHECKING, Any

from ._core.nn import (
    GELU,
    Activate,
    AvgPool2d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Norm,
    Parameter,
    ReLU,
    SelfAttention,
    Sequential,
    Sigmoid,
    Tanh,
    TransformerEncoder,
    TransformerLayer,
)

__all__ = [
    "GELU",
    "Activate",
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "Norm",
    "Parameter",
    "ReLU",
    "SelfAttention",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "TransformerEncoder",
    "TransformerLayer",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Says what to type for a name of other frameworks."""
        from ._hints import missing

        raise missing("nl.nn", name) or AttributeError(
            f"module {__name__!r} has no attribute {name!r}"
        )
