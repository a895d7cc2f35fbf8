"""NumPy's functions of tensors, such as `array + tensor` and `np.exp(tensor)`.

Operators become the tensor's own, which are recorded. Other functions are not recorded, so they
refuse a tensor that requires a gradient: its gradient would be wrong.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import _core

OPERATORS: Mapping[np.ufunc, Callable[[Any, Any], Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.power: operator.pow,
    np.matmul: operator.matmul,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
}

_OURS = {"absolute": "abs", "negative": "neg", "rint": "round"}
"""Our names of functions that have another name in NumPy."""


def ufunc(function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Tensor.__array_ufunc__ but for self, which is among the inputs or in options["out"]."""
    if method == "__call__" and not options and function in OPERATORS:
        a, b = map(_operand, inputs)
        return OPERATORS[function](a, b)
    out = options.get("out", ())
    if any(isinstance(x, _core.Tensor) for x in out):
        raise TypeError(f"np.{function.__name__}: out must be arrays, such as x.numpy()")
    if _core.grad_enabled() and any(map(_is_recorded, inputs)):
        raise _core.GradError(_refusal(function.__name__))
    return getattr(function, method)(*map(_array, inputs), **options)


def _is_recorded(x: Any) -> bool:
    return isinstance(x, _core.Tensor) and x.requires_grad


def _operand(x: Any) -> Any:
    """A number or a tensor."""
    if isinstance(x, np.ndarray) and x.ndim > 0:
        return _core.tensor(x)
    return x.item() if isinstance(x, np.generic | np.ndarray) else x


def _array(x: Any) -> Any:
    return x.numpy() if isinstance(x, _core.Tensor) else x


def _refusal(name: str) -> str:
    ours = _OURS.get(name, name)
    instead = f"use nl.{ours}(...), or " if hasattr(_core, ours) else "use "
    return f"np.{name}: NumPy's functions are not recorded; {instead}x.numpy() for the values alone"
