"""Nodes of ONNX as they are written: a graph with initializers, or the body of a function."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .. import Tensor

DOMAIN = "normlab"
"""Of the functions that this package defines."""

LOWEST_OPSET, HIGHEST_OPSET = 17, 23
"""LayerNormalization came with the first, RMSNormalization with the last."""


class Nodes:
    """Nodes in order. Values are known by their names."""

    def __init__(self, opset: int):
        self.opset = opset
        self.nodes: list[Any] = []
        self._count: dict[str, int] = {}
        self._scope = ""

    def name(self, kind: str) -> str:
        """A name that no other value or node has: scope, kind, and a number from the second on."""
        base = f"{self._scope}/{kind}" if self._scope else kind
        number = self._count[base] = self._count.get(base, 0) + 1
        return base if number == 1 else f"{base}_{number}"

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one result, and returns the result's name."""
        return self.op_of_many(kind, *inputs, results=1, domain=domain, **attributes)[0]

    def op_of_many(
        self, kind: str, *inputs: str, results: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Adds a node with several results, and returns their names."""
        name = self.name(kind)
        outputs = [name, *(f"{name}.{i}" for i in range(1, results))]
        self._add(helper.make_node(kind, inputs, outputs, name, domain=domain, **attributes))
        return outputs

    def cast(self, x: str, dtype: Any) -> str:
        """Converts a value to NumPy's dtype."""
        return self.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """An array that is part of the nodes."""
        raise NotImplementedError

    def _add(self, node: Any) -> None:
        self.nodes.append(node)


class Function(Nodes):
    """The body of a local function. Its attributes are floats."""

    def __init__(self, name: str, opset: int, inputs: Sequence[str], attributes: Sequence[str]):
        super().__init__(opset)
        self._name, self._inputs, self._attributes = name, inputs, attributes

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """See Nodes."""
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(values, dtype)))

    def attribute(self, name: str) -> str:
        """The value of one of its attributes."""
        reference = onnx.AttributeProto()
        reference.name, reference.type = "value_float", onnx.AttributeProto.FLOAT
        reference.ref_attr_name = name
        node = helper.make_node("Constant", [], [name], name)
        node.attribute.append(reference)
        self._add(node)
        return name

    def proto(self, result: str) -> Any:
        """The whole function."""
        return helper.make_function(
            DOMAIN,
            self._name,
            self._inputs,
            [result],
            self.nodes,
            [helper.make_opsetid("", self.opset)],
            list(self._attributes),
        )


class Graph(Nodes):
    """A graph that is written from its inputs to its outputs."""

    def __init__(self, opset: int):
        super().__init__(opset)
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._functions: dict[str, Any] = {}

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        """Declares an input; axes that are words may have any length."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: Any, shape: Sequence[int | str]) -> None:
        """Makes a value an output."""
        self._add(helper.make_node("Identity", [value], [name], name))
        self._outputs.append(_value_info(name, dtype, shape))

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Names of what is added within begin with those of the parts of the model."""
        before = self._scope
        self._scope = f"{before}.{part}" if before else part
        try:
            yield
        finally:
            self._scope = before

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """See Nodes. Equal ones are one initializer."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self._keep(self._constants[key], array)
        return self._constants[key]

    def weight(self, name: str, value: Tensor | NDArray[Any]) -> str:
        """A tensor of the model as an initializer, by its name within the model."""
        array = value.detach().to("cpu").numpy() if isinstance(value, Tensor) else value
        full_name = f"{self._scope}.{name}" if self._scope else name
        if full_name not in self._initializers:
            self._keep(full_name, np.ascontiguousarray(array))
        return full_name

    def function(self, name: str, make: Callable[[], Any]) -> None:
        """Adds a local function that `make` writes, unless there is one of that name."""
        if name not in self._functions:
            self._functions[name] = make()

    def model(self, name: str, version: str, metadata: dict[str, str]) -> Any:
        """The whole model, checked, for the oldest runtimes that know its operators."""
        graph = helper.make_graph(
            self.nodes, name, self._inputs, self._outputs, list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", self.opset)]
        if self._functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        model = helper.make_model(
            graph,
            functions=list(self._functions.values()),
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets[:1]),
            producer_name="normlab",
            producer_version=version,
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        self._initializers[name] = numpy_helper.from_array(array, name)


def _value_info(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, list(shape))
