"""Writes a model as an ONNX file, and compares it with the engine."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, language, nn, text, translate
from .._core import ArgumentError, DtypeError, Error
from ..text_io import Output
from . import runtime
from .files import NO_TRANSLATOR, file_job
from .graph import HIGHEST_OPSET, LOWEST_OPSET, Graph
from .job import Job, module_job
from .language import language_job
from .text import classifier_job

_TOLERANCE = 1e-4
"""Most that results of about 1 may differ. Float32 leaves some 1e-6."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: The file.
        opset: Of ONNX's own operators.
        difference: Greatest difference between normlab's results and ONNX Runtime's on a test
            batch; None where ONNX Runtime is not installed.
        results: How many results were compared.
    """

    path: Path
    opset: int
    difference: float | None
    results: int


def export(
    model: nn.Module | text.Model | language.Model | str | Path,
    path: str | Path,
    x: Any = None,
    *,
    opset: int = LOWEST_OPSET,
) -> Exported:
    """Writes a model in evaluation mode as one ONNX file, whole or not at all.

    Both run on a test batch first, if ONNX Runtime is installed. ONNX's checker passes the file.

    Args:
        model: A model.safetensors of a study (images, text, charlm), a ``Model`` or network of
            :mod:`normlab.text` or :mod:`normlab.language`, an ``nn.Sequential`` or one layer.
        path: The file, usually ``.onnx``.
        x: For a module: an input, ``(batch, ...)``. The file takes any batch, other axes as here.
        opset: 17 to 23. From 23 on, RMSNorm is the operator RMSNormalization.

    Returns:
        The file with the greatest difference.

    Raises:
        ArgumentError: An opset out of range; no form in ONNX; no x for a module; the model's path.
        DtypeError: A model that is not float32, or an object that is no model or no path.
        FileError: A file that cannot be read or written, or a model whose kind cannot be exported.
        Error: ONNX Runtime refuses the model or computes something else; no result is finite.

    Example:
        >>> net = nl.nn.Sequential(nl.nn.Linear(4, 8), nl.nn.LayerNorm(8))
        >>> nl.onnx.export(net, "model.onnx", nl.randn((2, 4))).difference < 1e-5
        True
    """
    _check_opset(opset)
    _check_path(path, model)
    job = _job(model, x)
    job.check_dtype()
    expected = job.expected()
    graph = Graph(opset)
    job.write(graph)
    proto = graph.model(job.name, __version__, dict(job.metadata)).SerializeToString()
    found = runtime.run(proto, job.feeds)
    difference = None if found is None else _difference(found, expected)
    with Output(str(path)) as out:
        out.write(proto)
    return Exported(Path(path), opset, difference, expected.size)


def _check_opset(opset: Any) -> None:
    whole = isinstance(opset, Integral) and not isinstance(opset, bool)
    if not whole or opset not in range(LOWEST_OPSET, HIGHEST_OPSET + 1):
        raise ArgumentError(f"opset: must be {LOWEST_OPSET} to {HIGHEST_OPSET}, is {opset!r}")


def _check_path(path: Any, model: Any) -> None:
    """An error unless it can be the file's, before anything is computed or lost."""
    if not isinstance(path, str | Path):
        raise DtypeError(f"path: must be a str or a Path, is a {type(path).__name__}")
    if str(path) == "-":
        raise ArgumentError("path: must be a file; standard output would mix it with words")
    if isinstance(model, str | Path) and os.path.realpath(model) == os.path.realpath(path):
        raise ArgumentError(f"{path}: is the model, which the export would overwrite")


_MODELS: Mapping[type, Callable[[Any], Job]] = {
    text.Classifier: classifier_job,
    text.Model: classifier_job,
    language.LanguageModel: language_job,
    language.Model: language_job,
}
"""Models with a test batch of their own."""


def _job(model: Any, x: Any) -> Job:
    make = next((make for kind, make in _MODELS.items() if isinstance(model, kind)), None)
    if isinstance(model, (translate.Translator, translate.Model)):
        raise ArgumentError(f"model: {NO_TRANSLATOR}")
    if isinstance(model, nn.Module) and make is None:
        return module_job(model, x)
    if x is not None:
        raise ArgumentError("x: is for modules; this model has a test batch of its own")
    if make is not None:
        return make(model)
    if isinstance(model, str | Path):
        return file_job(Path(model))
    raise DtypeError(
        "model: must be a module, a text.Model, a language.Model or the path of a "
        f"model.safetensors, is a {type(model).__name__}"
    )


def _difference(found: Any, expected: Any) -> float:
    """The greatest one; Error where the results are not the same but for rounding."""
    if found.shape != expected.shape:
        raise Error(f"export: ONNX Runtime's result is {found.shape}, ours {expected.shape}")
    if expected.size and not np.isfinite(expected).any():
        raise Error("export: no result for the test batch is a finite number; no file was written")
    both = np.isnan(found) & np.isnan(expected) | (found == expected)
    with np.errstate(invalid="ignore"):  # equal infinities
        difference = float(np.abs(np.where(both, 0, found - expected)).max(initial=0.0))
    most = float(np.abs(expected, where=np.isfinite(expected), out=np.zeros_like(expected)).max())
    if not difference <= _TOLERANCE * max(1.0, most):
        raise Error(
            f"export: ONNX Runtime's results differ by {difference:.1e} from ours, which are up "
            f"to {most:.1e}; no file was written"
        )
    return difference
