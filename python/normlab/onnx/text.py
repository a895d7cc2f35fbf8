"""The classifier of sentences as ONNX: input_ids and attention_mask to logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import text
from .graph import Graph
from .job import Job, device_of, model_metadata
from .layers import embedding, linear
from .transformer import encoder

INPUTS = ("input_ids", "attention_mask")
_LENGTHS = (7, 1, 0, 3, 40, 12)  # of the test batch; one sentence without words
_UNSEEN = 0  # stands for what the mask hides; what a user writes there may be no word's number


def classifier_job(model: text.Classifier | text.Model) -> Job:
    """The work for a classifier, with vocabulary and labels if it has them."""
    module = model.classifier if isinstance(model, text.Model) else model
    options = module._arguments()
    numbers = np.random.default_rng(0)
    sentences = [numbers.integers(0, options["vocabulary"], n) for n in _LENGTHS]
    return Job(
        name="classifier",
        module=module,
        write=lambda graph: _write(graph, module),
        feeds=padded(sentences),
        compute=lambda: module(text.pack(sentences).to(device_of(module))),
        metadata=_metadata(model) if isinstance(model, text.Model) else {},
    )


def padded(sentences: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The inputs for sentences of any lengths: padding behind odd ones, before even ones."""
    shape = (len(sentences), max(1, *map(len, sentences)))
    ids, mask = (np.zeros(shape, np.int64) for _ in INPUTS)
    for i, words in enumerate(sentences):
        at = slice(0, len(words)) if i % 2 else slice(shape[1] - len(words), None)
        ids[i, at], mask[i, at] = words, 1
    return dict(zip(INPUTS, (ids, mask), strict=True))


def _metadata(model: text.Model) -> dict[str, str]:
    """A word's number is its place in the vocabulary."""
    words = [model.vocabulary.word(i) for i in range(len(model.vocabulary))]
    return model_metadata(model.notes, vocabulary=words, labels=model.labels)


def _write(graph: Graph, module: text.Classifier) -> None:
    options = module._arguments()
    parts: dict[str, Any] = dict(module.named_modules())
    ids, mask = (graph.input(name, np.int64, ["batch", "length"]) for name in INPUTS)
    is_word = graph.cast(mask, np.bool_)
    ids = graph.op("Where", is_word, ids, graph.constant(_UNSEEN, np.int64))
    with graph.within("embedding"):
        words = embedding(graph, parts["embedding"], ids)
    x = graph.op("Add", words, _positions(graph, is_word, options))
    seen = graph.op("Unsqueeze", is_word, graph.constant([1, 2], np.int64))  # by every place
    with graph.within("encoder"):
        x = encoder(graph, parts["encoder"], x, seen)
    x = _mean_of_words(graph, x, is_word)
    with graph.within("output"):
        logits = linear(graph, parts["output"], x)
    graph.output(logits, "logits", np.float32, ["batch", options["classes"]])


def _positions(graph: Graph, is_word: str, options: dict[str, Any]) -> str:
    """Sines of the number of words before each (Vaswani et al. 2017, section 3.5).

    In float64, as in the engine: a late word's angle has too many digits for float32.
    """
    size = options["size"]
    column = np.arange(size)
    rates = 10000.0 ** -((column - column % 2) / size)
    phases = np.where(column % 2, np.pi / 2, 0.0)  # cos(a) = sin(a + pi / 2)
    count = graph.cast(is_word, np.float64)
    axis = graph.constant(1, np.int64)
    before = graph.op("CumSum", count, axis, exclusive=1)
    place = graph.op("Unsqueeze", before, graph.constant([-1], np.int64))
    angles = graph.op("Mul", place, graph.constant(rates, np.float64))
    sines = graph.op("Sin", graph.op("Add", angles, graph.constant(phases, np.float64)))
    scale = graph.constant(options["position_scale"], np.float64)
    return graph.cast(graph.op("Mul", sines, scale), np.float32)


def _mean_of_words(graph: Graph, x: str, is_word: str) -> str:
    """Over the words alone; zeros for a sentence that has none."""
    last = graph.constant([-1], np.int64)
    zero = graph.constant(0.0)
    words = graph.op("Where", graph.op("Unsqueeze", is_word, last), x, zero)
    axis = graph.constant([1], np.int64)
    total = graph.op("ReduceSum", words, axis, keepdims=0)
    count = graph.op("ReduceSum", graph.cast(is_word, np.float32), axis, keepdims=1)
    return graph.op("Div", total, graph.op("Max", count, graph.constant(1.0)))
