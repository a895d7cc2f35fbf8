"""Means with 95 % intervals of Student's t, and paired differences."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ROUNDING = 1e-9  # below it, a difference of percentages is zero


@dataclass(frozen=True)
class Estimate:
    """A mean over n values and half of its 95 % interval, None for fewer than two values."""

    mean: float
    half: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """True if zero lies outside the interval.

        False without spread: values that happen to be equal say nothing about chance.
        """
        return self.half is not None and _ROUNDING < self.half < abs(self.mean)

    @property
    def includes_zero(self) -> bool:
        """True if zero lies within the interval."""
        return self.half is not None and abs(self.mean) <= max(self.half, _ROUNDING)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval; ValueError without values."""
    n = len(values)
    if n == 0:
        raise ValueError("estimate: wants at least one value")
    mean = statistics.fmean(values)
    if n == 1:
        return Estimate(mean, None, 1)
    half = t_quantile(0.975, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, half, n)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """The mean of a - b over the seeds that both have; None if they share none."""
    shared = sorted(a.keys() & b.keys())
    return estimate([a[seed] - b[seed] for seed in shared]) if shared else None


def t_quantile(p: float, freedom: int) -> float:
    """The p-quantile of Student's t distribution, 0.5 <= p < 1, by bisection.

    Args:
        p: Probability.
        freedom: Degrees of freedom.
    """
    low, high = 0.0, 1.0
    while _t_probability(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, freedom) < p else (low, middle)
    return high


def _t_probability(t: float, freedom: int) -> float:
    """P(T < t) for t >= 0: the finite series of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(freedom))
    sin, cos = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cos, 0.0) if odd else (1.0, 0.0)
    for i in range(1 + odd, freedom, 2):
        total += term
        term *= cos * cos * i / (i + 1)
    within = 2 / math.pi * (angle + sin * total) if odd else sin * total
    return 0.5 + within / 2
