"""no_grad, which must be a Python class to decorate methods as well as functions."""

from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any

from ._core import DtypeError, NoGradGuard


class no_grad(ContextDecorator):  # noqa: N801 (used like a keyword)
    """Stops recording for autograd on this thread: ``with nl.no_grad():`` or ``@nl.no_grad()``.

    Results of operations inside require no gradient. May be nested and used again; as a decorator
    it also stands without brackets.
    """

    # With a function, as ``@nl.no_grad`` gives it, no no_grad is made but the decorated function.
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """As above."""
        if function is None:
            return super().__new__(cls)
        if not callable(function):
            raise DtypeError(f"no_grad: takes a function or nothing; got {function!r}")
        return cls()(function)

    def __init__(self) -> None:
        self._guard = NoGradGuard()

    def _recreate_cm(self) -> "no_grad":
        return no_grad()  # a decorated function may run on several threads at once

    def __enter__(self) -> None:
        self._guard.enter()

    def __exit__(self, *_: object) -> None:
        self._guard.exit()
