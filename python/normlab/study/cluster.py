"""Executes runs on the workers of a Dask scheduler, on as many machines as it has.

Only this process writes results. `distributed` is imported on request: it is an extra.
"""

import importlib.metadata
import importlib.util
import json
import pickle
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .. import build_info
from .._core import ArgumentError, Error, FileError
from .._text_format import counted
from ..results import Result, identify
from .display import Display
from .remote import TOPIC, Answer, Failure, Job, train
from .run import Run
from .workers import Loaded, model_of

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 5.0  # of silence, after which the scheduler is asked what it has
_GRACE_SECONDS = 30.0  # in which a nanny has started a new worker for one that was killed
_TOKEN = ".study-"

Finished = tuple[Run, Answer]


def check_scheduler(scheduler: Any) -> None:
    """ArgumentError unless it may name a scheduler, and Dask is there to speak with it."""
    if not isinstance(scheduler, str) or not scheduler:
        raise ArgumentError(
            "scheduler: must be an address, as tcp://head:8786, or a scheduler file; is "
            f"{scheduler!r}"
        )
    if importlib.util.find_spec("distributed") is None:
        raise ArgumentError(
            "scheduler: Dask is not installed here. Install it: pip install 'normlab[dask]'"
        )


def run_on_cluster(
    pending: Sequence[Run],
    tasks: dict[str, Loaded],
    folder: Path,
    display: Display,
    *,
    scheduler: str,
    threads: int | None,
    quick: bool,
    save: bool = False,
) -> Generator[tuple[Run, Result], None, None]:
    """Yields each run with its result, as many at a time as the scheduler's workers have threads.

    With threads=None, runs share their host's cores.

    Raises:
        FileError: No such scheduler file.
        Error: The scheduler cannot be reached or is gone, a run ended every worker that tried it,
            or a worker has other data or another normlab.
    """
    if not pending:
        return
    pickled = {name: _pickled(task) for name, (task, _) in tasks.items()}
    waiting = list(pending)
    with _token(folder) as token, _connected(scheduler) as client:
        name = identify({"host": socket.gethostname(), "folder": str(folder.resolve())})
        job = partial(Job, folder.resolve(), token, name, threads, quick, save)
        crew = _Crew(client, scheduler, token, display, folder)
        while waiting or crew.at_work:
            while waiting and len(crew.at_work) < crew.slots.total():
                run = waiting.pop(0)
                crew.send(job(run=run, task=pickled[run.task], workers=dict(crew.slots)))
            for run, answer in crew.wait():
                if answer.model is not None:
                    model_of(folder, run).parent.mkdir(exist_ok=True)
                    model_of(folder, run).write_bytes(answer.model)
                yield run, answer.result


class _Call:
    """Pickled, a call of train().

    A worker on which a task's function cannot be imported ends, without a word to the study.
    pickle.loads() is everywhere. What it cannot import is an exception of the task.
    """

    def __init__(self, *arguments: object):
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return train, self._arguments


