"""Members that Python adds to the compiled classes: texts, HTML, hints for missing names.

The modules that they need are imported at the first use: the import of normlab stays light.
"""

import importlib
from collections.abc import Callable
from typing import Any, NoReturn

from ._core import Generator, Tensor, probe, tensor
from ._core.nn import Module
from ._core.optim import Optimizer


class _Size(int):
    """The number of elements. A call, as PyTorch's ``x.size()``, raises a TypeError with a hint."""

    __slots__ = ()

    def __call__(self, *_: object) -> NoReturn:
        from ._hints import SIZE

        raise TypeError(f"Tensor: {SIZE}")

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)


def _sized(count: property) -> property:
    """The property with numbers of that class."""
    get = count.__get__
    return property(lambda x: _Size(get(x)), doc=count.__doc__)


def _tensor_html(x: Tensor) -> str:
    from ._html import tensor_html

    return tensor_html(x)


def _array_ufunc(x: Tensor, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
    from ._arrays import ufunc

    return ufunc(function, method, *inputs, **options)


def _module_html(module: Module) -> str:
    from ._html import module_html

    return module_html(module)


def _optimizer_text(optimizer: Optimizer) -> str:
    parameters = optimizer.parameters()
    count = sum(parameter.size for parameter in parameters)
    return f"{type(optimizer).__name__}(lr={optimizer.lr:g}, {count:,} parameters)"


def _probe_text(watching: probe) -> str:
    return f"probe(step {watching.step}, {len(watching.records):,} records)"


def missing_in(table: str, module: str) -> Callable[[str], Any]:
    """A module's __getattr__, whose error has a hint for a name of other frameworks."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        from ._hints import missing

        raise missing(table, name) or AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def _lacks(table: str) -> Callable[[Any, str], Any]:
    """A class's __getattr__, which Python calls only for a missing name."""

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807
        if not name.startswith("_"):
            from ._hints import missing

            if error := missing(table, name, type(self).__name__):
                raise error
        # Python's own error, also for a property of a subclass that failed.
        return object.__getattribute__(self, name)

    return __getattr__


def _later(module: str, name: str) -> Callable[..., Any]:
    """The function ``name`` of a module that the first call imports."""

    def call(*args: Any) -> Any:
        return getattr(importlib.import_module(module, __package__), name)(*args)

    return call


def _function_text(function: Any) -> str:
    return f"<function {function.__module__}.{function.__qualname__}>"


def attach() -> None:
    """Completes the classes."""
    extras: dict[type, dict[str, Any]] = {
        type(tensor): {
            "__signature__": property(_later("._signatures", "signature")),
            "__doc__": property(_later("._signatures", "documentation")),
            "__repr__": _function_text,
            "error_of": _later("._misuse", "error_of"),
        },
        Tensor: {
            "__getattr__": _lacks("Tensor"),
            "_repr_html_": _tensor_html,
            "__array_ufunc__": _array_ufunc,
        },
        Module: {
            "__getattr__": _lacks("Module"),
            "_repr_html_": _module_html,
            "__reduce_ex__": _later("._pickling", "reduce_module"),
            "__getstate__": _later("._pickling", "module_state"),
            "__setstate__": _later("._pickling", "set_module_state"),
        },
        Optimizer: {
            "__getattr__": _lacks("Optimizer"),
            "__repr__": _optimizer_text,
            "__reduce_ex__": _later("._pickling", "reduce_optimizer"),
            "__setstate__": _later("._pickling", "set_optimizer_state"),
        },
        Generator: {
            "__getattr__": _lacks("Generator"),
            "__reduce_ex__": _later("._pickling", "reduce_generator"),
            "__setstate__": _later("._pickling", "set_generator_state"),
        },
        probe: {"__repr__": _probe_text, "_repr_html_": _later("._html", "probe_html")},
    }
    for cls, members in extras.items():
        for name, function in members.items():
            setattr(cls, name, function)
    Tensor.size = _sized(vars(Tensor)["size"])  # type: ignore[method-assign, assignment]
