"""What a study says while it runs: a bar on a terminal, else one line a finished run."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from .results import Result
from .run import Run


class Display(AbstractContextManager["Display"], Protocol):
    """Told of every step of a study."""

    def start(self, epochs: float, runs: int, done: int) -> None:
        """So many epochs in so many runs are left; `done` runs are in the folder."""

    def move(self, run: Run, epochs: float) -> None:
        """The run has done that many epochs."""

    def finish(self, run: Run, result: Result) -> None:
        """The run is over, perhaps before its last epoch."""

    def again(self, run: Run) -> None:
        """A finished run is trained once more, for its model."""

    def say(self, text: str) -> None:
        """A remark."""


def line(run: Run, result: Result) -> str:
    """One finished run in one line."""
    end = (
        "diverged"
        if result["diverged"]
        else f"stopped after epoch {result['epochs']}"
        if result["stopped_early"]
        else f"{result['epochs']} epochs"
    )
    warning = f"  [{result['warning']}]" if result["warning"] else ""
    return (
        f"{run.task}  {run.label:<28} test {result['test']:.2f} {result['unit']}  "
        f"valid {result['valid']:.2f} {result['unit']}  {end}, best {result['best_epoch']}  "
        f"{result['seconds']:.1f} s{warning}"
    )


def _again(run: Run) -> str:
    return f"{run.label}: the best run is trained again: its model was not kept"


class Lines:
    """For files and pipes."""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def start(self, epochs: float, runs: int, done: int) -> None:
        """See Display."""
        self.say(
            f"Runs to do: {runs}, at most {epochs:g} epochs"
            + (f"; finished already: {done}" if done else "")
        )

    def move(self, run: Run, epochs: float) -> None:
        """Nothing: no line moves."""

    def finish(self, run: Run, result: Result) -> None:
        """See Display."""
        self.say(line(run, result))

    def again(self, run: Run) -> None:
        """See Display."""
        self.say(_again(run))

    def say(self, text: str) -> None:
        """See Display."""
        print(text, flush=True)


class Bar:
    """For a terminal: one bar over all epochs of all runs, with the time left."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.1f}/{task.total:.0f} epochs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            expand=True,
            speed_estimate_period=120,
        )
        self._done: dict[str, float] = {}

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, epochs: float, runs: int, done: int) -> None:
        """See Display."""
        self._bar: Any = self._progress.add_task("", total=epochs)
        if done:
            self.say(f"Finished already: {done} of {done + runs} runs")

    def move(self, run: Run, epochs: float) -> None:
        """See Display."""
        step = epochs - self._done.get(run.id, 0.0)
        self._done[run.id] = epochs
        self._progress.update(self._bar, advance=step, description=run.label)

    def finish(self, run: Run, result: Result) -> None:
        """See Display."""
        self._lengthen(self._done.pop(run.id, 0.0) - run.settings.epochs)
        self.say(line(run, result))

    def again(self, run: Run) -> None:
        """See Display."""
        self._lengthen(run.settings.epochs)
        self.say(_again(run))

    def say(self, text: str) -> None:
        """See Display."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _lengthen(self, epochs: float) -> None:
        total = self._progress.tasks[0].total or 0.0
        self._progress.update(self._bar, total=total + epochs)


def display() -> Display:
    """The right one for standard output."""
    return Bar() if sys.stdout.isatty() else Lines()
