"""The language model of characters as ONNX: input_ids to the logits of each next character."""

from typing import Any

import numpy as np

from .. import Tensor, language, text
from .graph import Graph
from .job import Job, device_of, model_metadata
from .layers import embedding, linear
from .transformer import encoder

_BATCH, _LENGTH = 3, 17  # of the test batch, where the context allows


def language_job(model: language.LanguageModel | language.Model) -> Job:
    """The work for a language model, with its characters if it has them."""
    module = model.network if isinstance(model, language.Model) else model
    options = module._arguments()
    shape = (_BATCH, min(_LENGTH, options["context"]))
    ids = np.random.default_rng(0).integers(0, options["vocabulary"], shape)

    def compute() -> Tensor:
        logits: Tensor = module(text.pack(list(ids)).to(device_of(module)))
        return logits.reshape(*shape, options["vocabulary"])

    return Job(
        name="language_model",
        module=module,
        write=lambda graph: _write(graph, module),
        feeds={"input_ids": ids},
        compute=compute,
        metadata={"context": str(options["context"]), **_characters(model)},
    )


def _characters(model: language.LanguageModel | language.Model) -> dict[str, str]:
    """A character's number is its place in the vocabulary."""
    if not isinstance(model, language.Model):
        return {}
    characters = [model.vocabulary.character(i) for i in range(len(model.vocabulary))]
    return model_metadata(model.notes, vocabulary=characters)


def _write(graph: Graph, module: language.LanguageModel) -> None:
    options = module._arguments()
    parts: dict[str, Any] = dict(module.named_modules())
    ids = graph.input("input_ids", np.int64, ["batch", "length"])
    with graph.within("embedding"):
        characters = embedding(graph, parts["embedding"], ids)
        table = graph.weight("weight", parts["embedding"].weight)
    zero, one = (graph.constant(number, np.int64) for number in (0, 1))
    length = graph.op("Gather", graph.op("Shape", ids), one)
    place = graph.op("Range", zero, length, one)
    with graph.within("positions"):  # a place beyond the context is an error of Gather
        places = embedding(graph, parts["positions"], place)
    x = graph.op("Add", characters, places)
    with graph.within("encoder"):
        x = encoder(graph, parts["encoder"], x, _seen(graph, place))
    if options["tied"]:
        logits = graph.op("MatMul", x, graph.op("Transpose", table, perm=[1, 0]))
    else:
        with graph.within("output"):
            logits = linear(graph, parts["output"], x)
    graph.output(logits, "logits", np.float32, ["batch", "length", options["vocabulary"]])


def _seen(graph: Graph, place: str) -> str:
    """Each place sees itself and those before it."""
    row = graph.op("Unsqueeze", place, graph.constant([1], np.int64))
    column = graph.op("Unsqueeze", place, graph.constant([0], np.int64))
    return graph.op("LessOrEqual", column, row)
