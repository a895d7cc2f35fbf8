"""Error texts for calls whose arguments match no overload: one sentence each.

Loaded when the first such call comes.
"""

import ast
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from inspect import Parameter, Signature
from typing import Any, NamedTuple

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
    if not function.__wrapped__.__name__:
        return _accessor_error(function.__name__, overloads[0], args)
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


def _accessor_error(name: str, signature: Signature, args: Sequence[Any]) -> Exception:
    """The error for the value that a property was set to, or for the object it was read from."""
    *_, parameter = signature.parameters.values()
    name = name if len(args) > 1 else f"{name}: self"
    wanted = _wanted(parameter)
    fault = _fault(name, args[-1], wanted) or _Fault(_must_be(name, wanted, args[-1]))
    return fault.kind(fault.said)


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
            found.append(_faults(signature, given))
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


def _faults(signature: Signature, given: Mapping[str, Any]) -> list[_Fault]:
    """A fault for each argument that does not fit, or for all if each seems to fit."""
    wanted = {name: _wanted(signature.parameters[name]) for name in given}
    called = {name: "the arguments" if name == "args" else name for name in given}
    faults = [_fault(called[name], value, wanted[name]) for name, value in given.items()]
    return list(filter(None, faults)) or [
        _Fault(_must_be(called[name], wanted[name], value)) for name, value in given.items()
    ]


def _wanted(parameter: Parameter) -> str:
    """The annotation. That of an optimizer's parameters is without the rarer groups."""
    wanted = "Any" if parameter.annotation is Parameter.empty else parameter.annotation
    return str(wanted).replace(" | tuple[str, Tensor] | dict[str, Any]", "")


def _fault(name: str, value: Any, wanted: str) -> _Fault | None:
    """None if the value fits, as far as can be seen."""
    if isinstance(value, tuple) and wanted == "int":  # the lengths of a shape, one by one
        fits = all(hasattr(item, "__index__") for item in value)
        return None if fits else _Fault(_must_be(name, wanted, value))
    return _unfit(name, value, ast.parse(wanted, mode="eval").body)


def _unfit(name: str, value: Any, wanted: ast.expr) -> _Fault | None:
    faults = []
    for one in _alternatives(wanted):
        fault = _unfit_one(name, value, one)
        if fault is None:
            return None
        faults.append(fault)
    deepest = max(faults, key=lambda fault: fault.depth)
    return deepest if deepest.depth else _Fault(_must_be(name, ast.unparse(wanted), value))


def _alternatives(wanted: ast.expr) -> list[ast.expr]:
    if not isinstance(wanted, ast.BinOp):
        return [wanted]
    all_of_them = [*_alternatives(wanted.left), *_alternatives(wanted.right)]
    paths = [one for one in all_of_them if ast.unparse(one) == "PathLike"]
    return paths or all_of_them  # a str is a path there, and no text


def _unfit_one(name: str, value: Any, wanted: ast.expr) -> _Fault | None:
    """The fault for an annotation that is no union."""
    kind = ast.unparse(wanted)
    if isinstance(wanted, ast.Subscript):
        kind = ast.unparse(wanted.value)
        inner = wanted.slice.elts if isinstance(wanted.slice, ast.Tuple) else [wanted.slice]
        if kind in _CONTAINERS:
            items = _items(name, value, kind, inner)
            if items is None:
                return _Fault(name)
            fault = next(filter(None, (_unfit(*item) for item in items)), None)
            return fault and fault._replace(depth=fault.depth + 1)
    fits, check = _KINDS.get(kind, (lambda value: kind in _class_names(value), _check_nothing))
    if not fits(value):
        return _Fault(name)
    try:
        check(value)
    except (Error, MemoryError) as error:
        return _Fault(f"{name} must {error}", 1, type(error))
    return None


def _class_names(value: Any) -> set[str]:
    return {"None"} if value is None else {kind.__name__ for kind in type(value).__mro__}


_CONTAINERS = frozenset(("Sequence", "Iterable", "list", "set", "Set", "Mapping", "dict", "tuple"))


def _items(
    name: str, value: Any, kind: str, inner: Sequence[ast.expr]
) -> list[tuple[str, Any, ast.expr]] | None:
    """The items with their names and annotations. None if the value is no such container."""
    if kind in ("Mapping", "dict"):
        if not isinstance(value, Mapping):
            return None
        keys = [(f"a key of {name}", key, inner[0]) for key in value]
        values = [(f"{name}[{_said(key)}]", value[key], inner[1]) for key in value]
        return [item for pair in zip(keys, values, strict=True) for item in pair]
    wanted = Sequence if kind == "tuple" else Iterable
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, wanted):
        return None
    items = value if isinstance(value, Sequence | Set) else ()  # an iterator is empty by now
    if kind != "tuple" or ast.unparse(inner[-1]) == "...":
        inner = [inner[0]] * len(items)
    if len(items) != len(inner):
        return None
    return [(f"{name}[{i}]", *pair) for i, pair in enumerate(zip(items, inner, strict=True))]


def _check_nothing(value: Any) -> None:
    """For types all of whose values fit."""


def _check_text(value: str | bytes) -> None:
    if isinstance(value, str) and (at := re.search("[\ud800-\udfff]", value)):
        place = f"{at.start()} of {_said(value)}"
        raise ArgumentError(f"be text; there is half a surrogate pair at {place}")


def _check_path(value: Any) -> None:
    try:
        path = os.fsencode(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"be a path: {error}") from None
    if b"\0" in path:
        raise ArgumentError(f"be a path, without NUL characters, got {_said(os.fspath(value))}")


def _check_int(value: Any) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ArgumentError(f"fit 64 bits, got {_said(value)}")


def _check_float(value: Any) -> None:
    if isinstance(value, int) and abs(value) >= 2**1024:
        raise ArgumentError(f"fit a float, got an integer of {value.bit_length()} bits")


def _check_tensor(value: Any) -> None:
    if isinstance(value, Tensor):
        return
    try:
        Tensor(value)
    except (Error, MemoryError) as error:
        raise type(error)(f"be Tensor; {error}") from None


def _is_number(value: Any, conversion: str) -> bool:
    return hasattr(value, "__index__") or hasattr(value, conversion)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], None]]] = {
    **dict.fromkeys(("Any", "object", "DTypeLike", "ArrayLike"), (lambda _: True, _check_nothing)),
    "str": (lambda value: isinstance(value, str | bytes), _check_text),
    "PathLike": (lambda value: isinstance(value, str | bytes | os.PathLike), _check_path),
    "int": (lambda v: not isinstance(v, float) and _is_number(v, "__int__"), _check_int),
    "float": (lambda value: _is_number(value, "__float__"), _check_float),
    "bool": (lambda value: value is None or hasattr(value, "__bool__"), _check_nothing),
    "Tensor": (lambda value: bool({"Tensor", "ndarray"} & _class_names(value)), _check_tensor),
    "Callable": (callable, _check_nothing),
}
"""For each annotation: whether a value's type fits, and the check of the value."""


def _must_be(name: str, wanted: str, value: Any) -> str:
    said = f"{name} must be {wanted}, got {_said(value)}"
    return f"{said}; {TYPES[wanted]}" if wanted in TYPES else said


def _said(value: Any) -> str:
    """The value where it is short, else its type."""
    if isinstance(value, tuple | list) and len(value) <= 4:
        inside = ", ".join(map(_said, value))
        comma = "," if len(value) == 1 else ""
        return f"({inside}{comma})" if isinstance(value, tuple) else f"[{inside}]"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return text if len(text := repr(value)) <= _SHORT else f"{text[:_SHORT]}..."
    return type(value).__name__
