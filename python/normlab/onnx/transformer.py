"""The Transformer encoder as ONNX, over padded sentences where the engine's are packed."""

from typing import Any

import numpy as np

from .. import nn
from .graph import Graph
from .layers import linear
from .norms import norm

_LOWEST = float(np.finfo(np.float32).min)


def encoder(graph: Graph, module: nn.TransformerEncoder, x: str, seen: str) -> str:
    """Adds an encoder in evaluation mode.

    Args:
        graph: Grows.
        module: The encoder.
        x: ``(batch, length, D)``.
        seen: bool, of a shape that broadcasts to ``(batch, heads, length, length)``: whether a
            place (third axis) sees another one (last axis).

    Returns:
        ``(batch, length, D)``; places that see nothing hold finite numbers without meaning.
    """
    options = module._arguments()
    parts = dict(module.named_modules())
    for i in range(options["layers"]):
        with graph.within(str(i)):
            x = _layer(graph, parts, f"{i}.", options, x, seen)
    return _norm(graph, parts, "", "norm", x) if options["pre_norm"] else x


def _layer(
    graph: Graph, parts: dict[str, Any], at: str, options: dict[str, Any], x: str, seen: str
) -> str:
    def attend(x: str) -> str:
        with graph.within("attention"):
            return _attention(graph, parts, f"{at}attention.", options["heads"], x, seen)

    def feed_forward(x: str) -> str:
        return _linear(graph, parts, at, "down", _linear(graph, parts, at, "up", x))

    for part, name in ((attend, "norm1"), (feed_forward, "norm2")):
        if options["pre_norm"]:
            x = graph.op("Add", x, part(_norm(graph, parts, at, name, x)))
        else:
            x = _norm(graph, parts, at, name, graph.op("Add", x, part(x)))
    return x


def _attention(graph: Graph, parts: dict[str, Any], at: str, heads: int, x: str, seen: str) -> str:
    """softmax(q k^T / sqrt(D / heads)) v over what is seen (Vaswani et al. 2017, eq. 1)."""
    size = parts[f"{at}out"].weight.shape[0]
    depth = size // heads
    lengths = graph.constant([size] * 3, np.int64)
    qkv = graph.op_of_many(
        "Split", _linear(graph, parts, at, "qkv", x), lengths, results=3, axis=-1
    )
    by_head = graph.constant([0, 0, heads, depth], np.int64)
    q, k, v = (graph.op("Reshape", part, by_head) for part in qkv)
    q, v = (graph.op("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, v))
    k = graph.op("Transpose", k, perm=[0, 2, 3, 1])
    q = graph.op("Mul", q, graph.constant(depth**-0.5))
    # The lowest number, not -inf: a place that sees nothing would be NaN.
    scores = graph.op("Where", seen, graph.op("MatMul", q, k), graph.constant(_LOWEST))
    z = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), v)
    z = graph.op("Transpose", z, perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", z, graph.constant([0, 0, size], np.int64))
    return _linear(graph, parts, at, "out", joined)


def _linear(graph: Graph, parts: dict[str, Any], at: str, name: str, x: str) -> str:
    with graph.within(name):
        return linear(graph, parts[f"{at}{name}"], x)


def _norm(graph: Graph, parts: dict[str, Any], at: str, name: str, x: str) -> str:
    with graph.within(name):
        return norm(graph, parts[f"{at}{name}"], x)
