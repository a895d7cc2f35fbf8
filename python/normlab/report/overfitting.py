"""Over-fitting: validation loss beside training loss at one epoch for all runs."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .groups import Group, Row
from .stats import Estimate, estimate, paired_difference

VARIANTS = ("layernorm_simple", "adanorm", "gain_only", "bias_only")
"""Variants compared with layernorm: the paper's, then layernorm without bias and without gain."""


@dataclass(frozen=True)
class Losses:
    """A run's losses by epoch, all of them finite."""

    train: Sequence[float]
    valid: Sequence[float]

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.valid)

    @property
    def lowest(self) -> int:
        """Number of the epoch with the lowest validation loss."""
        return 1 + self.valid.index(min(self.valid))

    def gap(self, epoch: int) -> float:
        """Validation loss minus training loss."""
        return self.valid[epoch - 1] - self.train[epoch - 1]


def losses(row: Row) -> dict[int, Losses]:
    """Losses by seed, without runs that diverged or have a loss that is not finite."""
    found = {}
    for result in row.results:
        train, valid = result["history"]["train_loss"], result["history"]["valid_loss"]
        if not result["diverged"] and valid and None not in (*train, *valid):
            found[result["seed"]] = Losses(train, valid)
    return found


def left_out(row: Row) -> int:
    """Number of the row's runs that losses() leaves out."""
    return len(row.results) - len(losses(row))


@dataclass(frozen=True)
class Pair:
    """Layernorm and another variant, over the seeds that both have."""

    baseline: Row
    row: Row
    seeds: Sequence[int]

    @property
    def rows(self) -> tuple[Row, Row]:
        """Layernorm first."""
        return self.baseline, self.row

    @property
    def name(self) -> str:
        """Both names."""
        return " and ".join(row.name for row in self.rows)

    @property
    def averaged(self) -> str:
        """Number of runs behind each point of the curves, in words."""
        n = len(self.seeds)
        return f"mean of {n} seeds" if n > 1 else "one seed"

    def curves(self, row: Row, series: str) -> list[Sequence[float]]:
        """A list for each seed, up to the last epoch that all of the row's runs reached.

        Beyond that epoch, the mean would jump whenever a run stops.
        """
        runs = [losses(row)[seed] for seed in self.seeds]
        end = min(run.epochs for run in runs)
        return [(run.train if series == "train_loss" else run.valid)[:end] for run in runs]


def pairs(group: Group) -> list[Pair]:
    """The group's comparisons with layernorm, in the order of VARIANTS."""
    baseline = group.baseline
    if baseline is None:
        return []
    known = losses(baseline).keys()
    found = [
        Pair(baseline, row, sorted(known & losses(row).keys()))
        for norm in VARIANTS
        for row in group.rows
        if row.norm == norm
    ]
    return [pair for pair in found if pair.seeds]


@dataclass(frozen=True)
class OverFitting:
    """A group's losses at one epoch, the last that every run reached."""

    group: Group
    epoch: int

    def mean(self, row: Row, value: Callable[[Losses], float]) -> Estimate | None:
        """Mean over the row's seeds; None if all its runs diverged."""
        found = [value(run) for run in losses(row).values()]
        return estimate(found) if found else None

    def gap(self, row: Row) -> Estimate | None:
        """Mean of validation loss minus training loss at that epoch."""
        return self.mean(row, lambda run: run.gap(self.epoch))

    def difference(self, row: Row) -> Estimate | None:
        """The gap's paired difference to layernorm; None for layernorm itself."""
        baseline = self.group.baseline
        if baseline is None or row is baseline:
            return None
        return paired_difference(self._gaps(row), self._gaps(baseline))

    def _gaps(self, row: Row) -> dict[int, float]:
        return {seed: run.gap(self.epoch) for seed, run in losses(row).items()}


def overfitting(group: Group) -> OverFitting | None:
    """The comparison; None without layernorm or if no variant's validation loss rises."""
    by_row = [list(losses(row).values()) for row in group.rows]
    reached = [run.epochs for runs in by_row for run in runs]
    if group.baseline is None or not reached:
        return None
    epoch = min(reached)
    return OverFitting(group, epoch) if any(_rises(runs, epoch) for runs in by_row) else None


def _rises(runs: Sequence[Losses], epoch: int) -> bool:
    """True if the mean validation loss at that epoch lies above an earlier one."""
    if not runs:
        return False
    means = [statistics.fmean(run.valid[i] for run in runs) for i in range(epoch)]
    return means[-1] > min(means)
