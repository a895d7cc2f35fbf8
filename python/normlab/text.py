"""From lines of text to labels: words, vocabulary, batches, the Transformer classifier."""

from ._core.text import *  # noqa: F403
from ._core.text import __all__ as __all__
