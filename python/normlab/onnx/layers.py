"""Layers as ONNX. A new one is a function and a row of the table at the end."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import nn
from .._core import ArgumentError
from .graph import Graph
from .norms import norm


def layer(graph: Graph, module: nn.Module, x: str, path: str = "") -> str:
    """Adds a module in evaluation mode; returns its result.

    Args:
        graph: Grows.
        module: Of a class in the table; a subclass may compute anything, and is refused.
        x: The input's name.
        path: The module's place in the model, for errors.

    Raises:
        ArgumentError: A module that has no form in ONNX here.
    """
    if type(module) is nn.Sequential:
        for i, part in enumerate(module):
            with graph.within(str(i)):
                x = layer(graph, part, x, f"{path}.{i}" if path else str(i))
        return x
    if type(module) not in _LAYERS:
        known = ", ".join(sorted(["Sequential", *(kind.__name__ for kind in _LAYERS)]))
        raise ArgumentError(
            f"export: {path or 'the model'} is a {type(module).__name__}, which cannot be "
            f"exported; what can are a text.Classifier, a language.LanguageModel and {known}"
        )
    return _LAYERS[type(module)](graph, module, x)


# --- activations ----------------------------------------------------------------------------------


def _gelu(graph: Graph, x: str) -> str:
    half = graph.op("Mul", x, graph.constant(0.5))
    erf = graph.op("Erf", graph.op("Mul", x, graph.constant(math.sqrt(0.5))))
    return graph.op("Mul", half, graph.op("Add", erf, graph.constant(1.0)))


_ACTIVATIONS: Mapping[str, Callable[[Graph, str], str]] = {
    "none": lambda graph, x: x,
    "relu": lambda graph, x: graph.op("Relu", x),
    "gelu": _gelu,
    "tanh": lambda graph, x: graph.op("Tanh", x),
    "sigmoid": lambda graph, x: graph.op("Sigmoid", x),
    "silu": lambda graph, x: graph.op("Mul", x, graph.op("Sigmoid", x)),
    "softplus": lambda graph, x: graph.op("Softplus", x),
}
_MODULES = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.Softplus)


def activation(graph: Graph, name: str, x: str) -> str:
    """Adds an activation by the engine's name."""
    if name not in _ACTIVATIONS:
        raise ArgumentError(f"export: activation {name!r} has no formula in ONNX yet")
    return _ACTIVATIONS[name](graph, x)


def _activate(graph: Graph, module: nn.Module, x: str) -> str:
    return activation(graph, module._arguments()["activation"], x)


def _fixed(graph: Graph, module: nn.Module, x: str) -> str:
    return activation(graph, type(module).__name__.lower(), x)


def _leaky_relu(graph: Graph, module: nn.LeakyReLU, x: str) -> str:
    return graph.op("LeakyRelu", x, alpha=module._arguments()["negative_slope"])


# --- products -------------------------------------------------------------------------------------


def linear(graph: Graph, module: nn.Linear, x: str) -> str:
    """Adds act(x W^T + bias) over the last axis."""
    weight = module.weight.detach().to("cpu").numpy().T
    z = graph.op("MatMul", x, graph.weight("weight", weight))
    if module.bias is not None:
        z = graph.op("Add", z, graph.weight("bias", module.bias))
    return activation(graph, module._arguments()["activation"], z)


def embedding(graph: Graph, module: nn.Embedding, index: str) -> str:
    """Adds the look-up of rows."""
    return graph.op("Gather", graph.weight("weight", module.weight), index, axis=0)


# --- windows --------------------------------------------------------------------------------------


def _conv2d(graph: Graph, module: nn.Conv2d, x: str) -> str:
    o = module._arguments()
    weights = [graph.weight("weight", module.weight)]
    if module.bias is not None:
        weights.append(graph.weight("bias", module.bias))
    pads = _same(o) if o["padding"] == "same" else [*o["padding"], *o["padding"]]
    z = graph.op(
        "Conv",
        x,
        *weights,
        strides=o["stride"],
        pads=pads,
        dilations=o["dilation"],
        group=o["groups"],
    )
    return activation(graph, o["activation"], z)


def _same(o: Mapping[str, Any]) -> list[int]:
    """Zeros before and behind each axis, one more behind where the number is odd."""
    pads = [(kernel - 1) * step for kernel, step in zip(o["kernel"], o["dilation"], strict=True)]
    return [*(n // 2 for n in pads), *(n - n // 2 for n in pads)]


def _max_pool2d(graph: Graph, module: nn.MaxPool2d, x: str) -> str:
    return graph.op("MaxPool", x, **_window(module._arguments()))


def _avg_pool2d(graph: Graph, module: nn.AvgPool2d, x: str) -> str:
    o = module._arguments()
    counted = int(o["count_include_pad"])
    return graph.op("AveragePool", x, count_include_pad=counted, **_window(o))


def _window(o: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kernel_shape": o["kernel"],
        "strides": o.get("stride", o["kernel"]),
        "pads": [*o["padding"], *o["padding"]],
    }


# --- shapes ---------------------------------------------------------------------------------------


def _flatten(graph: Graph, module: nn.Flatten, x: str) -> str:
    o = module._arguments()
    start, end = o["start"], o["end"]
    if (start, end) == (1, -1):
        return graph.op("Flatten", x, axis=1)
    parts = [graph.op("Shape", x, end=start), graph.constant([-1], np.int64)]
    if end != -1:
        parts.append(graph.op("Shape", x, start=end + 1))
    return graph.op("Reshape", x, graph.op("Concat", *parts, axis=0))


_LAYERS: Mapping[type, Callable[[Graph, Any, str], str]] = {
    nn.Linear: linear,
    nn.Conv2d: _conv2d,
    nn.MaxPool2d: _max_pool2d,
    nn.AvgPool2d: _avg_pool2d,
    nn.Embedding: embedding,
    nn.Norm: norm,
    nn.Flatten: _flatten,
    nn.Dropout: lambda graph, module, x: x,
    nn.Activate: _activate,
    nn.LeakyReLU: _leaky_relu,
    **dict.fromkeys(_MODULES, _fixed),
}
