"""The paper's whole table: the studies that fill its columns, in one folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .._extras import MissingPackageError
from ..data import DataMissingError
from ..paper import RESULTS, VARIANTS, Filler, PaperTask
from ..settings import Settings
from .display import Display
from .standins import STANDINS
from .study import Study
from .task import Task
from .translating import translate_task

NO_TASK = "normlab has no task for it"
_QUICK_SCALES = (1.0,)  # to choose AdaNorm's C would take four times as long

# Tasks of the paper's other languages, which --task translate has with its options.
_LANGUAGES: Mapping[str, Callable[[], Task[Any]]] = {
    "de_en": partial(translate_task, "iwslt14"),
    "translate_multi30k_de_en": partial(translate_task, "multi30k", "de", "en"),
    "en_vi": partial(translate_task, "iwslt15"),
}


class Shortened:
    """A task with the quick settings of its row in paper.RESULTS, for network and training."""

    def __init__(self, task: Task[Any], filler: Filler):
        self._task = copy(task)
        short = replace(task.settings, **filler.quick)
        self._task.settings = replace(short, patience=short.epochs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._task, name)

    @property
    def quick(self) -> Settings:
        """See Task."""
        return self._task.settings


@dataclass(frozen=True)
class PaperStudy:
    """All studies of the paper's table.

    Attributes:
        out: Folder of results.jsonl, of the studies' report and of the paper's table.
        seeds: One run each for every variant.
        quick: Short settings, generated data where the real ones are missing, C = 1.
        jobs, scheduler: See Study.
    """

    out: Path
    seeds: Sequence[int]
    quick: bool = False
    jobs: int = 1
    scheduler: str | None = None

    def run(self, show: Callable[[], Display] | None = None) -> dict[str, str]:
        """Trains what is not finished, column by column, and writes the studies' report.

        The paper's last columns come first: translations and texts take the longest.

        Args:
            show: Makes the display of each study.

        Returns:
            Why a column was not filled, by its name in paper.RESULTS.

        Raises:
            As Study.run(), but data that are missing are a reason and no error.
        """
        from ..report import write_report

        columns = reversed([*RESULTS.items()])
        reasons = {name: self._fill(column, show) for name, column in columns}
        if not all(reasons.values()):
            write_report(self.out)
        return {name: reason for name, reason in reasons.items() if reason}

    def _fill(self, column: PaperTask, show: Callable[[], Display] | None) -> str:
        """Trains the first task of the column that has data; else returns the reason."""
        reason = NO_TASK
        for task in self._tasks(column):
            try:
                self._study(task).run(show() if show else None)
            except DataMissingError as error:
                reason = f"no data: {error}"
            except MissingPackageError as error:
                reason = str(error)
            else:
                return ""
        return reason

    def _tasks(self, column: PaperTask) -> Iterator[Any]:
        """The best first; the quickest first, which are the last, where all is to be quick."""
        known = known_tasks()
        ours = [filler for filler in column.fillers if filler.task in known]
        if self.quick:
            ours.reverse()
        for makers in (known, STANDINS) if self.quick else (known,):
            for filler in ours:
                if make := makers.get(filler.task):
                    yield Shortened(make(), filler) if self.quick else make()

    def _study(self, task: Any) -> Study:
        return Study(
            tasks=[task],
            norms=VARIANTS,
            seeds=self.seeds,
            out=self.out,
            scales=_QUICK_SCALES if self.quick else None,
            quick=self.quick,
            jobs=self.jobs,
            scheduler=self.scheduler,
            report=False,  # one at the end: pictures of all columns after each take long
        )


def known_tasks() -> Mapping[str, Callable[[], Task[Any]]]:
    """All tasks of normlab that may fill a column."""
    from . import TASKS

    return {**TASKS, **_LANGUAGES}


def untasked() -> dict[str, str]:
    """The columns for which there is no task, with that reason."""
    known = known_tasks()
    return {
        name: NO_TASK
        for name, column in RESULTS.items()
        if not any(filler.task in known for filler in column.fillers)
    }
