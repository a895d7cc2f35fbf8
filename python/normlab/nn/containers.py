"""Lists and dicts of modules and of parameters: trained, saved and moved as others are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, SupportsIndex, TypeVar, cast, overload

from .._core import ArgumentError, DtypeError, RangeError, Tensor
from .._core.nn import Module

T = TypeVar("T")
M = TypeVar("M", bound=Module)


def _check_module(owner: Module, value: Any) -> None:
    if not isinstance(value, Module):
        raise DtypeError(f"{type(owner).__name__}: takes modules, got {type(value).__name__}")


def _check_parameter(owner: Module, value: Any) -> None:
    name = type(owner).__name__
    if not isinstance(value, Tensor):
        raise DtypeError(f"{name}: takes tensors, got {type(value).__name__}")
    if not value.is_leaf:
        raise ArgumentError(f"{name}: takes leaves, not results of recorded operations")


class _Container(Module, Generic[T]):
    """Keeps parts under names of its own choice."""

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Has none."""
        raise ArgumentError(
            f"{type(self).__name__}: has no forward(): call its parts, or use nl.nn.Sequential"
        )

    def _check(self, value: Any) -> None:
        raise NotImplementedError

    def _put(self, name: str, value: T) -> None:
        self._check(value)
        if isinstance(value, Module):
            self.register_module(name, value)
        else:
            self.register_parameter(name, cast("Tensor", value))

    def _named(self) -> dict[str, T]:
        parameters, _, modules, _ = self._parts()
        return dict((*parameters, *modules))

    def _replace(self, parts: Mapping[str, T]) -> None:
        """These and no others, in this order. Nothing changes if one does not fit."""
        for value in parts.values():
            self._check(value)
        for name in self._named():
            delattr(self, name)
        for name, value in parts.items():
            self._put(name, value)

    def __len__(self) -> int:
        return len(self._named())


class _List(_Container[T]):
    def __init__(self, parts: Iterable[T] = ()) -> None:
        super().__init__()
        self.extend(parts)

    def append(self, part: T) -> "_List[T]":
        """Adds a part at the end. Returns self."""
        self._put(str(len(self)), part)
        return self

    def extend(self, parts: Iterable[T]) -> "_List[T]":
        """Adds parts at the end. Returns self."""
        for part in list(parts):
            self.append(part)
        return self

    def insert(self, index: SupportsIndex, part: T) -> None:
        """Puts a part before that place; the places behind it move on."""
        parts = list(self)
        parts.insert(index, part)
        self._set(parts)

    def pop(self, index: SupportsIndex = -1) -> T:
        """Takes a part out and returns it. RangeError if there is none."""
        parts = list(self)
        part = parts.pop(self._place(index))
        self._set(parts)
        return part

    def _set(self, parts: Iterable[T]) -> None:
        self._replace({str(i): part for i, part in enumerate(parts)})

    def _place(self, index: SupportsIndex) -> int:
        if not hasattr(index, "__index__"):
            raise DtypeError(f"{type(self).__name__}: a position must be an integer, got {index!r}")
        i, n = index.__index__(), len(self)
        if not -n <= i < n:
            raise RangeError(f"{type(self).__name__}: position must be in [{-n}, {n}), got {i}")
        return i % n

    @overload
    def __getitem__(self, index: slice) -> "_List[T]": ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    def __getitem__(self, index: SupportsIndex | slice) -> "T | _List[T]":
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._named()[str(self._place(index))]

    @overload
    def __setitem__(self, index: slice, part: Iterable[T]) -> None: ...
    @overload
    def __setitem__(self, index: SupportsIndex, part: T) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, part: Any) -> None:
        if isinstance(index, slice):
            parts = list(self)
            parts[index] = part
            self._set(parts)
        else:
            self._put(str(self._place(index)), part)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        parts = list(self)
        del parts[index if isinstance(index, slice) else self._place(index)]
        self._set(parts)

    def __iter__(self) -> Iterator[T]:
        return iter(self._named().values())

    def __contains__(self, part: object) -> bool:
        return any(part is own for own in self)


class _Dict(_Container[T]):
    def __init__(self, parts: Mapping[str, T] | Iterable[tuple[str, T]] = ()) -> None:
        super().__init__()
        self.update(parts)

    def update(self, parts: Mapping[str, T] | Iterable[tuple[str, T]]) -> None:
        """Adds parts by name, or replaces those there."""
        for name, part in dict(parts).items():
            self[name] = part

    def keys(self) -> Iterable[str]:
        """Names, in order."""
        return self._named().keys()

    def values(self) -> Iterable[T]:
        """Parts, in order."""
        return self._named().values()

    def items(self) -> Iterable[tuple[str, T]]:
        """Names and parts, in order."""
        return self._named().items()

    def pop(self, name: str) -> T:
        """Takes a part out and returns it. KeyError if there is none."""
        part = self[name]
        del self[name]
        return part

    def clear(self) -> None:
        """Takes all parts out."""
        self._replace({})

    def __getitem__(self, name: str) -> T:
        return self._named()[name]

    def __setitem__(self, name: str, part: T) -> None:
        if name not in self and hasattr(type(self), name):
            raise ArgumentError(
                f"{type(self).__name__}: a part cannot be called {name!r}, as a method is"
            )
        self._put(name, part)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        delattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __contains__(self, name: object) -> bool:
        return name in self._named()


class ModuleList(_List[M]):
    """Modules in a list, named "0", "1", ...: what a plain list would hide from the optimizer.

    Has append, extend, insert, pop, slices and ``del``. It is no chain: ``nl.nn.Sequential`` is.

    Args:
        parts: Modules.

    Raises:
        DtypeError: Something else.
    """

    _check = _check_module


class ModuleDict(_Dict[M]):
    """Modules by name, in order of insertion.

    Args:
        parts: A dict, or pairs. A name must not be empty, have a dot, or be a method's.

    Raises:
        DtypeError: Something else.
        ArgumentError: Such a name.
    """

    _check = _check_module


class ParameterList(_List[Tensor]):
    """Parameters in a list, named "0", "1", ...; like :class:`ModuleList`.

    Args:
        parts: Leaves, which then require a gradient.
    """

    _check = _check_parameter


class ParameterDict(_Dict[Tensor]):
    """Parameters by name; like :class:`ModuleDict`.

    Args:
        parts: A dict, or pairs, of leaves, which then require a gradient.
    """

    _check = _check_parameter
