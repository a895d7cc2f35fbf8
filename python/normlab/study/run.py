"""One run: one variant, one seed, trained to its end and tested; resumable after any epoch."""

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import (
    Tensor,
    build_info,
    cuda,
    get_rng_state,
    load_with_metadata,
    manual_seed,
    matmul_precision,
    num_threads,
    save,
    set_rng_state,
    tensor,
)
from .._core import FileError
from ..machine import processor
from ..results import HISTORY, NOTHING_IS_LOST, Result, identify, signed
from ..settings import Settings
from .norms import norm_options
from .task import NormChoice

if TYPE_CHECKING:
    from .. import nn, optim
    from .task import Dataset, Score, Task

Report = Callable[[float], None]


@dataclass(frozen=True)
class Run:
    """All that decides a training run. Equal runs give equal numbers.

    Attributes:
        task: Name of the task.
        norm: Name of the variant.
        seed: Of weights, order and dropout.
        settings: Everything else that decides the numbers.
        fingerprint: The data's sum.
        C: AdaNorm's scale, None for the others.
        device: "cpu" or "cuda", which round differently.
        precision: "float32" or "bfloat16", see matmul_precision.
    """

    task: str
    norm: str
    seed: int
    settings: Settings
    fingerprint: str
    C: float | None = None
    device: str = "cpu"
    precision: str = "float32"

    @cached_property
    def id(self) -> str:
        """Names the run's checkpoint and its line in the results."""
        return identify({"run": self.facts()})

    def facts(self) -> dict[str, Any]:
        """Plain values, with device and precision only if they are not the usual ones."""
        facts = asdict(self)
        for name, usual in (("device", "cpu"), ("precision", "float32")):
            if facts[name] == usual:
                del facts[name]
        return facts

    @property
    def label(self) -> str:
        """The run in words."""
        return f"{self.norm}{'' if self.C is None else f' C={self.C:g}'}, seed {self.seed}"


@dataclass
class Progress:
    """State of a run after an epoch: the JSON part of its checkpoint."""

    history: dict[str, list[float | None]] = field(
        default_factory=lambda: {name: [] for name in HISTORY}
    )
    seconds: float = 0.0
    best_epoch: int = 0
    diverged: bool = False
    diverged_at: int | None = None  # the step, if the task tells

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.history["valid"])

    @property
    def valid(self) -> float:
        """The best epoch's number on the validation set."""
        return float(self.history["valid"][self.best_epoch - 1] or 0.0)

    def stopped_early(self, settings: Settings) -> bool:
        """True if validation has not improved for `patience` epochs."""
        return self.epochs < settings.epochs and self.epochs - self.best_epoch >= settings.patience

    def finished(self, settings: Settings) -> bool:
        """True if only the test is left."""
        return self.diverged or self.epochs >= settings.epochs or self.stopped_early(settings)


