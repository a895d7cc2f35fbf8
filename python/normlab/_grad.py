"""no_grad: a block, or a decorator of functions of every kind.

The mode belongs to a thread. Decorated generators, coroutines and asynchronous generators have it
only while they run: each step enters and leaves.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from ._core import DtypeError, _NoGradGuard


class no_grad:  # noqa: N801 (used like a keyword)
    """Stops recording for autograd on this thread: ``with nl.no_grad():`` or ``@nl.no_grad()``.

    Results of operations inside require no gradient. May be nested and used again; as a decorator
    it also stands without brackets.

    A decorated generator, coroutine or asynchronous generator has the mode while it runs itself;
    where it yields or awaits, its consumer and other tasks have their own. A block has no such
    care: around a ``yield`` or an ``await`` it holds for all that this thread runs meanwhile.

    Raises:
        DtypeError: What is decorated is not a function.
        GradError: A block is left more often than it was entered.

    Example:
        >>> x = nl.ones((2,), requires_grad=True)
        >>> with nl.no_grad():
        ...     z = 2 * x
        >>> z.requires_grad
        False
    """

    # With a function, as ``@nl.no_grad`` gives it, no no_grad is made but the decorated function.
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """As above."""
        return super().__new__(cls) if function is None else _decorated(function)

    def __init__(self) -> None:
        self._guard = _NoGradGuard()

    def __enter__(self) -> None:
        self._guard.enter()

    def __exit__(self, *_: object) -> None:
        self._guard.exit()

    def __call__(self, function: Callable[..., Any]) -> Any:
        """Decorates a function."""
        return _decorated(function)


def _decorated(function: Any) -> Any:
    """The function without recording, of the same kind: generator, coroutine, ..."""
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_decorated(function.__func__))
    if not callable(function) or isinstance(function, type):
        raise DtypeError(f"no_grad: takes a function or nothing; got {function!r}")
    if inspect.isgeneratorfunction(function):
        without = _generator(function)
    elif inspect.iscoroutinefunction(function):
        without = _coroutine(function)
    elif inspect.isasyncgenfunction(function):
        without = _asynchronous(function)
    else:
        without = _plain(function)
    return functools.wraps(function)(without)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with no_grad():
            result = function(*args, **kwargs)
        # Another decorator may hide what kind of function it has.
        again = _KINDS.get(type(result))
        return again(lambda: result)() if again else result

    return call


def _generator(function: Callable[..., Any]) -> Callable[..., Any]:
    def generator(*args: Any, **kwargs: Any) -> Any:
        return (yield from _steps(function(*args, **kwargs)))

    return generator


def _coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await _Awaited(function(*args, **kwargs))

    return coroutine


def _asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        values = function(*args, **kwargs)
        step = values.asend(None)
        while True:
            try:
                value = await _Awaited(step)
            except StopAsyncIteration:
                return
            try:
                step = values.asend((yield value))
            except GeneratorExit:
                await _Awaited(values.aclose())
                raise
            except BaseException as error:
                step = values.athrow(error)

    return generator


_KINDS: Mapping[type, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    GeneratorType: _generator,
    CoroutineType: _coroutine,
    AsyncGeneratorType: _asynchronous,
}


def _steps(stepped: Any) -> Generator[Any, Any, Any]:
    """Drives a generator or coroutine. Each step runs without recording."""
    off = no_grad()
    step = functools.partial(stepped.send, None)
    while True:
        try:
            with off:
                value = step()
        except StopIteration as end:
            return end.value
        try:
            step = functools.partial(stepped.send, (yield value))
        except GeneratorExit:
            with off:
                stepped.close()
            raise
        except BaseException as error:
            step = functools.partial(stepped.throw, error)


class _Awaited:
    """An awaitable whose steps run without recording."""

    def __init__(self, awaited: Any) -> None:
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        return _steps(self._awaited)
