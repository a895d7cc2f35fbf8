"""The repr of data sets."""

from collections.abc import Sized
from typing import Protocol


class _InSplits(Protocol):
    name: str
    origin: str

    @property
    def train(self) -> Sized: ...
    @property
    def valid(self) -> Sized: ...
    @property
    def test(self) -> Sized: ...


def in_short(data: _InSplits) -> str:
    """Name, sizes and origin in one line."""
    names = ("train", "valid", "test")
    sizes = ", ".join(f"{name} {len(getattr(data, name)):,}" for name in names)
    return f"{type(data).__name__}({data.name!r}: {sizes}; {data.origin})"
