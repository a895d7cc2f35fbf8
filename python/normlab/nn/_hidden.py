"""The warning of modules and parameters in plain lists, tuples and dicts.

Assignment to an attribute registers a module or parameter, but not the items of a list, so an
optimizer would never see them. Python loads this module when a module first holds a container.
"""

import warnings
from collections.abc import Iterator
from typing import Any

from .._core import Tensor
from .._core.nn import Module

_MOST = 10_000
"""Number of items that are searched. Longer lists hold data."""


def warn_of_parts(root: Module, module: Module, name: str, value: Any) -> None:
    """Warns once of an attribute of `module` that hides parts from `root`, which contains it.

    Called at assignment, and whenever somebody asks for the parameters of `root`: lists grow.
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


def _items(value: Any) -> Iterator[Any]:
    """The items of a container and of the containers in it."""
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
