"""Signatures of compiled functions, read from the lines that pybind11 writes into docstrings.

Loaded when the first signature or docstring is asked for.
"""

import __future__

import inspect
import re
from collections.abc import Callable
from inspect import Signature
from typing import Any

_OVERLOADED = "Overloaded function.\n\n"


class _Name(str):
    """A type as a signature shows it, without quotation marks."""

    __repr__ = str.__str__


def signature(function: Any) -> Signature:
    """The only signature, or ``(*args, **kwargs)`` of an overloaded function."""
    return parsed(_split(function)[0])


def signatures(function: Any) -> list[Signature]:
    """The signature of each overload."""
    first, rest = _split(function)
    lines = re.findall(r"^\d+\. \w*(\(.*)$", rest, re.M) if _OVERLOADED in rest else [first]
    return list(map(parsed, lines))


def documentation(function: Any) -> str:
    """The docstring, or the signature if there is none. Overloads are numbered."""
    first, rest = _split(function)
    rest = rest.replace(_OVERLOADED, "").strip() or function.__name__ + readable(first)
    return re.sub(r"^\d+\. .*$", lambda line: readable(line[0]), rest, flags=re.M)


def parsed(line: str) -> Signature:
    """The signature of ``(x: normlab._core.Tensor, axis: int = 0) -> float``."""
    code = f"def function{line}: ..."
    flags = __future__.annotations.compiler_flag
    scope: dict[str, Callable[..., Any]] = {"dtype": str}  # a default is NumPy's dtype('float32')
    exec(compile(code, "<signature>", "exec", flags, dont_inherit=True), scope)
    found = inspect.signature(scope["function"])
    parameters = [p.replace(annotation=_name(p.annotation)) for p in found.parameters.values()]
    return Signature(parameters, return_annotation=_name(found.return_annotation))


def readable(types: str) -> str:
    """Type names without modules, and numbers without the protocols that convert to them."""
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", types)
    return re.sub(r"Supports(Int|Float) \| SupportsIndex", lambda m: m[1].lower(), text)


def _name(annotation: Any) -> Any:
    return annotation if annotation is Signature.empty else _Name(readable(annotation))


def _split(function: Any) -> tuple[str, str]:
    """The first signature without the function's name, and the rest of the docstring."""
    first, _, rest = (function.__wrapped__.__doc__ or "").partition("\n")
    return first[first.find("(") :], rest.strip()
