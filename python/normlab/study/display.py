"""Progress of a study: a bar if somebody watches, else one line a finished run."""

import sys
from collections.abc import Callable
from typing import Any

from .._core import FileError
from .._plain import plain
from .._text_format import counted
from ..progress import bar, is_watched
from ..results import Result, decimals, with_unit
from .run import Run

_FORMAT = "{desc}{bar} {n:.1f}/{total:.0f} epochs, {elapsed} elapsed, {remaining} left"
_SECONDS = 0.5  # between two updates of the bar
_SMOOTHING = 0.01  # the time left follows the speed of the last one or two minutes


class Display:
    """Is told of every step of a study. This one shows nothing."""

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def start(self, epochs: float, runs: int, done: int) -> None:
        """At most `epochs` epochs in `runs` runs are left; `done` runs are in the folder."""

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
    step = result.get("diverged_at")
    end = (
        f"diverged at step {step:,}"
        if step
        else "diverged"
        if result["diverged"]
        else f"stopped after epoch {result['epochs']}"
        if result["stopped_early"]
        else counted(result["epochs"], "epoch")
    )
    warning = f"  [{result['warning']}]" if result["warning"] else ""
    return (
        f"{run.task}  {run.label:<28} test {_number(result, 'test')}  "
        f"valid {_number(result, 'valid')}  {end}, best {result['best_epoch']}  "
        f"{result['seconds']:.1f} s{warning}"
    )


def _number(result: Result, name: str) -> str:
    return with_unit(f"{result[name]:.{decimals(result)}f}", result)


def _say(text: str, write: Callable[[str], object] | None = None) -> None:
    """Prints in any encoding. FileError names standard output; BrokenPipeError passes."""
    try:
        shown = plain(text, getattr(sys.stdout, "encoding", None))
        write(shown) if write else print(shown, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileError(f"standard output: cannot be written: {error.strerror or error}") from error


class Lines(Display):
    """Prints a line for each event, for files and pipes."""

    def start(self, epochs: float, runs: int, done: int) -> None:
        """See Display."""
        self.say(
            f"Runs to do: {runs}, at most {counted(epochs, 'epoch')}"
            + (f"; finished already: {done}" if done else "")
        )

    def finish(self, run: Run, result: Result) -> None:
        """See Display."""
        self.say(line(run, result))

    def again(self, run: Run) -> None:
        """See Display."""
        self.say(f"{run.label}: the best run is trained again: its model was not kept")

    def say(self, text: str) -> None:
        """See Display."""
        _say(text)


class Bar(Lines):
    """Moves one bar over all epochs of all runs, with the time left, for terminals and notebooks.

    Each finished run is a line above it.
    """

    def __enter__(self) -> "Bar":
        self._bar: Any = None
        self._done: dict[str, float] = {}
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def start(self, epochs: float, runs: int, done: int) -> None:
        """See Display."""
        if done:
            self.say(f"Finished already: {done} of {done + runs} runs")
        if runs:
            self._open(epochs)

    def move(self, run: Run, epochs: float) -> None:
        """See Display."""
        self._done[run.id] = epochs
        self._bar.set_description(run.label, refresh=False)
        self._show()

    def finish(self, run: Run, result: Result) -> None:
        """See Display."""
        self._done[run.id] = run.settings.epochs  # perhaps it stopped before
        self._show()
        super().finish(run, result)

    def again(self, run: Run) -> None:
        """See Display."""
        super().again(run)
        self._done.clear()
        self._open(run.settings.epochs)

    def say(self, text: str) -> None:
        """See Display."""
        _say(text, None if self._bar is None else self._bar.write)

    def _show(self) -> None:
        self._bar.update(sum(self._done.values()) - self._bar.n)

    def _open(self, epochs: float) -> None:
        self._close()
        self._bar = bar(
            total=epochs,
            bar_format=_FORMAT,
            mininterval=_SECONDS,
            smoothing=_SMOOTHING,
            dynamic_ncols=True,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def display() -> Display:
    """A bar or lines, as standard output needs."""
    return Bar() if is_watched(sys.stdout) else Lines()
