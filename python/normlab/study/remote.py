"""The part of a study that other machines do: a Dask worker trains one run."""

import os
import pickle
import socket
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import build_info, set_num_threads
from .._core import Error
from ..data import cache_folder
from ..results import Result
from .run import Run, Trainer
from .workers import Loaded, checkpoint_of, model_of

if TYPE_CHECKING:
    from distributed import Worker

TOPIC = "normlab"
"""Of the events that runs send: lists of the study's token, the run's id, a name and values."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs for a run.

    Attributes:
        folder: The study's, an absolute path on the study's machine.
        token: Name of a random file in that folder. A worker that sees it has the same folder.
        name: Of the study's files in the own folder of a worker that does not see it.
        threads: None: the host's cores over its workers.
        quick, save: As in Study.
        run: The run.
        task: Its task, pickled.
        workers: For each host's address, the runs that it trains at a time.
    """

    folder: Path
    token: str
    name: str
    threads: int | None
    quick: bool
    save: bool
    run: Run
    task: bytes
    workers: Mapping[str, int]


class Answer(NamedTuple):
    """A run's result, and its model as bytes if the worker does not see the study's folder."""

    result: Result
    model: bytes | None = None


class Failure(NamedTuple):
    """What a run raised. Dask does not deliver an exception that cannot be pickled or unpickled.

    Attributes:
        host: Where.
        error: The exception, pickled.
        traceback: As text.
    """

    host: str
    error: bytes
    traceback: str

    def exception(self) -> Exception:
        """The exception itself, or its text if it does not exist here."""
        text = RuntimeError(self.traceback)
        try:
            error: Exception = pickle.loads(self.error)
        except Exception:  # whatever an exception's class or its module raises
            return text
        error.__cause__ = text
        return error


def train(version: str, pickled: bytes) -> Answer | Failure:
    """Trains the run of a pickled Job; called by a Dask worker.

    Raises:
        Reschedule: Nobody wants the result: the study was stopped, or the scheduler is gone.
    """
    from distributed import Reschedule

    try:
        return _train(version, pickled)
    except Reschedule:
        raise
    except Exception as error:
        text = traceback.format_exc()
        try:
            made = pickle.dumps(error)
        except Exception:  # whatever an exception's parts raise
            made = b""
        return Failure(socket.gethostname(), made, text)


def _train(version: str, pickled: bytes) -> Answer:
    """Error: Another version of normlab, other data or no data; names the host."""
    from distributed import get_worker

    ours = build_info(gpu=False)["version"]
    if ours != version:
        raise Error(
            f"{socket.gethostname()}: has normlab {ours}, the study has {version}: install the "
            "same version everywhere"
        )
    job: Job = pickle.loads(pickled)
    worker = get_worker()
    link = _Link(worker, job)
    shared = (job.folder / job.token).exists() and os.access(job.folder, os.W_OK)
    folder = job.folder if shared else _own_folder(job)
    link.send("begin", socket.gethostname(), shared, build_info(gpu=False).get("isa"))
    set_num_threads(job.threads or _threads(worker, job))
    task, data = _loaded(job)
    trainer = Trainer(task, data, job.run, checkpoint_of(folder, job.run))
    result = trainer.finish(link.move, link.stop_without_scheduler)
    if job.save:
        trainer.save(model_of(folder, job.run), result)
    if shared:
        return Answer(result)
    link.stop_without_study()  # a result that cannot be delivered leaves its checkpoint
    link.stop_without_scheduler()
    return Answer(result, _clear(folder, job.run))


class _Link:
    """What a run tells its study, and what it hears from it."""

    def __init__(self, worker: "Worker", job: Job):
        self._worker, self._start = worker, (job.token, job.run.id)
        self._key = worker.get_current_task()

    def send(self, *message: object) -> None:
        """Sends an event to the study."""
        self._worker.log_event(TOPIC, [*self._start, *message])

    def move(self, epochs: float) -> None:
        """Reports epochs done. Stops the run at once if the study was stopped."""
        self.stop_without_study()
        self.send("move", epochs)

    def stop_without_study(self) -> None:
        """Stops the run if nobody waits for it."""
        # Dask cannot stop a thread. It marks the task, whether the study cancelled it or vanished.
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            self._stop()

    def stop_without_scheduler(self) -> None:
        """Stops the run, its checkpoint just written, if the worker has lost the scheduler."""
        if self._worker.status.name in ("closing", "closed", "failed"):
            self._stop()

    def _stop(self) -> None:
        from distributed import Reschedule

        raise Reschedule


_data: dict[str, dict[str, Loaded]] = {}  # by study, of which only the last is kept, and task
_loading = threading.Lock()


def _loaded(job: Job) -> Loaded:
    """The task and its data, read once a study."""
    with _loading:
        if job.token not in _data:
            _data.clear()
        tasks = _data.setdefault(job.token, {})
        if job.run.task not in tasks:
            tasks[job.run.task] = _load(job)
        return tasks[job.run.task]


def _load(job: Job) -> Loaded:
    host = socket.gethostname()
    try:
        task = pickle.loads(job.task)
    except Exception as error:  # whatever a module's import raises
        raise Error(f"{host}: cannot load the task {job.run.task}: {error}") from error
    try:
        data = task.load(quick=job.quick)
    except Error as error:
        raise Error(f"{host}: {error}") from error
    if data.fingerprint != job.run.fingerprint:
        raise Error(
            f"{host}: has other data of {task.title} than the study: {data.origin}. Give every "
            "machine the same files"
        )
    return task, data.to(job.run.device)


def _own_folder(job: Job) -> Path:
    """Where this machine keeps the checkpoints of a study whose folder it does not see."""
    folder = cache_folder() / "studies" / job.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: Path, run: Run) -> bytes | None:
    """Removes a finished run's files; returns its model if it left one."""
    checkpoint_of(folder, run).unlink(missing_ok=True)
    path = model_of(folder, run)
    model = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty: other runs are under way
        path.parent.rmdir()
        folder.rmdir()
    return model


def _threads(worker: "Worker", job: Job) -> int:
    from dask.system import CPU_COUNT  # that this process may use
    from distributed.comm import get_address_host

    # A host that has just joined is not in the table: one thread until its next run.
    cores: int = CPU_COUNT
    return max(1, cores // job.workers.get(get_address_host(worker.address), cores))
