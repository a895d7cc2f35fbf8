"""no_grad, which must be a Python class to decorate methods as well as functions."""

from contextlib import ContextDecorator

from ._core import NoGradGuard


class no_grad(ContextDecorator):  # noqa: N801 (used like a keyword)
    """Stops recording for autograd on this thread: ``with nl.no_grad():`` or ``@nl.no_grad()``.

    Results of operations inside require no gradient. May be nested and used again.
    """

    def __init__(self) -> None:
        self._guard = NoGradGuard()

    def _recreate_cm(self) -> "no_grad":
        return no_grad()  # a decorated function may run on several threads at once

    def __enter__(self) -> None:
        self._guard.enter()

    def __exit__(self, *_: object) -> None:
        self._guard.exit()