class Trainer:
    """A run under way: network, optimizer, best weights, progress."""

    def __init__(self, task: "Task[Any]", data: "Dataset", run: Run, checkpoint: Path):
        self.task, self.data, self.run, self.checkpoint = task, data, run, checkpoint
        manual_seed(run.seed)
        choice = NormChoice(run.norm, norm_options(run.norm, run.settings, run.C))
        self.model: nn.Module = task.build(data, choice).to(run.device)
        self.optimizer: optim.Optimizer = task.optimizer(self.model, run.settings)
        self.best: dict[str, Tensor] = {}
        self.progress = Progress()
        if checkpoint.exists():
            self._restore()

    def finish(self, report: Report, stored: Callable[[], None] = lambda: None) -> Result:
        """Trains the remaining epochs and tests.

        Calls report(epochs done) now and then, and stored() after each checkpoint.
        """
        with matmul_precision(self.run.precision):
            report(self.progress.epochs)
            while not self.progress.finished(self.run.settings):
                self._epoch(report)
                self._store()
                stored()
            return self._tested()

    def _tested(self) -> Result:
        start = time.perf_counter()
        # Of a run that diverged at once, the best weights may be NaN: its result says so.
        self.model.load_state(self.best, allow_nonfinite=self.progress.diverged)
        test = self.task.evaluate(self.model, self.data, "test")
        self.progress.seconds += time.perf_counter() - start
        return self._result(test)

    def save(self, path: Path, result: Result) -> None:
        """Writes the best epoch's model of a finished run, with the run's facts and numbers.

        A run that diverged leaves none.
        """
        if self.progress.diverged:
            return
        names = ("task", "norm", "seed", "C", "valid", "test", "version", "fingerprint")
        notes = {name: str(result[name]) for name in names if result[name] is not None}
        try:
            path.parent.mkdir(exist_ok=True)
            self.task.save(path, self.model, self.data, notes | {"run": self.run.id})
        except OSError as error:
            raise FileError(f"{error}. {NOTHING_IS_LOST}") from error

    def _epoch(self, report: Report) -> None:
        start, progress = time.perf_counter(), self.progress
        done = progress.epochs
        train = self.task.train_epoch(
            self.model,
            self.optimizer,
            self.data,
            self.run.settings,
            done + 1,
            _seldom(lambda share: report(done + share)),
        )
        valid = self.task.evaluate(self.model, self.data, "valid")
        numbers = (train.loss, train.metric, valid.loss, valid.metric)
        for name, number in zip(HISTORY, numbers, strict=True):
            progress.history[name].append(_finite(number))
        losses = math.isfinite(train.loss) and math.isfinite(valid.loss)
        progress.diverged = not (losses and _all_finite(self.model.state()))
        progress.diverged_at = train.more.get("diverged_at")
        if progress.best_epoch == 0 or self._improves(valid.metric):
            progress.best_epoch = progress.epochs
            self.best = {name: _copy(value) for name, value in self.model.state().items()}
        progress.seconds += time.perf_counter() - start

    def _improves(self, metric: float) -> bool:
        better = self.task.higher_is_better
        return signed(metric, better) > signed(self.progress.valid, better)

    def _store(self) -> None:
        parts = {
            # Detached: the weights of a run that diverged are no model, but where it stands.
            "model": {name: value.detach() for name, value in self.model.state().items()},
            "best": self.best,
            "optimizer": self.optimizer.state(),
        }
        tensors = {
            f"{part}.{name}": value
            for part, values in parts.items()
            for name, value in values.items()
        }
        metadata = {
            "id": self.run.id,
            "run": json.dumps(self.run.facts()),
            "rng": json.dumps(get_rng_state()),
            "progress": json.dumps(asdict(self.progress)),
        }
        try:
            self.checkpoint.parent.mkdir(exist_ok=True)
            save(self.checkpoint, tensors, metadata)
        except OSError as error:
            raise FileError(f"{error}. {NOTHING_IS_LOST}") from error

    def _restore(self) -> None:
        with _explained(self.checkpoint):
            tensors, metadata = load_with_metadata(self.checkpoint)
            if metadata["id"] != self.run.id:
                raise ValueError(f"is of run {metadata['id']}, not {self.run.id}")
            self.progress = Progress(**json.loads(metadata["progress"]))
            self.model.load_state(_part(tensors, "model"), allow_nonfinite=self.progress.diverged)
            self.optimizer.load_state(_part(tensors, "optimizer"))
            self.best = _part(tensors, "best")
            set_rng_state(tuple(json.loads(metadata["rng"])))

    def _result(self, test: "Score") -> Result:
        run, progress = self.run, self.progress
        info = build_info(gpu=False)  # a study on the CPU leaves the GPU alone
        return {
            "task": run.task,
            "norm": run.norm,
            "seed": run.seed,
            "C": run.C,
            "epochs": progress.epochs,
            "valid": progress.valid,
            "test": test.metric,
            **test.more,
            "seconds": round(progress.seconds, 3),
            "data": self.data.origin,
            "version": info["version"],
            "denominator": run.settings.denominator,
            "best_epoch": progress.best_epoch,
            "stopped_early": progress.stopped_early(run.settings),
            "diverged": progress.diverged,
            **({} if progress.diverged_at is None else {"diverged_at": progress.diverged_at}),
            "test_loss": _finite(test.loss),
            "candidate": run.C is not None,
            **_words(self.task),
            "title": self.task.title,
            "metric": self.task.metric,
            "unit": self.task.unit,
            "higher_is_better": self.task.higher_is_better,
            "warning": self.data.warning,
            "train_items": self.data.train_items,
            "history": progress.history,
            "settings": run.settings.as_dict(),
            "fingerprint": run.fingerprint,
            "threads": num_threads(),
            "isa": info.get("isa"),
            "processor": processor(),
            "device": run.device,
            "precision": run.precision,
            "gpu": cuda.properties()["name"] if run.device == "cuda" else None,
            "peak_memory_mib": _peak_memory_mib(),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "id": run.id,
        }


def _words(task: "Task[Any]") -> dict[str, list[str]]:
    """What the command's --task takes for the task, where that is more than its name."""
    words = getattr(task, "words", None)
    return {"task_words": words} if words else {}


@contextmanager
def _explained(checkpoint: Path) -> Iterator[None]:
    """Turns the errors of a damaged or foreign checkpoint into one FileError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileError(
            f"{checkpoint}: is no checkpoint of this run: {error}. Remove it to train the run anew"
        ) from error


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{part}."): value
        for name, value in tensors.items()
        if name.startswith(f"{part}.")
    }


def _seldom(report: Report) -> Report:
    """Passes on some fifty of an epoch's ticks, because each costs time."""
    last = 0.0

    def tick(share: float) -> None:
        nonlocal last
        if share - last >= 0.02 or share >= 1:
            last = share
            report(share)

    return tick


def _copy(value: Tensor) -> Tensor:
    return tensor(value, copy=True, device="cpu")


def _all_finite(state: Mapping[str, Tensor]) -> bool:
    """True if all values, integers included, are finite."""
    return all(bool(np.isfinite(value.to("cpu").numpy()).all()) for value in state.values())


def _finite(number: float) -> float | None:
    """The number, or None for NaN and infinities, which JSON lacks."""
    return number if math.isfinite(number) else None


def _peak_memory_mib() -> float:
    """Peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
