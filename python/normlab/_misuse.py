"""What a call is told whose arguments fit no signature: one sentence.

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

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_SHORT = 40
"""Characters of a value that a sentence shows."""


def error_of(
    text: str, args: Sequence[Any], kwargs: Mapping[str, Any], property_name: str = ""
) -> Exception:
    """The error to raise: a DtypeError, or an ArgumentError where types fit and values do not.

    Args:
        text: pybind11's: the function's name and its signatures.
        args: The positional arguments, with self.
        kwargs: The others.
        property_name: What was to be read or set, where the function is a property's.
    """
    name, _, rest = text.partition("(): incompatible ")
    listed = re.findall(r"^    \d+\. (.*)$", rest.partition("\n\nInvoked with")[0], re.M)
    signatures = [_signature(line) for line in listed]
    if property_name:
        *_, wanted = signatures[0].parameters.values()
        called = property_name if len(args) > 1 else f"{property_name}: self"
        fault = _fault(called, args[-1], wanted.annotation)
        fault = fault or _Fault(_must_be(called, wanted.annotation, args[-1]))
        return fault.kind(fault.said)
    if rest.startswith("constructor"):
        name = listed[0].partition("(")[0].rpartition(".")[2]
        args = args[1:]
    elif "self" in signatures[0].parameters:
        signatures = [s.replace(parameters=list(s.parameters.values())[1:]) for s in signatures]
        args = args[1:]
    faults = _complaints(name, signatures, args, kwargs)
    said = f"{name}: {'; '.join(fault.said for fault in faults)}"
    # Hints are for calls that mean another function, not for an item that is wrong.
    outside = any(fault.depth == 0 for fault in faults)
    hint = CALLS.get(f"{name}({', '.join(_names(signatures))})") if outside else None
    kind = faults[0].kind if len({fault.kind for fault in faults}) == 1 else DtypeError
    return kind(f"{said}; {hint}" if hint and hint not in said else said)


def _signature(line: str) -> Signature:
    """Of a line such as "mean(x: Tensor, axis: int = 0) -> Tensor"; values stay code."""
    (function,) = ast.parse(f"def f{line[line.index('(') :]}: ...").body
    assert isinstance(function, ast.FunctionDef)
    a = function.args
    plain = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(plain) - len(a.defaults)) + a.defaults
    anyhow = Parameter.POSITIONAL_OR_KEYWORD
    rows: list[tuple[Any, ast.arg | None, ast.expr | None]] = [
        *((anyhow, *row) for row in zip(plain, defaults, strict=True)),
        (Parameter.VAR_POSITIONAL, a.vararg, None),
        *((Parameter.KEYWORD_ONLY, *row) for row in zip(a.kwonlyargs, a.kw_defaults, strict=True)),
        (Parameter.VAR_KEYWORD, a.kwarg, None),
    ]
    return Signature([_parameter(kind, arg, value) for kind, arg, value in rows if arg])


def _parameter(kind: Any, argument: ast.arg, value: ast.expr | None) -> Parameter:
    default = Parameter.empty if value is None else value
    wanted = _type_name(argument.annotation) if argument.annotation else "Any"
    return Parameter(argument.arg, kind, default=default, annotation=wanted)


def _type_name(annotation: ast.expr) -> str:
    """As users write it: without modules, a number without the protocols that make one."""
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+", "", ast.unparse(annotation))
    text = text.replace(" | tuple[str, Tensor] | dict[str, Any]", "")  # groups are for the few
    return re.sub(r"Supports(Int|Float) \| SupportsIndex", lambda m: m[1].lower(), text)


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
    # What fits best but for something inside is what was meant.
    return max(found, key=lambda faults: max(f.depth for f in faults), default=[_Fault(reason)])


def _names(signatures: Iterable[Signature]) -> list[str]:
    parameters = (p for signature in signatures for p in signature.parameters.values())
    return [p.name for p in parameters if p.kind not in _VARIADIC]


def _takes(signature: Signature) -> str:
    """What there is to give; what can be given by its name alone has an equals sign."""
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
    """What must be what: of the arguments that fit nothing is said."""
    wanted = {name: signature.parameters[name].annotation for name in given}
    called = {name: "the arguments" if name == "args" else name for name in given}
    faults = [_fault(called[name], value, wanted[name]) for name, value in given.items()]
    return list(filter(None, faults)) or [
        _Fault(_must_be(called[name], wanted[name], value)) for name, value in given.items()
    ]


def _fault(name: str, value: Any, wanted: str) -> _Fault | None:
    """None if the value fits, as far as can be seen."""
    if isinstance(value, tuple) and wanted == "int":  # the lengths of a shape, one by one
        return None if all(map(_is_integer, value)) else _Fault(_must_be(name, wanted, value))
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
    """Of an annotation that is no union."""
    if isinstance(wanted, ast.Subscript) and isinstance(wanted.value, ast.Name):
        inner = wanted.slice.elts if isinstance(wanted.slice, ast.Tuple) else [wanted.slice]
        inside = _INSIDE.get(wanted.value.id)
        return inside(name, value, inner) if inside else _unfit_one(name, value, wanted.value)
    said = ast.unparse(wanted)
    check = _CHECKS.get(said)
    if check:
        return check(name, value)
    kinds = {"None"} if value is None else {kind.__name__ for kind in type(value).__mro__}
    return None if said in kinds else _Fault(said)


def _unfit_items(name: str, value: Any, inner: Sequence[ast.expr]) -> _Fault | None:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return _Fault(name)
    # What can be gone through once only is empty by now.
    items = value if isinstance(value, Sequence | Set) else ()
    return _deeper(_unfit(f"{name}[{i}]", item, inner[0]) for i, item in enumerate(items))


def _unfit_tuple(name: str, value: Any, inner: Sequence[ast.expr]) -> _Fault | None:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return _Fault(name)
    if ast.unparse(inner[-1]) == "...":
        return _unfit_items(name, value, inner)
    if len(value) != len(inner):
        return _Fault(name)
    pairs = zip(value, inner, strict=True)
    return _deeper(_unfit(f"{name}[{i}]", *pair) for i, pair in enumerate(pairs))


def _unfit_mapping(name: str, value: Any, inner: Sequence[ast.expr]) -> _Fault | None:
    if not isinstance(value, Mapping):
        return _Fault(name)
    key, item = inner
    return _deeper(
        _unfit(f"a key of {name}", k, key) or _unfit(f"{name}[{_said(k)}]", v, item)
        for k, v in value.items()
    )


def _deeper(faults: Iterable[_Fault | None]) -> _Fault | None:
    """The first of what is inside."""
    fault = next(filter(None, faults), None)
    return fault and fault._replace(depth=fault.depth + 1)


def _unfit_text(name: str, value: Any) -> _Fault | None:
    if not isinstance(value, str | bytes):
        return _Fault(name)
    if isinstance(value, str) and (at := re.search("[\ud800-\udfff]", value)):
        said = f"{name} must be text; there is half a surrogate pair at {at.start()} of"
        return _Fault(f"{said} {_said(value)}", 1, ArgumentError)
    return None


def _unfit_path(name: str, value: Any) -> _Fault | None:
    if not isinstance(value, str | bytes | os.PathLike):
        return _Fault(name)
    try:
        path = os.fsencode(value)
    except (TypeError, ValueError) as error:
        return _Fault(f"{name} must be a path: {error}", 1, ArgumentError)
    if b"\0" in path:
        said = f"{name} must be a path, without NUL characters, got {_said(os.fspath(value))}"
        return _Fault(said, 1, ArgumentError)
    return None


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__")


def _unfit_int(name: str, value: Any) -> _Fault | None:
    if isinstance(value, float) or not (_is_integer(value) or hasattr(value, "__int__")):
        return _Fault(name)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _Fault(f"{name} must fit 64 bits, got {_said(value)}", 1, ArgumentError)
    return None


def _unfit_float(name: str, value: Any) -> _Fault | None:
    if not (_is_integer(value) or hasattr(value, "__float__")):
        return _Fault(name)
    if isinstance(value, int) and abs(value) >= 2**1024:
        said = f"{name} must fit a float, got an integer of {value.bit_length()} bits"
        return _Fault(said, 1, ArgumentError)
    return None


def _unfit_bool(name: str, value: Any) -> _Fault | None:
    return None if value is None or hasattr(value, "__bool__") else _Fault(name)


def _unfit_tensor(name: str, value: Any) -> _Fault | None:
    if isinstance(value, Tensor):
        return None
    if type(value).__name__ != "ndarray":
        return _Fault(name)
    try:
        Tensor(value)
    except (Error, MemoryError) as error:
        return _Fault(f"{name} must be Tensor; {error}", 1, type(error))
    return None


_Check = Callable[[str, Any], _Fault | None]
_CHECKS: Mapping[str, _Check] = {
    **dict.fromkeys(("Any", "object", "DTypeLike", "ArrayLike"), lambda *_: None),
    "str": _unfit_text,
    "PathLike": _unfit_path,
    "int": _unfit_int,
    "float": _unfit_float,
    "bool": _unfit_bool,
    "Tensor": _unfit_tensor,
    "Callable": lambda name, value: None if callable(value) else _Fault(name),
}
_INSIDE: Mapping[str, Callable[[str, Any, Sequence[ast.expr]], _Fault | None]] = {
    **dict.fromkeys(("Sequence", "Iterable", "list", "set", "Set"), _unfit_items),
    **dict.fromkeys(("Mapping", "dict"), _unfit_mapping),
    "tuple": _unfit_tuple,
}


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
