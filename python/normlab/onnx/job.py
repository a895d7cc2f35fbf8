"""What is exported: how its graph is written, and how it is compared with the engine."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, nn, no_grad, tensor
from .._core import ArgumentError, DtypeError
from .graph import Graph
from .layers import layer


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        name: Of the graph.
        module: Whose parameters it has.
        write: Adds inputs, nodes and the one output to a graph.
        feeds: A test batch, by the names of the inputs.
        compute: The engine's result for that batch.
        metadata: Written into the file, text by name.
    """

    name: str
    module: nn.Module
    write: Callable[[Graph], None]
    feeds: Mapping[str, NDArray[Any]]
    compute: Callable[[], Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def expected(self) -> NDArray[np.float32]:
        """The engine's result in evaluation mode, without gradients."""
        with no_grad(), _evaluating(self.module):
            return self.compute().to("cpu").numpy()

    def check_dtype(self) -> None:
        """DtypeError unless parameters and stored activations are float32."""
        found = {value.dtype for value in self.module.state().values()}
        for part in (self.module, *(part for _, part in self.module.named_modules())):
            if "_arguments" in dir(part):
                found.add(part._arguments().get("dtype", "float32"))
        if other := sorted({str(dtype) for dtype in found} - {"float32"}):
            raise DtypeError(
                f"export: the model must be float32, is {' and '.join(other)}; convert it first: "
                'model.to("float32")'
            )


def module_job(
    module: nn.Module,
    x: Any,
    names: tuple[str, str] = ("x", "z"),
    metadata: Mapping[str, str] | None = None,
) -> Job:
    """The work for a module of layers, for inputs like x but of any number of rows.

    Args:
        module: Of layers.
        x: ``(batch, ...)``.
        names: Of input and output.
        metadata: See Job.

    Raises:
        ArgumentError: x is missing or has no first axis for the batch.
    """
    if x is None:
        raise ArgumentError(
            "export: a module needs x, an input as it takes them, [batch, ...], whose other axes "
            "the file fixes"
        )
    given = x.detach() if isinstance(x, Tensor) else tensor(x)
    if len(given.shape) < 2 or 0 in given.shape:
        raise ArgumentError(f"export: x must be [batch, ...] without empty axes, is {given.shape}")
    array = given.to("cpu").numpy()

    def write(graph: Graph) -> None:
        with no_grad(), _evaluating(module):
            result = module(given.to(device_of(module)))
        name = graph.input(names[0], array.dtype, ["batch", *array.shape[1:]])
        rows = "batch" if result.shape[0] == array.shape[0] else "rows"
        z = layer(graph, module, name)
        graph.output(z, names[1], np.float32, [rows, *result.shape[1:]])

    return Job(
        name=type(module).__name__,
        module=module,
        write=write,
        feeds={names[0]: array},
        compute=lambda: module(given.to(device_of(module))),
        metadata=metadata or {},
    )


def model_metadata(notes: Mapping[str, str], **lists: Sequence[str]) -> dict[str, str]:
    """What a file says of a model: lists as JSON, and the notes of the model's own file."""
    found = {name: json.dumps(each, ensure_ascii=False) for name, each in lists.items()}
    return found | {f"note.{name}": value for name, value in notes.items()}


def device_of(module: nn.Module) -> str:
    """Where its parameters are; the CPU if it has none."""
    parameters = module.parameters()
    return str(parameters[0].device) if parameters else "cpu"


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout and batch statistics are off within, and as they were afterwards."""
    parts = [module, *(part for _, part in module.named_modules())]
    training = [part.training for part in parts]
    module.eval()
    try:
        yield
    finally:
        for part, was in zip(parts, training, strict=True):
            part.train(was)  # outer ones first: it reaches the inner ones too
