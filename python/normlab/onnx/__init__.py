"""Trained models as ONNX files, for ONNX Runtime and others. Needs ``normlab[onnx]``."""

from importlib.util import find_spec

if find_spec("onnx") is None:
    raise ImportError("nl.onnx: needs the package onnx; install it: pip install 'normlab[onnx]'")

from .export import Exported, export

__all__ = ["Exported", "export"]
