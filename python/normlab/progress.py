"""Progress bars: tqdm's, in terminals and notebooks alike."""

import sys
import warnings
from typing import Any

__all__ = ["bar", "in_notebook", "is_watched"]


def in_notebook() -> bool:
    """True in a notebook's kernel."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def is_watched(stream: Any) -> bool:
    """True if a moving bar is visible on the stream: in a terminal or a notebook."""
    return in_notebook() or bool(stream and stream.isatty())


def bar(*args: Any, **options: Any) -> Any:
    """A tqdm bar, with tqdm's arguments: a widget where a notebook has ipywidgets, else a line."""
    with warnings.catch_warnings():
        # tqdm warns where a notebook lacks ipywidgets; the line of text says the same.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    return tqdm(*args, **options)
