"""Trained models as ONNX files, for ONNX Runtime and others. Needs ``normlab[onnx]``."""

from importlib.util import find_spec

if getattr(find_spec("onnx"), "origin", None) is None:  # a folder of that name has none
    raise ImportError("nl.onnx: needs the package onnx; install it: pip install 'normlab[onnx]'")

from .export import Exported, export

__all__ = ["Exported", "export"]
