"""normlab: a small tensor engine to understand, compare and use normalisation layers.

Usually ``import normlab as nl``. Importing it loads the engine alone; submodules that need more
(``nl.data``, ``nl.study``, ``nl.report``, ...) are loaded when they are first used. So
is ``nl.torch``, for those who have PyTorch.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

from ._libraries import explained as _explained

try:
    from . import _core
except ImportError as _error:
    raise _explained(_error) from None

from . import cuda, language, nn, optim, parse, text, translate
from ._attach import attach as _attach
from ._core import *  # noqa: F403
from ._core import __version__
from ._grad import no_grad
from ._precision import matmul_precision
from .nn import functional as functional

_attach()

if TYPE_CHECKING:
    from . import data, report, study, viz
    from . import onnx as onnx  # not in __all__: a star import must not need an extra
    from . import torch as torch
else:

    def __getattr__(name: str) -> ModuleType:
        """Loads a submodule at its first use; says what to type for a name of other frameworks."""
        full_name = f"{__name__}.{name}"
        if name.startswith("_") or importlib.util.find_spec(full_name) is None:
            from ._hints import missing

            raise missing("nl", name) or AttributeError(
                f"module 'normlab' has no attribute {name!r}"
            )
        return importlib.import_module(full_name)


__all__ = [
    "__version__",
    "cuda",
    "data",
    "language",
    "matmul_precision",
    "nn",
    "no_grad",
    "optim",
    "parse",
    "report",
    "study",
    "text",
    "translate",
    "viz",
]
__all__ += _core.__all__
