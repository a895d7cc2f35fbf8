"""Means with 95 % intervals of Student's t, paired differences, and tests of them by SciPy.

scipy.stats takes a second to import, so that only the tests load it; intervals need scipy.special.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.05
"""Of all tests; intervals cover 1 - LEVEL."""

POWER = 0.8
"""The chance that seeds_needed() asks for."""

_MOST_SEEDS = 10_000
_ROUNDING = 1e-9  # below it, a difference of test numbers is zero


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
    from scipy.special import stdtrit  # type: ignore[import-untyped,unused-ignore]

    quantile = float(stdtrit(n - 1, 1 - LEVEL / 2))
    return Estimate(mean, quantile * statistics.stdev(values) / math.sqrt(n), n)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """The mean of a - b over the seeds that both have; None if they share none."""
    shared = sorted(a.keys() & b.keys())
    return estimate([a[seed] - b[seed] for seed in shared]) if shared else None


def p_value(values: Sequence[float]) -> float | None:
    """Student's t test of mean zero, two-sided; None for one value or without spread."""
    if len(values) < 2 or statistics.stdev(values) <= _ROUNDING:
        return None
    from scipy.stats import ttest_1samp  # type: ignore[import-untyped,unused-ignore]

    return float(ttest_1samp(values, 0.0).pvalue)


def sign_test(better: int, worse: int) -> float | None:
    """The two-sided sign test; ties are left out. None without a sign."""
    if not better + worse:
        return None
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue)


def combined(several: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Stouffer's test of several samples together, two-sided, weighted by the root of their sizes.

    Each sample enters with the one-sided p-value of its t test.

    Returns:
        The p-value, and 1 where the samples together lie above zero, else -1; None if no sample has
        a test.
    """
    samples = [values for values in several if p_value(values) is not None]
    if not samples:
        return None
    from scipy.stats import combine_pvalues, ttest_1samp

    def one_sided(side: str) -> float:
        each = [float(ttest_1samp(x, 0.0, alternative=side).pvalue) for x in samples]
        weights = [math.sqrt(len(values)) for values in samples]
        return float(combine_pvalues(each, method="stouffer", weights=weights).pvalue)

    above, below = one_sided("greater"), one_sided("less")  # 1 - above rounds to 0 where it is tiny
    return min(2 * min(above, below), 1.0), 1 if above <= below else -1


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number by Holm (1979); None, for no test, stays and counts not.

    SciPy's false_discovery_control() bounds another rate: the share of false findings.
    """
    tests = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    least = 0.0
    for place, (p, i) in enumerate(tests):
        least = max(least, min(1.0, (len(tests) - place) * p))
        corrected[i] = least
    return corrected


def power(difference: float, deviation: float, n: int) -> float:
    """The chance that n paired differences of that mean and deviation are told from zero."""
    from scipy.special import stdtrit
    from scipy.stats import ncf

    bound = float(stdtrit(n - 1, 1 - LEVEL / 2))
    # The square of a noncentral t is a noncentral F; SciPy's nct.cdf() is NaN for some large n.
    return float(ncf.sf(bound**2, 1, n - 1, n * (difference / deviation) ** 2))


def seeds_needed(difference: float, deviation: float) -> int | None:
    """The least number of seeds with a chance of POWER; None for more than 10,000.

    Args:
        difference: The true mean of the paired differences.
        deviation: Their deviation from seed to seed, above zero.
    """
    if power(difference, deviation, _MOST_SEEDS) < POWER:
        return None
    low, high = 1, _MOST_SEEDS  # power grows with n
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, deviation, middle) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high
