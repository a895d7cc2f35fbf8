"""Dependency parsing: treebanks, arc-standard transitions, networks, parsing, scores."""

from ._core.parse import *  # noqa: F403
from ._core.parse import __all__ as __all__
