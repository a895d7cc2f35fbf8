"""What a call is told whose arguments fit no signature: one sentence.

Loaded when the first such call comes.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

from ._hints import CALLS, KEYWORDS, NO_KEYWORDS, NUMPYS, TYPES

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_SHORT = 40
"""Characters of a value that a sentence shows."""


def sentence(
    text: str, args: Sequence[Any], kwargs: Mapping[str, Any], property_name: str = ""
) -> str:
    """The text of the error.

    Args:
        text: pybind11's: the function's name and its signatures.
        args: The positional arguments, with self.
        kwargs: The others.
        property_name: What was to be set, where the function is a property's.
    """
    name, _, rest = text.partition("(): incompatible ")
    listed = re.findall(r"^    \d+\. (.*)$", rest.partition("\n\nInvoked with")[0], re.M)
    signatures = [_signature(line) for line in listed]
    if property_name:
        (_, wanted) = signatures[0].parameters.values()
        return _must_be(property_name, wanted.annotation, args[-1])
    if rest.startswith("constructor"):
        name = listed[0].partition("(")[0].rpartition(".")[2]
        args = args[1:]
    elif "self" in signatures[0].parameters:
        signatures = [s.replace(parameters=list(s.parameters.values())[1:]) for s in signatures]
        args = args[1:]
    said = f"{name}: {_complaint(name, signatures, args, kwargs)}"
    hint = CALLS.get(f"{name}({', '.join(_names(signatures))})")
    return f"{said}; {hint}" if hint and hint not in said else said


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


def _complaint(
    name: str, signatures: Sequence[Signature], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    taken = _names(signatures)
    if unknown := [keyword for keyword in kwargs if keyword not in taken]:
        return f"no argument {unknown[0]}; {_instead_of(name, unknown[0], signatures)}"
    reason = ""
    for signature in signatures:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            reason = reason or f"{error}; {_takes(signature)}"
        else:
            return _wrong_types(signature, bound.arguments)
    return reason


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


def _wrong_types(signature: Signature, given: Mapping[str, Any]) -> str:
    """What must be what: of the arguments that surely fit nothing is said."""
    wanted = {name: signature.parameters[name].annotation for name in given}
    suspects = [name for name in given if not _fits(given[name], wanted[name])] or list(given)
    called = {"args": "the arguments"}
    return "; ".join(
        _must_be(called.get(name, name), wanted[name], given[name]) for name in suspects
    )


def _must_be(name: str, wanted: str, value: Any) -> str:
    said = f"{name} must be {wanted}, got {_said(value)}"
    return f"{said}; {TYPES[wanted]}" if wanted in TYPES else said


def _fits(value: Any, wanted: str) -> bool:
    wanted = re.sub(r"\[.*?\]", "", wanted)
    if isinstance(value, tuple) and wanted == "int":  # one by one
        return all(_fits(length, wanted) for length in value)
    if isinstance(value, tuple | list | dict):
        return False  # what it holds may be wrong
    kinds = {"None"} if value is None else {kind.__name__ for kind in type(value).__mro__}
    return bool({"Any", *kinds} & set(re.findall(r"\w+", wanted)))


def _said(value: Any) -> str:
    """The value where it is short, else its type."""
    if isinstance(value, tuple | list) and len(value) <= 4:
        inside = ", ".join(map(_said, value))
        comma = "," if len(value) == 1 else ""
        return f"({inside}{comma})" if isinstance(value, tuple) else f"[{inside}]"
    if value is None or isinstance(value, bool | int | float | str):
        return text if len(text := repr(value)) <= _SHORT else f"{text[:_SHORT]}..."
    return type(value).__name__
