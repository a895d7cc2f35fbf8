"""The warning of modules and parameters in plain lists, tuples and dicts.

Loaded when a module first holds such a container: attributes register what is assigned to them,
not what a list holds, so an optimizer would never see it.
"""

import warnings
from collections.abc import Iterator
from typing import Any

from .._core import Tensor
from .._core.nn import Module

_MOST = 10_000
"""Items of an attribute that are looked at: longer lists hold data."""


def warn_of_parts(root: Module, module: Module, name: str, value: Any) -> None:
    """Warns once of what the attribute of `module`, a part of `root` or itself, hides from `root`.

    Called when it is assigned, and when the parameters of `root` are asked for: lists grow.
    """
    told: set[str] = vars(module).get("_told_of_hidden", set())
    hidden = None if name in told else _hidden_in(root, module, value)
    if hidden is None:
        return
    vars(module)["_told_of_hidden"] = told | {name}
    kind = "Module" if isinstance(hidden, Module) else "Parameter"
    right = f"nl.nn.{kind}{'Dict' if isinstance(value, dict) else 'List'}"
    warnings.warn(
        f"{type(module).__name__}: {kind.lower()}s in a plain {type(value).__name__} are not "
        f"trained, saved or moved; write self.{name} = {right}(...)",
        UserWarning,
        stacklevel=2,
    )


def _hidden_in(root: Module, module: Module, value: Any) -> Any:
    """A module or parameter in a container that is no part of `root`; None if there is none.

    Neither does one count that `module` is a part of: it may know its parents.
    """
    items = [item for item in _items(value) if isinstance(item, Module) or _is_parameter(item)]
    if not items:
        return None
    modules = [root, *(part for _, part in root.named_modules())]
    parts = [each._parts() for each in modules]
    tensors = [tensor for own in parts for _, tensor in (*own[0], *own[1])]
    known = {id(part) for part in (*modules, *tensors)}
    hidden = [item for item in items if id(item) not in known]
    return next((item for item in hidden if not _holds(item, module)), None)


def _holds(item: Any, module: Module) -> bool:
    return isinstance(item, Module) and any(part is module for _, part in item.named_modules())


def _is_parameter(item: Any) -> bool:
    return isinstance(item, Tensor) and item.requires_grad and item.is_leaf


def _own_tensors(module: Module) -> Iterator[Tensor]:
    parameters, buffers, _, _ = module._parts()
    for _, tensor in (*parameters, *buffers):
        yield tensor


def _items(value: Any) -> Iterator[Any]:
    """What a container holds, however deep."""
    seen: set[int] = set()
    left = [value]
    for _ in range(_MOST):
        if not left:
            return
        item = left.pop()
        if not isinstance(item, (list, tuple, dict)):
            yield item
        elif id(item) not in seen:  # a list may hold itself
            seen.add(id(item))
            inside = list(item.values()) if isinstance(item, dict) else list(item)
            left += inside[:_MOST]
