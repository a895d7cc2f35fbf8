"""Error texts for calls whose arguments match no overload: one sentence each.

Loaded when the first such call comes.
"""

import ast
import math
import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from inspect import Parameter, Signature
from typing import Any, NamedTuple

import numpy as np

from ._core import ArgumentError, DtypeError, Error, Tensor
from ._hints import CALLS, KEYWORDS, NO_KEYWORDS, NUMPYS, TYPES
from ._signatures import signatures

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_SHORT = 40
"""Characters of a value that a sentence shows."""


def error_of(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Exception:
    """The error to raise: a DtypeError, or an ArgumentError where types fit and values do not.

    Args:
        function: The function that was called.
        args: The positional arguments, with self.
        kwargs: The others.
    """
    overloads = signatures(function)
    if not function.__wrapped__.__name__:  # of a property: the value set, or the object read
        *_, parameter = overloads[0].parameters.values()
        name = function.__name__ if len(args) > 1 else f"{function.__name__}: self"
        fault = _faults([(name, args[-1], _wanted(parameter))])[0]
        return fault.kind(fault.said)
    if "self" in overloads[0].parameters:
        overloads = [s.replace(parameters=list(s.parameters.values())[1:]) for s in overloads]
        args = args[1:]
    name = function.__name__
    if name == "__init__":
        name = function.__qualname__.split(".")[-2]
    faults = _complaints(name, overloads, args, kwargs)
    said = f"{name}: {'; '.join(fault.said for fault in faults)}"
    # Hints are for calls that mean another function, not for an item that is wrong.
    outside = any(fault.depth == 0 for fault in faults)
    hint = CALLS.get(f"{name}({', '.join(_names(overloads))})") if outside else None
    kind = faults[0].kind if len({fault.kind for fault in faults}) == 1 else DtypeError
    return kind(f"{said}; {hint}" if hint and hint not in said else said)


def _complaints(
    name: str, signatures: Sequence[Signature], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> "list[_Fault]":
    taken = _names(signatures)
    if unknown := [keyword for keyword in kwargs if keyword not in taken]:
        return [_Fault(f"no argument {unknown[0]}; {_instead_of(name, unknown[0], signatures)}")]
    reason, found = "", []
    for signature in signatures:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            reason = reason or f"{error}; {_takes(signature)}"
        else:
            wanted = {name: _wanted(signature.parameters[name]) for name in given}
            called = {name: "the arguments" if name == "args" else name for name in given}
            found.append(_faults([(called[n], given[n], wanted[n]) for n in given]))
    # The overload whose arguments fit but for an item inside is the one that was meant.
    return max(found, key=lambda faults: max(f.depth for f in faults), default=[_Fault(reason)])


def _names(signatures: Iterable[Signature]) -> list[str]:
    parameters = (p for signature in signatures for p in signature.parameters.values())
    return [p.name for p in parameters if p.kind not in _VARIADIC]


def _takes(signature: Signature) -> str:
    """The parameters. Keyword-only ones have an equals sign."""
    marks: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*{}", Parameter.KEYWORD_ONLY: "{}="}
    listed = [marks.get(p.kind, "{}").format(p.name) for p in signature.parameters.values()]
    return f"it takes {', '.join(listed) or 'nothing'}"


def _instead_of(name: str, keyword: str, signatures: Sequence[Signature]) -> str:
    if own := NO_KEYWORDS.get(f"{name}.{keyword}"):
        return own
    taken = _names(signatures)
    if ours := [name for name in KEYWORDS.get(keyword, ()) if name in taken]:
        whose = "NumPy's" if keyword in NUMPYS else "PyTorch's"
        return f"{_takes(signatures[0])} ({ours[0]} is {whose} {keyword})"
    return NO_KEYWORDS.get(keyword) or _takes(signatures[0])


class _Fault(NamedTuple):
    """Why a value fits no annotation."""

    said: str
    depth: int = 0
    """How far inside: 0 for the value itself. The deepest one is what was meant."""
    kind: type[Exception] = DtypeError


def _faults(given: Sequence[tuple[str, Any, str]]) -> list[_Fault]:
    """A fault for each (name, value, annotation) that does not fit, or for all if each seems to."""
    return [fault for each in given if (fault := _fault(*each))] or [
        _Fault(_must_be(name, value, wanted)) for name, value, wanted in given
    ]


def _wanted(parameter: Parameter) -> str:
    """The annotation. That of an optimizer's parameters is without the rarer groups."""
    wanted = "Any" if parameter.annotation is Parameter.empty else parameter.annotation
    return str(wanted).replace(" | tuple[str, Tensor] | dict[str, Any]", "")


def _fault(name: str, value: Any, wanted: str) -> _Fault | None:
    """None if the value fits, as far as can be seen."""
    if isinstance(value, tuple) and wanted == "int":  # the lengths of a shape, one by one
        fits = all(hasattr(item, "__index__") for item in value)
        return None if fits else _Fault(_must_be(name, value, wanted))
    plain = wanted.replace("PathLike | str | bytes", "PathLike")  # a str is a path there, no text
    fault = _unfit(name, value, ast.parse(plain, mode="eval").body)
    return fault if fault is None or fault.depth else _Fault(_must_be(name, value, wanted))


def _unfit(name: str, value: Any, wanted: ast.expr) -> _Fault | None:
    if isinstance(wanted, ast.BinOp):  # a union: the part that fits best says what is wrong
        left, right = (_unfit(name, value, part) for part in (wanted.left, wanted.right))
        if left is None or right is None:
            return None
        deepest = max(left, right, key=lambda fault: fault.depth)
        return deepest if deepest.depth else _Fault(_must_be(name, value, ast.unparse(wanted)))
    kind = ast.unparse(wanted.value if isinstance(wanted, ast.Subscript) else wanted)
    misfit = _Fault(_must_be(name, value, ast.unparse(wanted)))
    if isinstance(wanted, ast.Subscript) and kind in _CONTAINERS:
        inner = wanted.slice.elts if isinstance(wanted.slice, ast.Tuple) else [wanted.slice]
        items = _items(name, value, kind, inner)
        if items is None:
            return misfit
        fault = next(filter(None, (_unfit(*item) for item in items)), None)
        return fault and fault._replace(depth=fault.depth + 1)
    try:
        _CONVERSIONS.get(kind, partial(_of_class, kind))(value)
    except (Error, MemoryError) as error:
        return _Fault(f"{name} must be {kind}; {error}", 1, type(error))
    except (TypeError, AttributeError):
        return misfit
    except OverflowError:
        return _Fault(f"{name} must fit 64 bits, got {_said(value)}", 1, ArgumentError)
    except ValueError as error:
        return _Fault(f"{name} must be {kind}, got {_said(value)}: {error}", 1, ArgumentError)
    return None


_CONTAINERS = frozenset(("Sequence", "Iterable", "list", "set", "Set", "Mapping", "dict", "tuple"))


def _items(
    name: str, value: Any, kind: str, inner: Sequence[ast.expr]
) -> list[tuple[str, Any, ast.expr]] | None:
    """The items with their names and annotations. None if the value is no such container."""
    if kind in ("Mapping", "dict"):
        if not isinstance(value, Mapping):
            return None
        keys = [(f"a key of {name}", key, inner[0]) for key in value]
        return keys + [(f"{name}[{_said(key)}]", item, inner[1]) for key, item in value.items()]
    wanted = Sequence if kind == "tuple" else Iterable
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, wanted):
        return None
    items = value if isinstance(value, Sequence | Set) else ()  # an iterator is empty by now
    if kind != "tuple" or ast.unparse(inner[-1]) == "...":
        inner = [inner[0]] * len(items)
    if len(items) != len(inner):
        return None
    return [(f"{name}[{i}]", *pair) for i, pair in enumerate(zip(items, inner, strict=True))]


def _of_class(kind: str, value: Any) -> None:
    names = {"None"} if value is None else {each.__name__ for each in type(value).__mro__}
    if kind not in names:
        raise TypeError


def _text(value: Any) -> None:
    try:
        isinstance(value, bytes) or str.encode(value)
    except UnicodeEncodeError as error:
        raise ArgumentError(f"there is half a surrogate pair at {error.start}") from None


def _path(value: Any) -> None:
    if b"\0" in os.fsencode(value):
        raise ValueError("a path has no NUL characters")


def _real(value: Any) -> None:
    if isinstance(value, np.complexfloating):  # float() cuts it, and only warns
        raise TypeError
    math.fabs(value)


def _tensor(value: Any) -> None:
    if not isinstance(value, Tensor):
        _of_class("ndarray", value)
        Tensor(value)


_CONVERSIONS: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("Any", "object", "DTypeLike", "ArrayLike"), lambda value: value),
    "str": _text,
    "PathLike": _path,
    "int": lambda value: array("q", [value]),
    "float": _real,
    "bool": lambda value: value is None or type(value).__bool__,
    "Tensor": _tensor,
    "Callable": lambda value: type(value).__call__,
}
"""For each annotation, what raises a TypeError or AttributeError for a value of another type, and
another error for one that is not allowed."""


def _must_be(name: str, value: Any, wanted: str) -> str:
    said = f"{name} must be {wanted}, got {_said(value)}"
    return f"{said}; {TYPES[wanted]}" if wanted in TYPES else said


def _said(value: Any) -> str:
    """The value where it is short, else its type."""
    if isinstance(value, tuple | list) and len(value) <= 4:
        inside = ", ".join(map(_said, value))
        comma = "," if len(value) == 1 else ""
        return f"({inside}{comma})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, int) and value.bit_length() > 999:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return text if len(text := repr(value)) <= _SHORT else f"{text[:_SHORT]}..."
    return type(value).__name__
