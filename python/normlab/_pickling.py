"""pickle and copy for modules, optimizers and generators.

The constructor of the compiled base class makes the copy, from the original's arguments. Then the
copy gets the original's parts and attributes. The __init__ of a subclass does not run.
"""

import copyreg
from collections.abc import Callable
from typing import Any

from ._core import DtypeError, Generator
from ._core.nn import Module
from ._core.optim import SGD, Adam, AdamW, Optimizer

_PARTS = "normlab parts"

Reduced = tuple[Callable[..., Any], tuple[Any, ...], Any]


def make(kind: type, base: type, arguments: dict[str, Any]) -> Any:
    """An object of that class on which only its compiled base's __init__ has run."""
    made = kind.__new__(kind)  # type: ignore[call-overload]
    Module._without_drawing(lambda: base.__init__(made, **arguments))  # type: ignore[misc]
    return made


def _slots(made: Any) -> list[str]:
    return copyreg._slotnames(type(made))  # type: ignore[attr-defined, no-any-return]


def _attributes(made: Any) -> dict[str, Any]:
    """The instance's Python attributes, those in slots too."""
    attributes = dict(getattr(made, "__dict__", {}))
    attributes.update((name, getattr(made, name)) for name in _slots(made) if hasattr(made, name))
    return attributes


def _set_attributes(made: Any, attributes: dict[str, Any]) -> None:
    slots = _slots(made)
    for name, value in attributes.items():
        if name in slots:
            object.__setattr__(made, name, value)
        else:
            made.__dict__[name] = value


# --- modules -------------------------------------------------------------------------------------


def module_state(module: Module) -> dict[str, Any]:
    """Parts and attributes, for __setstate__. Subclasses may add to it."""
    parts = module._parts()
    tensors = dict((*parts[0], *parts[1]))
    attributes = _attributes(module)
    attributes.pop("_told_of_hidden", None)
    for name in attributes.keys() & tensors.keys():
        attributes[name] = tensors[name]  # perhaps another object of the same tensor
    return {_PARTS: parts, **attributes}


def set_module_state(module: Module, state: dict[str, Any]) -> None:
    """Takes over what module_state() returned."""
    if not isinstance(state, dict) or _PARTS not in state:
        raise DtypeError(
            f"{type(module).__name__}: __setstate__() takes what __getstate__() returned"
        )
    attributes = dict(state)
    module._set_parts(*attributes.pop(_PARTS))
    _set_attributes(module, attributes)


def reduce_module(module: Module, protocol: int) -> Reduced:
    """For pickle and copy."""
    state = module.__getstate__()  # type: ignore[attr-defined]
    if not isinstance(state, dict) or _PARTS not in state:
        raise DtypeError(
            f"{type(module).__name__}: __getstate__() must add to what "
            "super().__getstate__() returns"
        )
    # The compiled class that the module's is or comes from.
    base = next(base for base in type(module).__mro__ if "_arguments" in vars(base))
    arguments = base._arguments(module)  # type: ignore[attr-defined]
    return make, (type(module), base, arguments), state


# --- optimizers and generators -------------------------------------------------------------------


def reduce_optimizer(optimizer: Optimizer, protocol: int) -> Reduced:
    """For pickle and copy. Parameters are part of it, as in PyTorch."""
    state = optimizer.state(copy=True), optimizer._own_rates(), _attributes(optimizer)
    base = next(base for base in type(optimizer).__mro__ if base in (SGD, Adam, AdamW))
    return make, (type(optimizer), base, optimizer._arguments()), state


def set_optimizer_state(optimizer: Optimizer, state: tuple[Any, Any, dict[str, Any]]) -> None:
    """Takes over reduce_optimizer()'s third."""
    kept, rates, attributes = state
    optimizer.load_state(kept)
    optimizer._set_own_rates(rates)
    _set_attributes(optimizer, attributes)


def reduce_generator(generator: Generator, protocol: int) -> Reduced:
    """For pickle and copy."""
    state = generator.seed, generator.offset, _attributes(generator)
    return make, (type(generator), Generator, {"seed": generator.seed}), state


def set_generator_state(generator: Generator, state: tuple[int, int, dict[str, Any]]) -> None:
    """Takes over reduce_generator()'s third."""
    seed, offset, attributes = state
    generator.set_state(seed, offset)
    _set_attributes(generator, attributes)
