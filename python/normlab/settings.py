"""Settings of a study's runs, as results and checkpoints keep them."""

import math
from dataclasses import asdict, dataclass
from typing import Any


def whole(value: Any, least: int) -> bool:
    """True for a whole number, Python's or NumPy's, of at least that."""
    return hasattr(value, "__index__") and not isinstance(value, bool) and int(value) >= least


def finite(value: Any) -> bool:
    """True for a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers beside variant, C and seed.

    Attributes:
        epochs: At most so many passes over the training data.
        patience: Stop when validation has not improved for so many epochs.
        batch: Examples a step (tokens, where a task counts these).
        lr: Learning rate.
        denominator: "var_eps" or "std_eps", see the engine's norm.h.
        eps: Added in the denominator.
        k: AdaNorm's slope.
        train_items: Train on that many first examples only; None: on all.
    """

    epochs: int
    patience: int
    batch: int
    lr: float
    denominator: str = "var_eps"
    eps: float = 1e-5
    k: float = 0.1
    train_items: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in results and checkpoints."""
        return asdict(self)
