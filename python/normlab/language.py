"""Language models of characters: vocabulary, the causal Transformer, model files, generation."""

from ._core.language import *  # noqa: F403
from ._core.language import __all__ as __all__
