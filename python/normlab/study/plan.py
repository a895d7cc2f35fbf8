"""Makes the runs of a study from its variants, seeds and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core import ArgumentError
from ..results import Result, identify, score
from ..settings import Settings, finite, whole
from .norms import is_adaptive
from .run import Run
from .task import Dataset, Task

_DENOMINATORS = ("var_eps", "std_eps")


@dataclass(frozen=True)
class Overrides:
    """Settings that the user gave; None keeps the task's.

    Raises:
        ArgumentError: A value with which no task can train.
    """

    epochs: int | None = None
    patience: int | None = None
    batch: int | None = None
    lr: float | None = None
    denominator: str | None = None

    def __post_init__(self) -> None:
        """ArgumentError as above."""
        rules = {
            **{
                name: (whole(getattr(self, name), 1), "a whole number of 1 or more")
                for name in ("epochs", "patience", "batch")
            },
            "lr": (finite(self.lr) and float(self.lr or 0) >= 0, "a finite number of 0 or more"),
            "denominator": (self.denominator in _DENOMINATORS, " or ".join(_DENOMINATORS)),
        }
        for name, (fits, rule) in rules.items():
            if (given := getattr(self, name)) is not None and not fits:
                raise ArgumentError(f"{name}: must be {rule}; is {given!r}")

    def on(self, settings: Settings) -> Settings:
        """The task's settings with these on top."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(settings, **given)


@dataclass(frozen=True)
class Choice:
    """One number of the table: a single run, or AdaNorm's best over C on the validation set."""

    runs: tuple[Run, ...]

    @property
    def id(self) -> str:
        """Id of the line with the chosen C, or of the run if nothing is chosen."""
        if not self.searches:
            return self.runs[0].id
        return identify({"choice": sorted(run.id for run in self.runs)})

    @property
    def searches(self) -> bool:
        """True if the variant has a C to choose."""
        return self.runs[0].C is not None

    def result(self, results: Mapping[str, Result]) -> Result:
        """The line that records the choice. `results` must have every run."""
        tried = [results[run.id] for run in self.runs]
        chosen = max(tried, key=lambda result: score(result, "valid"))  # the first of equals
        return {
            **chosen,
            "candidate": False,
            "id": self.id,
            "C_candidates": {f"{result['C']:g}": result["valid"] for result in tried},
            "search_seconds": round(sum(result["seconds"] for result in tried), 3),
        }


def choices(
    task: Task[Any],
    data: Dataset,
    settings: Settings,
    norms: Sequence[str],
    seeds: Sequence[int],
    scales: Sequence[float],
    device: str = "cpu",
    precision: str = "float32",
) -> list[Choice]:
    """All choices, ordered by seed, so that every variant has a number early."""

    def run(norm: str, seed: int, scale: float | None) -> Run:
        return Run(task.name, norm, seed, settings, data.fingerprint, scale, device, precision)

    return [
        Choice(
            tuple(run(norm, seed, scale) for scale in (scales if is_adaptive(norm) else (None,)))
        )
        for seed in seeds
        for norm in norms
    ]
