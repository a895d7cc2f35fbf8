"""Matplotlib with normlab's settings alone: the user's own neither change a picture nor stop it.

What stands in ``matplotlib.rcParams`` is the user's again after each picture.
"""

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .looks import style

__all__ = ["settings"]

# Of the session, not of pictures. To set the backend would load it.
_LEFT = ("backend", "backend_fallback", "interactive", "toolbar", "figure.max_open_warning")
# Where matplotlib looks for settings beside the current folder.
_SOURCES = ("MPLBACKEND", "MATPLOTLIBRC", "MPLCONFIGDIR")


@contextmanager
def settings(*, math: bool = True, **colours: str) -> Iterator[None]:
    """Matplotlib's own defaults with nl.viz.style(**colours) on top, and no word of Matplotlib's.

    Figures must be made and drawn within: ticks and fonts are looked up when they are drawn.

    Args:
        math: Whether what stands between two $ is a formula, as in the ticks of logarithmic axes.
        colours: Of nl.viz.style().
    """
    with _quiet():
        matplotlib = _imported()
        ours = {
            name: value for name, value in matplotlib.rcParamsDefault.items() if name not in _LEFT
        }
        ours["text.parse_math"] = math
        with matplotlib.rc_context({**ours, **style(**colours)}):
            yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Matplotlib's remarks on fonts, caches and the user's settings."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _imported() -> Any:
    """The package, which reads the user's settings when it is imported, and may fail at them."""
    before = set(sys.modules)
    try:
        return importlib.import_module("matplotlib")
    except ImportError:
        raise
    except Exception:
        for name in set(sys.modules) - before:  # else its parts are taken for those of the next
            if name.partition(".")[0] == "matplotlib":
                del sys.modules[name]
        with _away_from_settings():
            return importlib.import_module("matplotlib")


@contextmanager
def _away_from_settings() -> Iterator[None]:
    """Where the user's settings do not apply: without their variables and in another folder."""
    before = {name: os.environ.get(name) for name in (*_SOURCES, "XDG_CONFIG_HOME")}
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))  # it may be unreadable, or gone
    with tempfile.TemporaryDirectory() as empty:
        try:
            for name in _SOURCES:
                os.environ.pop(name, None)
            os.environ["XDG_CONFIG_HOME"] = empty
            os.chdir(Path(__file__).parent)
            yield
        finally:
            os.fchdir(here)
            os.close(here)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
