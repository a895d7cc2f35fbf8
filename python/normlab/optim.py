"""Optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING

from ._attach import missing_in
from ._core.optim import *  # noqa: F403
from ._core.optim import __all__ as __all__

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.optim", __name__)
