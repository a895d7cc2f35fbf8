"""The model that a study keeps: that of the run with the best validation number.

Runs that diverged leave no model.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import load_with_metadata
from .._core import FileError
from ..results import Result, score
from .run import Run
from .workers import model_of


class BestModel:
    """model.safetensors in a study's folder. Among equals the plan's first run is the best."""

    def __init__(self, folder: Path, runs: Sequence[Run], finished: Mapping[str, Result]):
        self.folder, self.path = folder, folder / "model.safetensors"
        self._runs = runs
        self._places = {run.id: -i for i, run in enumerate(runs)}
        kept = self._kept()
        if kept in finished and finished[kept]["diverged"]:  # left by an earlier version
            self.path.unlink()
            kept = ""
        self._best = self._rank(finished[kept]) if kept in finished else None
        for run in runs:  # left by a kill between a run's result and the offer of its model
            if run.id in finished and model_of(folder, run).exists():
                self.offer(run, finished[run.id])

    @property
    def found(self) -> bool:
        """True if there is a model."""
        return self._best is not None

    def offer(self, run: Run, result: Result) -> None:
        """Keeps the model that the run left, if it left one, and if it is the best so far."""
        rank = self._rank(result)
        if not result["diverged"] and (self._best is None or rank > self._best):
            os.replace(model_of(self.folder, run), self.path)
            self._best = rank
        else:
            model_of(self.folder, run).unlink(missing_ok=True)

    def missing(self, finished: Mapping[str, Result]) -> Run | None:
        """The best run if it finished without leaving a model; else None."""
        sound = [run for run in self._runs if not finished[run.id]["diverged"]]
        if not sound:
            return None
        best = max(sound, key=lambda run: self._rank(finished[run.id]))
        if self._best == self._rank(finished[best.id]):
            return None
        self._best = None
        return best

    def _rank(self, result: Result) -> tuple[float, int]:
        return score(result, "valid"), self._places[result["id"]]

    def _kept(self) -> str:
        """Id of the run, one of this study's, whose model lies there; empty without a model."""
        if not self.path.exists():
            return ""
        try:
            metadata = load_with_metadata(self.path)[1]
            task, norm, seed, run = (
                str(metadata[f"note.{name}"]) for name in ("task", "norm", "seed", "run")
            )
        except (KeyError, OSError) as error:
            raise FileError(
                f"{self.path}: is no model of a study, and would be overwritten. Move it away"
            ) from error
        if run not in self._places:
            alike = any((r.task, r.norm, str(r.seed)) == (task, norm, seed) for r in self._runs)
            raise FileError(
                f"{self.path}: is the model of task {task}, norm {norm}, seed {seed}"
                f"{' with another C, other settings or other data' if alike else ''}, which this "
                "study does not train. Move it away or choose another --out"
            )
        return run