class _Crew:
    """The workers of a scheduler, and the runs that they train for one study.

    Dask's threads put what happens into a queue. All else happens in the study's thread.

    Attributes:
        slots: For each host's address, the runs that it can train at a time.
        at_work: Runs under way, by their tasks' keys.
    """

    def __init__(
        self, client: "Client", scheduler: str, token: str, display: Display, folder: Path
    ):
        self.slots: Counter[str] = Counter()
        self.at_work: dict[str, Run] = {}
        self._futures: dict[str, Future[Answer | Failure]] = {}
        self._client, self._scheduler, self._token = client, scheduler, token
        self._display, self._folder = display, folder
        self._news: SimpleQueue[Callable[[], Iterable[Finished]]] = SimpleQueue()
        self._hosts: dict[str, str] = {}  # by the ids of the runs that were begun there
        self._machines = 0  # that the user knows of
        self._said: set[str] = set()
        self._bereaved: list[Run] = []  # whose worker was the last to leave, and was killed
        for topic, hear in ((TOPIC, self._hear), ("all", self._hear_of_workers)):
            client.subscribe_topic(topic, self._later(hear))
        self._count()
        if not self.slots:
            display.say(f"no worker yet at {scheduler}: waiting for the first")

    def send(self, job: Job) -> None:
        """Gives a run to the scheduler, which gives it to an idle worker."""
        # The token: workers may still be at a task that an earlier study has cancelled.
        key = f"{job.run.label}, {job.run.id}, {self._token}"
        call = pickle.dumps(_Call(build_info(gpu=False)["version"], _pickled(job)))
        self.at_work[key] = job.run
        self._futures[key] = self._client.submit(pickle.loads, call, key=key, pure=False)
        self._futures[key].add_done_callback(lambda _: self._news.put(partial(self._finish, key)))

    def wait(self) -> Iterable[Finished]:
        """Waits for news; runs that have finished."""
        bereft = self._bereaved and not self.slots
        try:
            return self._news.get(timeout=_GRACE_SECONDS if bereft else _POLL_SECONDS)()
        except Empty:
            self._count()
            if bereft and not self.slots:
                raise _ended(self._bereaved, "the last worker") from None
            return ()

    def _later(self, hear: Callable[[Any], None]) -> Callable[[tuple[float, Any]], None]:
        def heard(message: Any) -> Iterable[Finished]:
            hear(message)
            return ()

        return lambda event: self._news.put(partial(heard, event[1]))

    def _count(self) -> None:
        """Asks the scheduler for its workers."""
        info = self._client.scheduler_info(n_workers=-1)
        if self._client.status != "running":  # what came is what was known before
            raise self._gone()
        workers = info["workers"].values()
        self.slots = Counter()
        for worker in workers:
            self.slots[worker["host"]] += worker["nthreads"]
        if len(self.slots) > self._machines:
            where = f"{counted(len(workers), 'worker')} on {counted(len(self.slots), 'machine')}"
            board = self._client.dashboard_link if "dashboard" in info["services"] else "none"
            self._display.say(f"{where} at {self._scheduler}, dashboard {board}")
        elif self._machines and not self.slots:
            self._display.say("no worker is left: waiting for one")
        self._machines = max(self._machines, len(self.slots)) if self.slots else 0

    def _hear(self, message: list[Any]) -> None:
        token, run_id, kind, *values = message
        run = next((run for run in self.at_work.values() if run.id == run_id), None)
        if token != self._token or run is None:
            return  # of another study, or of a worker that was given up
        if kind == "move":
            self._display.move(run, values[0])
        else:
            self._begin(run, *values)

    def _begin(self, run: Run, host: str, shared: bool, isa: str) -> None:
        """Notes where a run begins, and says what is new about that machine."""
        self._hosts[run.id] = host
        if shared:
            self._say_once("shared", f"checkpoints lie in {self._folder}: a run goes on anywhere")
        else:
            self._say_once(
                host,
                f"{host} does not see {self._folder} and keeps its checkpoints: what it begins, "
                "another machine begins anew",
            )
        ours = build_info(gpu=False).get("isa")
        if isa != ours:
            self._say_once(
                isa,
                f"warning: {host} computes with {isa}, this machine with {ours}: a run that goes "
                "on there does not repeat bit for bit",
            )

    def _say_once(self, subject: str, remark: str) -> None:
        if subject not in self._said:
            self._said.add(subject)
            self._display.say(remark)

    def _hear_of_workers(self, message: Any) -> None:
        action = message.get("action") if isinstance(message, dict) else None
        if action not in ("add-worker", "remove-worker"):
            return
        self._bereaved = []
        if action == "remove-worker" and not message["expected"]:
            keys = message["processing-tasks"]
            self._bereaved = [run for key, run in self.at_work.items() if key in keys]
        for run in self._bereaved:
            host = self._hosts.get(run.id, message["worker"])
            self._display.say(f"warning: {run.label}: its worker on {host} ended; trying again")
        self._count()

    def _finish(self, key: str) -> Iterable[Finished]:
        from distributed import CancelledError

        run, future = self.at_work.pop(key), self._futures.pop(key)
        if future.status == "error":
            raise self._explained(run, future.exception())
        try:
            answer = future.result()
        except (OSError, CancelledError) as error:
            raise self._gone() from error
        if isinstance(answer, Failure):
            self._display.say(f"{run.label} failed on {answer.host}")
            raise answer.exception()
        return [(run, answer)]

    def _explained(self, run: Run, error: BaseException) -> BaseException:
        """Dask's exceptions in words."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return _ended([run], f"each of {error.allowed_failures + 1} workers")
        if isinstance(error, (ImportError, AttributeError)):  # the run was not even begun
            return Error(f"scheduler: {self._without_normlab()}: {error}")
        return error

    def _without_normlab(self) -> str:
        """The workers that do not have this normlab, in words."""
        version = build_info(gpu=False)["version"]
        found = self._client.run(importlib.metadata.version, "normlab", on_error="return")
        others = sorted(address for address, theirs in found.items() if theirs != version)
        return f"normlab {version} cannot be loaded by {', '.join(others) or 'a worker'}"

    def _gone(self) -> Error:
        return Error(
            f"scheduler: {self._scheduler} is gone. Nothing is lost: start the scheduler and give "
            "the same command again"
        )


def _ended(runs: Iterable[Run], workers: str) -> Error:
    """Error of runs whose workers were killed."""
    return Error(
        f"{'; '.join(run.label for run in runs)}: {workers} that trained it ended, perhaps for "
        "want of memory. Nothing is lost: the same command goes on, with fewer workers on a machine"
    )


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """A client of the scheduler. Closing it stops whatever runs for it."""
    from distributed import Client

    address = _address(scheduler)
    # Made in two steps, so that one that fails can be closed. Left to the garbage collector, it
    # may close itself while another starts, which both wait for for ever.
    client = Client.__new__(Client)
    try:
        try:
            client.__init__(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise Error(
                f"scheduler: {scheduler} cannot be reached: {error}. Is `dask scheduler` running "
                "there?"
            ) from error
        yield client
    finally:
        client.close()


def _address(scheduler: str) -> str:
    """The address that is given or that a scheduler file has."""
    path = Path(scheduler)
    if not scheduler.endswith(".json") and not path.is_file():
        return scheduler
    writer = f"`dask scheduler --scheduler-file {path}`"
    try:
        facts = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise FileError(
            f"{path}: is cut off, or no scheduler file. If {writer} has just been started, it is "
            "still writing: give the same command again. Else start it"
        ) from error
    address = facts.get("address") if isinstance(facts, dict) else None
    if not isinstance(address, str):
        raise FileError(f"{path}: is no scheduler file, which {writer} writes")
    return address


@contextmanager
def _token(folder: Path) -> Iterator[str]:
    """A file of a random name in the study's folder while the study runs; its name."""
    for left in folder.glob(f"{_TOKEN}*"):  # by a study that was killed
        left.unlink(missing_ok=True)
    path = folder / f"{_TOKEN}{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def _pickled(value: Any) -> bytes:
    """A task or a job for other processes, with those classes that no module has."""
    from cloudpickle import dumps

    try:
        pickled: bytes = dumps(value)
    except Exception as error:  # whatever the task's parts raise
        raise ArgumentError(
            f"scheduler: a task must be picklable to be sent to a worker: {error}"
        ) from error
    return pickled
