"""The options of a variant, read from its row in the engine's table."""

from typing import Any

from .. import norm_traits
from ..settings import Settings

_DIVIDED_BY_A_ROOT = ("std", "rms", "l2")


def is_adaptive(norm: str) -> bool:
    """True if the variant has AdaNorm's C and k."""
    return bool(norm_traits(norm)["output"] == "adaptive")


def needs_a_batch(norm: str) -> bool:
    """True if the variant's statistics are those of a batch, which needs two rows."""
    return bool(norm_traits(norm)["group"] == "batch")


def norm_options(norm: str, settings: Settings, scale: float | None) -> dict[str, Any]:
    """Keyword arguments for nn.Norm: only what this variant takes."""
    options: dict[str, Any] = {}
    if norm_traits(norm)["scale"] in _DIVIDED_BY_A_ROOT:
        options |= {"eps": settings.eps, "denominator": settings.denominator}
    if is_adaptive(norm):
        options |= {"k": settings.k} | ({} if scale is None else {"C": scale})
    return options
