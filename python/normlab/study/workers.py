"""Executes runs one by one in this process, or several at a time in worker processes."""

import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from .. import set_num_threads
from .._core import ArgumentError, Error
from ..results import Result
from .display import Display
from .run import Run, Trainer
from .task import Dataset, Task

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]

_NO_MAIN_PART = 77  # exit code of a worker that reached the start of its own study

Loaded = tuple[Task[Any], Dataset]


def checkpoint_of(folder: Path, run: Run) -> Path:
    """Path of the checkpoint of an unfinished run."""
    return folder / "running" / f"{run.id}.safetensors"


def model_of(folder: Path, run: Run) -> Path:
    """Path where a finished run leaves its model."""
    return folder / "running" / f"{run.id}.model.safetensors"


def check_main_part() -> None:
    """Ends a worker process whose import of the main script starts the study again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as spawn itself asks
        raise SystemExit(_NO_MAIN_PART)  # the main process reports the error once


def run_here(
    pending: Sequence[Run],
    tasks: dict[str, Loaded],
    folder: Path,
    display: Display,
    *,
    save: bool = False,
) -> Generator[tuple[Run, Result], None, None]:
    """Yields each run with its result, one after the other. With `save`, runs leave models."""
    for run in pending:
        trainer = Trainer(*tasks[run.task], run, checkpoint_of(folder, run))
        result = trainer.finish(partial(display.move, run))
        if save:
            trainer.save(model_of(folder, run), result)
        yield run, result


def run_in_processes(
    pending: Sequence[Run],
    tasks: dict[str, Loaded],
    folder: Path,
    display: Display,
    *,
    jobs: int,
    threads: int,
    quick: bool,
    save: bool = False,
) -> Generator[tuple[Run, Result], None, None]:
    """Yields each run with its result, `jobs` at a time with `threads` threads each."""
    waiting = list(pending)
    workers: dict[Pipe, BaseProcess] = {}
    at_work: dict[Pipe, Run] = {}
    descriptions = {name: task for name, (task, _) in tasks.items()}
    start = _starter(descriptions)
    try:
        for _ in range(min(jobs, len(waiting))):
            pipe, process = start(folder, threads, quick, save)
            workers[pipe] = process
        for pipe in workers:
            _send_next(pipe, waiting, at_work)
        while at_work:
            for ready in wait(list(at_work)):
                pipe = cast("Pipe", ready)
                run = at_work[pipe]
                message = _receive(pipe, workers[pipe], run)
                if isinstance(message, float):
                    display.move(run, message)
                else:
                    _send_next(pipe, waiting, at_work)
                    yield run, message
    finally:
        for process in workers.values():  # safe at any moment: checkpoints are written whole
            process.terminate()


def _starter(tasks: dict[str, Task[Any]]) -> Callable[..., "tuple[Pipe, BaseProcess]"]:
    """Returns a function that starts a worker; ArgumentError if no worker can have the tasks."""
    if multiprocessing.current_process().daemon:
        raise ArgumentError("jobs: this process may not start others; use jobs=1")
    pickled, needed = _pickled(tasks)
    script = sys.modules["__main__"]
    file = getattr(script, "__file__", None)
    importable = getattr(script, "__spec__", None) is not None or (file and os.path.isfile(file))
    if needed and not importable:
        raise ArgumentError(
            f"jobs: each process imports what a task is made of, but {needed[0]} was typed in or "
            "read from standard input: put it into a module, or use jobs=1"
        )
    # Spawn: a fork copies the locks of other threads as they are. Workers import the script only
    # if they need it.
    hidden = _hidden_script if not needed else nullcontext
    context = multiprocessing.get_context("spawn")

    def start(*arguments: Any) -> "tuple[Pipe, BaseProcess]":
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, daemon=True, args=(theirs, pickled, *arguments))
        with _ignoring_interrupts(), hidden():
            process.start()
        theirs.close()
        return ours, process

    return start


class _Pickler(pickle.Pickler):
    """Collects the names of objects that are pickled as references into the script."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.of_the_script: list[str] = []

    def persistent_id(self, value: Any) -> None:
        """Called for each pickled object."""
        if getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__"):
            self.of_the_script.append(value.__qualname__)


def _pickled(tasks: dict[str, Task[Any]]) -> tuple[bytes, list[str]]:
    """The pickled tasks, and the names of their parts that the main script defines."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(tasks)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"jobs: a task must be picklable to be sent to a process: {error}; use jobs=1"
        ) from error
    return file.getvalue(), pickler.of_the_script


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Workers started within do not import the main script, which may be no file or run a study."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _send_next(pipe: "Pipe", waiting: list[Run], at_work: dict["Pipe", Run]) -> None:
    at_work.pop(pipe, None)
    if waiting:
        at_work[pipe] = waiting.pop(0)
        with suppress(BrokenPipeError, ConnectionResetError):  # _receive says that it ended
            pipe.send(at_work[pipe])


def _receive(pipe: "Pipe", process: BaseProcess, run: Run) -> float | Result:
    try:
        message: float | Result | Exception = pipe.recv()
    except (EOFError, ConnectionResetError):
        process.join(5)
        if process.exitcode == _NO_MAIN_PART:
            raise ArgumentError(
                "jobs: each process imports the script that the task is made of, so the script "
                "must run its study under `if __name__ == '__main__':`"
            ) from None
        raise Error(
            f"{run.label}: its process ended (exit code {process.exitcode}), "
            + (
                "and has said why above"
                if process.exitcode == 1
                else "perhaps for want of memory. Run the same command again to go on, with fewer "
                "--jobs"
            )
        ) from None
    if isinstance(message, Exception):
        raise message
    return message


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Workers started within ignore Ctrl-C, so that the main process alone handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _work(
    pipe: "Pipe",
    pickled: bytes,
    folder: Path,
    threads: int,
    quick: bool,
    save: bool,
) -> None:
    """Main function of a worker: receives runs, sends progress and results."""
    set_num_threads(threads)
    loaded: dict[str, Dataset] = {}
    try:
        tasks = _unpickled(pickled)
        while True:
            run: Run = pipe.recv()
            task = tasks[run.task]
            if run.task not in loaded:
                loaded[run.task] = task.load(quick=quick).to(run.device)
            trainer = Trainer(task, loaded[run.task], run, checkpoint_of(folder, run))
            result = trainer.finish(lambda epochs: pipe.send(float(epochs)))
            if save:
                trainer.save(model_of(folder, run), result)
            pipe.send(result)
    except (EOFError, BrokenPipeError):
        pass  # the study is over, or was killed
    except Error as error:
        pipe.send(Error(str(error)))
    except Exception:
        pipe.send(RuntimeError(traceback.format_exc()))


def _unpickled(pickled: bytes) -> dict[str, Task[Any]]:
    try:
        tasks: dict[str, Task[Any]] = pickle.loads(pickled)
    except Exception as error:  # whatever a module's import raises
        raise Error(f"jobs: a process cannot load the task: {error}; use jobs=1") from error
    return tasks
