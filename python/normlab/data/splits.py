"""What all data sets share."""

from typing import Any


class InSplits:
    """A data set in three splits."""

    name: str
    origin: str

    @property
    def splits(self) -> dict[str, Any]:
        """The three by name: train, valid, test."""
        return {name: getattr(self, name) for name in ("train", "valid", "test")}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"{type(self).__name__}({self.name!r}: {sizes}; {self.origin})"
