"""Runs the plan: in this process, or several runs at a time in processes of their own."""

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import set_num_threads
from .._core import ArgumentError, Error
from .display import Display
from .results import Result
from .run import Run, Trainer
from .task import Dataset, Task

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]

Loaded = tuple[Task[Any], Dataset]


def checkpoint_of(folder: Path, run: Run) -> Path:
    """Where the run's state is kept while it is under way."""
    return folder / "running" / f"{run.id}.safetensors"


def model_of(folder: Path, run: Run) -> Path:
    """Where a finished run leaves its model, if it is to."""
    return folder / "running" / f"{run.id}.model.safetensors"


def check_main_part() -> None:
    """ArgumentError in a study's process that imports a script which would start the study anew."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as spawn itself asks
        raise ArgumentError(
            "jobs: each process imports the script, so a script must run its study under "
            "`if __name__ == '__main__':`"
        )


def run_here(
    pending: Sequence[Run],
    tasks: dict[str, Loaded],
    folder: Path,
    display: Display,
    *,
    save: bool = False,
) -> Generator[tuple[Run, Result], None, None]:
    """Each run with its result, one after the other; with `save` it leaves its model."""
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
    """Each run with its result, as they finish, `jobs` at a time with `threads` threads each."""
    context = multiprocessing.get_context("spawn")  # a fork would not have the GPU
    waiting = list(pending)
    workers: dict[Pipe, BaseProcess] = {}
    at_work: dict[Pipe, Run] = {}
    descriptions = {name: task for name, (task, _) in tasks.items()}
    try:
        with _deaf_to_interrupts():
            for _ in range(min(jobs, len(waiting))):
                ours, theirs = context.Pipe()
                process: BaseProcess = context.Process(
                    target=_work,
                    daemon=True,
                    args=(theirs, descriptions, folder, threads, quick, save),
                )
                process.start()
                theirs.close()
                workers[ours] = process
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
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started within ignore Ctrl-C, which reaches all of them: the parent decides."""
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
    tasks: dict[str, Task[Any]],
    folder: Path,
    threads: int,
    quick: bool,
    save: bool,
) -> None:
    """A process's life: runs from the pipe, progress and results into it."""
    set_num_threads(threads)
    loaded: dict[str, Dataset] = {}
    try:
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
