"""Each claim of the paper against the numbers: better, worse or undecided, and over all tasks."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...paper import CLAIMS, NAMES, Claim
from ..stats import (
    LEVEL,
    Estimate,
    combined,
    estimate,
    holm,
    p_value,
    seeds_needed,
    sign_test,
)
from .columns import Column

BETTER, WORSE, UNDECIDED, MISSING = "better", "worse", "undecided", "not measured"
EQUAL = "equal"


@dataclass(frozen=True)
class Comparison:
    """A claim on one column. Positive differences favour the claim's variant, in any metric.

    Attributes:
        claim, column: What is compared, and where.
        word: BETTER, WORSE, UNDECIDED (at 95 %) or MISSING.
        why: What the word rests on where that is not the interval.
        differences: Paired by seed.
        holm: The p-value, corrected for all comparisons of the page.
    """

    claim: Claim
    column: Column
    word: str
    why: str = ""
    differences: Sequence[float] = ()
    holm: float | None = None

    @property
    def estimate(self) -> Estimate | None:
        """Mean difference and its interval; None without differences."""
        return estimate(self.differences) if self.differences else None

    @property
    def p(self) -> float | None:
        """Of the paired t test."""
        return p_value(self.differences)

    @property
    def relative(self) -> float | None:
        """The mean difference in per cent of the baseline's mean: one unit for all tasks."""
        baseline = self.column.mean(self.claim.baseline)
        if not self.differences or baseline is None or not baseline.mean:
            return None
        return 100 * statistics.fmean(self.differences) / abs(baseline.mean)

    @property
    def direction(self) -> int:
        """1 where the variant's mean is the better one, -1 where the worse, 0 if neither."""
        if self.differences:
            return _sign(statistics.fmean(self.differences))
        return {BETTER: 1, WORSE: -1}.get(self.word, 0)

    @property
    def counts(self) -> bool:
        """True if it belongs to the verdict over all tasks: measured, on data not generated."""
        return self.word != MISSING and not self.column.generated

    @property
    def authors(self) -> str:
        """The word of the authors' own single numbers; empty where they give none."""
        theirs = self.column.theirs
        one, other = (theirs.results.get(x) for x in (self.claim.variant, self.claim.baseline))
        if one is None or other is None:
            return ""
        if math.isnan(one) or math.isnan(other):
            sign = int(math.isnan(other)) - int(math.isnan(one))
        else:
            sign = theirs.sign * _sign(one - other)
        return {1: BETTER, -1: WORSE}.get(sign, EQUAL)

    @property
    def more_seeds(self) -> str:
        """How many more seeds would decide it, in words; empty where it is decided or unknown."""
        if self.word != UNDECIDED or self.p is None:
            return ""
        mean, deviation = statistics.fmean(self.differences), statistics.stdev(self.differences)
        needed = seeds_needed(mean, deviation)
        if needed is None:
            return "more than 10,000"
        return f"about {max(needed - len(self.differences), 1):,}"


@dataclass(frozen=True)
class Finding:
    """A claim over all columns.

    Attributes:
        claim: The claim.
        comparisons: One a column.
        signs_holm, combined_holm: p-values of the tests over all tasks, corrected.
    """

    claim: Claim
    comparisons: Sequence[Comparison]
    signs_holm: float | None = None
    combined_holm: float | None = None

    @property
    def counted(self) -> list[Comparison]:
        """Comparisons that the verdict rests on."""
        return [each for each in self.comparisons if each.counts]

    def number(self, word: str) -> int:
        """Columns with that word among those that count."""
        return sum(each.word == word for each in self.counted)

    @property
    def signs(self) -> tuple[int, int]:
        """Columns whose mean is the better one, and the worse one."""
        directions = [each.direction for each in self.counted]
        return directions.count(1), directions.count(-1)

    @property
    def signs_p(self) -> float | None:
        """Of the sign test over the columns."""
        return sign_test(*self.signs)

    @cached_property
    def together(self) -> tuple[float, int] | None:
        """Stouffer's test of all columns together: see combined()."""
        return combined([each.differences for each in self.counted])

    @property
    def combined_p(self) -> float | None:
        """Of Stouffer's test."""
        return self.together[0] if self.together else None

    @property
    def pooled(self) -> Estimate | None:
        """The mean over columns of the relative difference, with an interval over columns."""
        found = [each.relative for each in self.counted if each.relative is not None]
        return estimate(found) if found else None

    @property
    def authors(self) -> tuple[int, int]:
        """On how many columns the authors' numbers agree with the claim, and of how many."""
        words = [each.authors for each in self.comparisons if each.authors]
        return words.count(BETTER if self.claim.sign > 0 else WORSE), len(words)

    @property
    def verdict(self) -> str:
        """The claim's fate in a word or two, by the corrected tests over all tasks."""
        if not self.counted:
            generated = any(each.word != MISSING for each in self.comparisons)
            return "only stand-ins were measured" if generated else MISSING
        up, down = self.signs
        _, sign = self.together or (None, 0)
        tests = ((self.signs_holm, _sign(up - down)), (self.combined_holm, sign))
        told = {sign for p, sign in tests if p is not None and p < LEVEL}
        if told == {self.claim.sign}:
            return "holds"
        return "is contradicted" if told == {-self.claim.sign} else UNDECIDED


def findings(columns: Sequence[Column]) -> list[Finding]:
    """Every claim on every column, with p-values corrected by Holm.

    The comparisons of all claims on all columns are one family; the tests over all columns, two a
    claim, are another.
    """
    raw = [[compare(claim, column) for column in columns] for claim in CLAIMS]
    single = iter(holm([each.p for several in raw for each in several]))
    found = [
        Finding(claim, [replace(each, holm=next(single)) for each in several])
        for claim, several in zip(CLAIMS, raw, strict=True)
    ]
    overall = iter(holm([p for each in found for p in (each.signs_p, each.combined_p)]))
    return [replace(each, signs_holm=next(overall), combined_holm=next(overall)) for each in found]


def compare(claim: Claim, column: Column) -> Comparison:
    """The claim on one column."""
    pair = (claim.variant, claim.baseline)
    if absent := [NAMES[norm] for norm in pair if column.row(norm) is None]:
        why = column.why or f"no run of {' and '.join(absent)}"
        return Comparison(claim, column, MISSING, why)
    ours, theirs = (column.tests(norm) for norm in pair)
    if lost := [NAMES[norm] for norm in pair if not column.tests(norm)]:
        word = UNDECIDED if len(lost) == 2 else BETTER if ours else WORSE
        verb = "diverge" if len(lost) == 2 else "diverges"
        return Comparison(claim, column, word, f"{' and '.join(lost)} {verb}")
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return Comparison(claim, column, MISSING, "no seed in common")
    differences = [column.theirs.sign * (ours[seed] - theirs[seed]) for seed in seeds]
    word, why = _word(differences)
    if runs := sum(column.diverged(norm) for norm in pair):
        why = "; ".join(text for text in (why, f"{runs} diverged and left out") if text)
    return Comparison(claim, column, word, why, differences)


def _word(differences: Sequence[float]) -> tuple[str, str]:
    value = estimate(differences)
    if value.n == 1:
        return UNDECIDED, "one seed: no interval"
    if value.excludes_zero:
        return (BETTER if value.mean > 0 else WORSE), ""
    return UNDECIDED, "" if p_value(differences) is not None else "no spread over the seeds"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
