"""Packages that only some users need."""

import importlib
from typing import Any

from ._core import ArgumentError


class MissingPackageError(ArgumentError):
    """A package that an extra of normlab brings is not installed."""


def package(name: str, extra: str, what: str) -> Any:
    """The package; MissingPackageError that says what needs it and what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f'{what} needs the package {name}: pip install "normlab[{extra}]"'
        ) from error
