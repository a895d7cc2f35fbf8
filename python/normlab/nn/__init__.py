"""Modules: parts of networks that hold parameters."""

from typing import TYPE_CHECKING

from .._attach import missing_in
from .._core import nn as _nn
from .._core.nn import *  # noqa: F403
from . import functional as functional
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList
from .norms import LayerNorm, RMSNorm

__all__ = ["LayerNorm", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RMSNorm"]
__all__ += _nn.__all__

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.nn", __name__)
