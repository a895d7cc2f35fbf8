"""ONNX Runtime beside the engine."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import Error


def run(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    """The result of a model in ONNX Runtime on the CPU; None where that is not installed.

    Raises:
        Error: It cannot load or run the model.
    """
    try:
        from onnxruntime import InferenceSession, __version__
    except ImportError:  # as of a folder of that name
        return None
    try:
        session = InferenceSession(model, providers=["CPUExecutionProvider"])
        (result,) = session.run(None, dict(feeds))
    except Exception as error:  # its classes have no common base
        raise Error(f"export: ONNX Runtime {__version__} refuses the model: {error}") from error
    found: NDArray[np.float32] = result
    return found
