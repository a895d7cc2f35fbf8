"""Modules: parts of networks that hold parameters."""

from typing import TYPE_CHECKING

from .._attach import missing_in
from .._core.nn import (
    GELU,
    Activate,
    AvgPool2d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Module,
    Norm,
    Parameter,
    ReLU,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    TransformerEncoder,
    TransformerLayer,
)
from . import functional as functional
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList
from .norms import LayerNorm, RMSNorm

__all__ = [
    "GELU",
    "Activate",
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Norm",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RMSNorm",
    "ReLU",
    "SelfAttention",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "TransformerEncoder",
    "TransformerLayer",
]

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.nn", __name__)
