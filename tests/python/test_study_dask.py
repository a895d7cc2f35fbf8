"""Studies on the workers of a Dask scheduler: real schedulers and workers, killed by the tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_study import Points, Toy, a_study, numbers

import normlab as nl
from normlab.study import ResultFile, Settings, Study, cluster
from normlab.study.display import Display
from normlab.study.task import Score

pytest.importorskip("distributed", reason="normlab[dask] is not installed")

HERE = Path(__file__).parent
PYTHONPATH = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])  # tasks lie here
ONE = {"norms": ("none",), "seeds": (0,)}


# --- tasks, whose runs meet the tests in a folder ------------------------------------------------


class Noted(Toy):
    """Writes down every epoch, and leaves a model."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def train_epoch(self, *arguments: Any) -> Score:
        with (self.folder / "epochs").open("a") as file:
            file.write(f"{arguments[4]} ")
        self.begin(arguments[4], arguments[5])
        return super().train_epoch(*arguments)

    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        """For what a test wants to happen in an epoch."""

    def once(self, name: str) -> bool:
        """True for the first call with this name, in any process."""
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def wait_for(self, name: str, tick: Callable[[float], None]) -> None:
        """Ticks until there is such a file."""
        share = 0.0
        while not (self.folder / name).exists():
            share += 0.03  # the trainer passes on what is 0.02 further
            tick(share)
            time.sleep(0.01)

    def save(self, path: Path, model: nl.nn.Module, data: Points, notes: Any) -> None:
        nl.save(path, model.state(), {f"note.{name}": text for name, text in notes.items()})


class DyingOnce(Noted):
    """Its process ends in the third epoch, the first time."""

    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        if epoch == 3 and self.once("died"):
            os._exit(9)


class Dying(Noted):
    """Its process ends in the second epoch, always."""

    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        if epoch == 2:
            os._exit(9)


class Waiting(Noted):
    """In the second epoch it says so, and waits for a word."""

    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        if epoch == 2:
            (self.folder / "reached").touch()
            self.wait_for("go", tick)


class Meeting(Noted):
    """Two runs wait for each other, so that both must be at work at a time."""

    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        if epoch == 1:
            (self.folder / ("first" if self.once("first") else "second")).touch()
            self.wait_for("second", tick)


class OddError(Exception):
    """An exception that only this module has."""


class Raising(Noted):
    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        raise OddError("neither here nor there")


class UnpicklableError(Exception):
    """Cannot be made again out of its text."""

    def __init__(self, one: str, two: str):
        super().__init__(one + two)


class RaisingUnpicklable(Noted):
    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        raise UnpicklableError("one ", "two")


class Refusing(Noted):
    def begin(self, epoch: int, tick: Callable[[float], None]) -> None:
        raise nl.ArgumentError("toy: this cannot be trained")


class Elsewhere(Noted):
    """Other data in a process that has another PLACE."""

    def load(self, *, quick: bool = False) -> Points:
        data = super().load(quick=quick)
        data.fingerprint = os.environ.get("PLACE", "points")
        return data


# --- schedulers and workers -----------------------------------------------------------------------


class Cluster:
    """A scheduler and workers, each a process of its own, that end with the test."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        """A scheduler, ready when this returns."""
        self.file.unlink(missing_ok=True)
        usual = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        process = self._open([*usual, "--scheduler-file", str(self.file), *words], env)
        until(self._is_written, process)
        return process

    def _is_written(self) -> bool:
        """Whether the file is there and complete: Dask does not write it in one go."""
        return self.file.exists() and self.file.read_text().rstrip().endswith("}")

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def worker(self, *words: str, **env: str) -> "subprocess.Popen[bytes]":
        """A worker with one thread. A study waits until it is ready."""
        usual = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder)]
        nanny = [] if "--nanny" in words else ["--no-nanny"]
        return self._open(["worker", self.address, *usual, *nanny, *words], env)

    def _open(self, words: list[str], env: dict[str, str]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]],
            env=os.environ
            | {"PYTHONPATH": PYTHONPATH, "XDG_CACHE_HOME": str(self.folder / "cache")}
            | env,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            start_new_session=True,  # a nanny's workers end with it
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(happened: Callable[[], object], process: "subprocess.Popen[Any]") -> None:
    """Waits for something that the process brings about."""
    while not happened():
        assert process.poll() is None, "the process has ended"
        time.sleep(0.01)


def preload(folder: Path, code: str) -> list[str]:
    """Options of a worker that runs this first."""
    file = folder / "first.py"
    file.write_text(code)
    return ["--preload", str(file)]


_WITHOUT_NORMLAB = """
import importlib.metadata
import sys


class Without:
    def find_spec(self, name, *_):
        if name.startswith("normlab"):
            raise ModuleNotFoundError(f"No module named {name!r}")


def version(name):
    raise importlib.metadata.PackageNotFoundError(name)


sys.meta_path.insert(0, Without())
importlib.metadata.version = version
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler of the test's own."""
    (tmp_path / "dask").mkdir()
    started = Cluster(tmp_path / "dask")
    try:
        started.start()
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler, which needs no normlab, and two workers that no test harms."""
    started = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        started.start(*preload(started.folder, _WITHOUT_NORMLAB))
        started.worker()
        started.worker()
        yield started
    finally:
        started.end()


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


class Said(Display):
    """Keeps what is said and how far each run came."""

    def __init__(self) -> None:
        self.text = ""
        self.moves: dict[str, list[float]] = {}

    def move(self, run: Any, epochs: float) -> None:
        self.moves.setdefault(run.id, []).append(epochs)

    def say(self, text: str) -> None:
        self.text += text + "\n"


def lines(out: Path) -> list[dict[str, Any]]:
    return numbers(ResultFile(out).read())


def epochs(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "epochs").read_text().split()]


# --- one study on two workers ---------------------------------------------------------------------


def test_the_lines_are_those_of_jobs(tmp_path: Path, two: Cluster) -> None:
    said = Said()
    a_study(tmp_path / "a", jobs=2).run()
    a_study(tmp_path / "b", scheduler=two.address).run(said)
    assert lines(tmp_path / "b") == lines(tmp_path / "a")
    assert {path.name for path in (tmp_path / "b").iterdir()} == {".lock", "results.jsonl"}
    assert len(said.moves) == 8 and all(moves[-1] == 4 for moves in said.moves.values())
    assert f" on 1 machine at {two.address}, dashboard http://127.0.0.1:" in said.text
    assert f"checkpoints lie in {tmp_path / 'b'}: a run goes on anywhere\n" in said.text


def test_threads_of_one_worker_train_the_same(tmp_path: Path, own: Cluster) -> None:
    own.worker("--nthreads", "2")
    given = {"norms": ("none",), "scheduler": own.address}
    a_study(tmp_path / "out", Meeting(tmp_path), **given).run()
    a_study(tmp_path / "jobs", norms=("none",), jobs=2).run()
    assert lines(tmp_path / "out") == lines(tmp_path / "jobs")


def test_both_workers_train_at_a_time(tmp_path: Path, two: Cluster) -> None:
    a_study(tmp_path / "out", Meeting(tmp_path), norms=("none",), scheduler=str(two.file)).run()
    assert len(lines(tmp_path / "out")) == 2


def test_a_second_call_needs_no_scheduler(tmp_path: Path) -> None:
    a_study(tmp_path, **ONE).run()
    a_study(tmp_path, **ONE, scheduler="tcp://127.0.0.1:1").run()


def test_threads_are_the_hosts_cores_over_its_workers(tmp_path: Path, two: Cluster) -> None:
    from dask.system import CPU_COUNT

    # Both have come when two runs have met.
    given = {"norms": ("none",), "scheduler": two.address}
    a_study(tmp_path / "out", Meeting(tmp_path), **given).run()
    shared = a_study(tmp_path / "a", **given).run()
    assert {line["threads"] for line in shared} == {max(1, CPU_COUNT // 2)}
    chosen = a_study(tmp_path / "b", **given, threads=3).run()
    assert {line["threads"] for line in chosen} == {3}


def test_the_best_model_is_kept(tmp_path: Path, two: Cluster) -> None:
    a_study(tmp_path / "a", Noted(tmp_path), jobs=2, save=True).run()
    a_study(tmp_path / "b", Noted(tmp_path), scheduler=two.address, save=True).run()
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    assert not (tmp_path / "b" / "running").exists()


def test_a_model_that_was_not_kept_is_trained_by_a_worker(tmp_path: Path, two: Cluster) -> None:
    given = {**ONE, "scheduler": two.address}
    a_study(tmp_path / "out", Noted(tmp_path), **given).run()
    a_study(tmp_path / "out", Noted(tmp_path), **given, save=True).run()
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert epochs(tmp_path) == [1, 2, 3, 4, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("task", "kind", "text"),
    [
        (Raising, OddError, "neither here nor there"),
        (RaisingUnpicklable, RuntimeError, "UnpicklableError: one two"),
        (Refusing, nl.ArgumentError, "toy: this cannot be trained"),
    ],
)
def test_an_exception_in_a_run_arrives_as_itself(
    tmp_path: Path, two: Cluster, task: Any, kind: type[Exception], text: str
) -> None:
    said = Said()
    with pytest.raises(kind, match=text):
        a_study(tmp_path / "out", task(tmp_path), **ONE, scheduler=two.address).run(said)
    assert f"none, seed 0 failed on {os.uname().nodename}\n" in said.text


@pytest.mark.skipif(nl.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_is_for_the_workers_to_have(tmp_path: Path, two: Cluster) -> None:
    said = Said()
    with pytest.raises(nl.DeviceError):
        a_study(tmp_path, **ONE, device="cuda", scheduler=two.address).run(said)
    assert "none, seed 0 failed on " in said.text


def test_a_task_that_no_module_has_is_trained(tmp_path: Path, two: Cluster) -> None:
    @dataclass(frozen=True)
    class LocalSettings(Settings):
        pass

    class Local(Toy):
        settings = LocalSettings(epochs=1, patience=1, batch=16, lr=0.02)

    a_study(tmp_path, Local(), **ONE, scheduler=two.address).run()
    assert len(lines(tmp_path)) == 1


def test_a_task_that_a_worker_cannot_load_says_where(
    tmp_path: Path, two: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_this_process.py").write_text(
        "from test_study import Toy\nclass Mine(Toy): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import of_this_process  # type: ignore[import-not-found]

    with pytest.raises(nl.Error, match=r": cannot load the task toy: No module named 'of_this_p"):
        a_study(tmp_path / "out", of_this_process.Mine(), **ONE, scheduler=two.address).run()


def test_a_task_that_cannot_be_pickled_says_so(tmp_path: Path, two: Cluster) -> None:
    task = Toy()
    task.lock = __import__("threading").Lock()  # type: ignore[attr-defined]
    with pytest.raises(nl.ArgumentError, match="scheduler: a task must be picklable"):
        a_study(tmp_path, task, **ONE, scheduler=two.address).run()


# --- failures -------------------------------------------------------------------------------------


def test_a_run_whose_worker_dies_goes_on_from_its_checkpoint(tmp_path: Path, own: Cluster) -> None:
    said = Said()
    own.worker()
    own.worker()
    a_study(tmp_path / "a", **ONE).run()
    a_study(tmp_path / "b", DyingOnce(tmp_path), **ONE, scheduler=own.address).run(said)
    assert epochs(tmp_path) == [1, 2, 3, 3, 4]
    assert lines(tmp_path / "b") == lines(tmp_path / "a")
    assert "warning: none, seed 0: its worker on " in said.text


def test_a_run_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    own = Cluster(tmp_path)
    try:
        own.start(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
        own.worker("--nanny")
        with pytest.raises(nl.Error, match=r"none, seed 0: each of 2 workers that .* want of mem"):
            a_study(tmp_path / "out", Dying(tmp_path), **ONE, scheduler=own.address).run()
    finally:
        own.end()
    assert epochs(tmp_path) == [1, 2, 2]


def test_a_run_that_kills_the_last_worker_is_named(
    tmp_path: Path, own: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_GRACE_SECONDS", 0.5)
    own.worker()
    with pytest.raises(nl.Error, match=r"none, seed 0: the last worker that .* want of memory"):
        a_study(tmp_path / "out", Dying(tmp_path), **ONE, scheduler=own.address).run()


def test_a_dead_scheduler_loses_nothing(tmp_path: Path) -> None:
    own = Cluster(tmp_path)
    given = {**ONE, "scheduler": str(own.file)}
    try:
        scheduler = own.start()
        worker = own.worker()
        with ThreadPoolExecutor(1) as pool:
            study = pool.submit(a_study(tmp_path / "b", Waiting(tmp_path), **given).run, Said())
            until((tmp_path / "reached").exists, worker)
            scheduler.kill()
            with pytest.raises(nl.Error, match=r"is gone\. Nothing is lost: start the scheduler"):
                study.result()
        (tmp_path / "go").touch()
        worker.wait()  # the epoch is finished and stored, another is not begun
        assert epochs(tmp_path) == [1, 2]
        own.start()
        own.worker()
        a_study(tmp_path / "b", Waiting(tmp_path), **given).run(Said())
    finally:
        own.end()
    assert epochs(tmp_path) == [1, 2, 3, 4]
    a_study(tmp_path / "a", **ONE).run()
    assert lines(tmp_path / "b") == lines(tmp_path / "a")


_STUDY = """
import sys
from pathlib import Path
import normlab.report, normlab.study
from test_study_dask import Waiting
from normlab.cli import main

normlab.report.write_report = lambda folder: []
task = Waiting(Path(sys.argv.pop()))
normlab.study.TASKS = {"mnist": lambda: task}
main()
"""


@pytest.mark.parametrize("killed_by", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_stopped_stops_what_runs(
    tmp_path: Path, own: Cluster, killed_by: signal.Signals
) -> None:
    own.worker()
    words = ["study", "--norm", "none", "--seeds", "2", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", _STUDY, *words, "--scheduler", own.address, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until((tmp_path / "reached").exists, process)
        process.send_signal(killed_by)
        _, stderr = process.communicate()
    finally:
        process.kill()
    if killed_by == signal.SIGINT:
        assert process.returncode == 130, stderr
        said = "Interrupted: 0 of 2 runs are finished. Nothing is lost; to go on: "
        assert stderr.startswith(said)
    # The worker is free for others, though nobody has let the run go on.
    a_study(tmp_path / "other", **ONE, scheduler=own.address).run()
    (tmp_path / "go").touch()
    a_study(tmp_path / "out", Waiting(tmp_path), **ONE, scheduler=own.address).run()
    assert epochs(tmp_path) == [1, 2, 2, 3, 4]
    assert lines(tmp_path / "out") == lines(tmp_path / "other")
    assert not list((tmp_path / "out").glob(".study-*"))


def test_a_worker_that_joins_later_is_used(tmp_path: Path, own: Cluster) -> None:
    said, task = Said(), Meeting(tmp_path)
    study = a_study(tmp_path / "out", task, norms=("none",), scheduler=own.address)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(study.run, said)
        until(lambda: "no worker yet" in said.text or running.done(), own.processes[0])
        until((tmp_path / "first").exists, own.worker())
        own.worker()  # without it, the first run waits for ever
        assert len(running.result()) == 2
    assert "1 worker on 1 machine" in said.text


# --- other machines -------------------------------------------------------------------------------


def test_other_data_is_an_error_that_names_the_host(tmp_path: Path, own: Cluster) -> None:
    own.worker(PLACE="Mars")
    with pytest.raises(nl.Error, match=rf"^{os.uname().nodename}: has other data of Toy than"):
        a_study(tmp_path / "out", Elsewhere(tmp_path), **ONE, scheduler=own.address).run()


def with_facts(folder: Path, **facts: str) -> list[str]:
    """Options of a worker whose normlab says these things of itself."""
    return preload(
        folder,
        "import normlab\n"
        "from normlab.study import remote\n"
        f"remote.build_info = lambda **more: normlab.build_info(**more) | {facts!r}\n",
    )


def test_a_machine_without_normlab_is_named(tmp_path: Path, own: Cluster) -> None:
    own.worker(*preload(tmp_path, _WITHOUT_NORMLAB))
    version = nl.build_info()["version"]
    said = rf"^scheduler: normlab {version} cannot be loaded by tcp://127.0.0.1:\d+: No mod"
    with pytest.raises(nl.Error, match=said):
        a_study(tmp_path / "out", **ONE, scheduler=own.address).run()


def test_another_version_is_an_error_that_names_the_host(tmp_path: Path, own: Cluster) -> None:
    own.worker(*with_facts(tmp_path, version="7"))
    said = rf"^{os.uname().nodename}: has normlab 7, the study has {nl.build_info()['version']}:"
    with pytest.raises(nl.Error, match=said):
        a_study(tmp_path / "out", **ONE, scheduler=own.address).run()


def test_another_instruction_set_is_a_warning(tmp_path: Path, own: Cluster) -> None:
    said = Said()
    own.worker(*with_facts(tmp_path, isa="abacus"))
    a_study(tmp_path / "out", **ONE, scheduler=own.address).run(said)
    assert f"warning: {os.uname().nodename} computes with abacus, this machine with " in said.text


# Machines made of namespaces: each has a network, a mount table and a name of its own. Over the
# study's folder lies an empty one.
_MACHINES = """
set -e
ip link set lo up
own() { [ "$(readlink /proc/$1/ns/$2)" != "$(readlink /proc/$$/ns/$2)" ]; }
machine() {
  unshare --net --mount --uts sleep 1000 & pid=$!
  until own $pid net && own $pid mnt && own $pid uts; do sleep 0.01; done
  ip link add name head$1 type veth peer name eth0 netns $pid
  ip address add 10.0.$1.1/24 dev head$1
  ip link set head$1 up
  nsenter -t $pid -n -m -u sh -ec "
    hostname machine$1
    mount -t tmpfs none '$FOLDER/out'
    ip link set lo up
    ip address add 10.0.$1.2/24 dev eth0
    ip link set eth0 up
    ip route add default via 10.0.$1.1"
}
work() {
  XDG_CACHE_HOME=$FOLDER/cache$2 nsenter -t $1 -n -m -u "$PYTHON" -m distributed.cli.dask_worker \
    tcp://10.0.1.1:8786 --host 10.0.$2.2 --nthreads 1 --no-nanny --no-dashboard \
    --local-directory "$FOLDER" &
}
trap 'kill $one $two $(jobs -p) 2>/dev/null' EXIT
machine 1; one=$pid
machine 2; two=$pid
"$PYTHON" -m distributed.cli.dask_scheduler --host 10.0.1.1 --port 8786 --no-dashboard &
until "$PYTHON" -c "import socket; socket.create_connection(('10.0.1.1', 8786))" 2>/dev/null; do
  kill -0 $!
done
"""


@pytest.fixture
def on_machines(tmp_path: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Runs a shell script beside two machines without a shared folder."""
    if not (shutil.which("ip") and shutil.which("nsenter")):
        pytest.skip("ip and nsenter (iproute2, util-linux) are not installed")
    words = ["unshare", "--map-root-user", "--net", "--mount", "--uts", "--kill-child", "--pid"]
    words += ["--fork", "--mount-proc", "sh", "-c"]
    able = subprocess.run(
        [*words, "ip link add name a type veth peer name b"], capture_output=True, text=True
    )
    if able.returncode:
        pytest.skip(f"unshare is not permitted here: {able.stderr.strip()}")
    (tmp_path / "out").mkdir()
    env = {"PYTHON": sys.executable, "FOLDER": str(tmp_path), "PYTHONPATH": PYTHONPATH}
    return lambda script: subprocess.run(
        [*words, _MACHINES + script], env=os.environ | env, capture_output=True, text=True
    )


_ON_MACHINES = """
import sys
from pathlib import Path
import normlab.report
from normlab.study.display import Lines
from test_study import a_study
from test_study_dask import DyingOnce, ONE

normlab.report.write_report = lambda folder: []
folder = Path(sys.argv[1])
task = DyingOnce(folder)
a_study(folder / "out", task, **ONE, scheduler="tcp://10.0.1.1:8786", save=True).run(Lines())
"""


@pytest.mark.parametrize(
    ("second", "expected"),
    [("work $one 1", [1, 2, 3, 3, 4]), ("work $two 2", [1, 2, 3, 1, 2, 3, 4])],
)
def test_machines_without_a_shared_folder(
    tmp_path: Path,
    on_machines: Callable[[str], "subprocess.CompletedProcess[str]"],
    second: str,
    expected: list[int],
) -> None:
    """The machine that began a run goes on, another starts anew; results and models come home."""
    (tmp_path / "study.py").write_text(_ON_MACHINES)
    done = on_machines(
        'work $one 1; "$PYTHON" "$FOLDER/study.py" "$FOLDER" & study=$!\n'
        'until [ -e "$FOLDER/died" ]; do sleep 0.01; kill -0 $study; done\n'
        f"{second}; wait $study"
    )
    assert done.returncode == 0, done.stderr
    assert epochs(tmp_path) == expected
    assert f"machine1 does not see {tmp_path / 'out'} and keeps its checkpoints" in done.stdout
    a_study(tmp_path / "here", Noted(tmp_path), **ONE, save=True).run()
    assert lines(tmp_path / "out") == lines(tmp_path / "here")
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("here", "out")]
    assert models[0] == models[1]
    left = [path for path in tmp_path.glob("cache*/**/*") if path.suffix == ".safetensors"]
    assert len(left) == (1 if "two" in second else 0), "the first machine's checkpoint"


# --- what cannot be -------------------------------------------------------------------------------


def study_at(out: Path, scheduler: Any, **more: Any) -> Study:
    return a_study(out, **ONE, scheduler=scheduler, **more)


@pytest.mark.parametrize("wrong", ["", 8786, ["tcp://head:8786"]])
def test_what_is_no_scheduler_says_so(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(nl.ArgumentError, match="scheduler: must be an address, as tcp://head:8786"):
        study_at(tmp_path, wrong)


def test_jobs_and_a_scheduler_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(nl.ArgumentError, match="jobs: is for this machine alone"):
        study_at(tmp_path, "tcp://head:8786", jobs=2)
    words = ["study", "--jobs", "1", "--scheduler", "tcp://head:8786", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "normlab", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --jobs: is for this machine alone")


def test_without_dask_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(nl.ArgumentError, match=r"pip install 'normlab\[dask\]'$"):
        study_at(tmp_path, "tcp://head:8786")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1 cannot be reached: "),
        ("tcp://nowhere.invalid:8786", "tcp://nowhere.invalid:8786 cannot be reached: "),
        ("tcp://127.0.0.1", "tcp://127.0.0.1 cannot be reached: missing port"),
        ("127.0.0.1:port", "127.0.0.1:port cannot be reached: "),
        ("pigeon://127.0.0.1:8786", "pigeon://127.0.0.1:8786 cannot be reached: unknown address"),
        ("a b", "a b cannot be reached: "),
    ],
)
def test_a_scheduler_that_cannot_be_reached_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    address: str,
    said: str,
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(nl.Error, match=f"scheduler: {said}") as raised:
        study_at(tmp_path, address).run(Said())
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


_CUT = "is cut off, or no scheduler file. If `dask scheduler --scheduler-file"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", _CUT),
        ('{\n  "type": "Scheduler",\n  "id": "Scheduler-1",\n  "addr', _CUT),
        ("tcp://head:8786", _CUT),
        ("\0\xff", _CUT),
        *((text, "is no scheduler file, which `dask") for text in ("[]", "{}", '{"address": 1}')),
    ],
)
def test_a_file_that_is_no_scheduler_file_is_one_line(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content, "latin-1")
    with pytest.raises(nl.FileError, match=f"^{file}: {said}") as raised:
        study_at(tmp_path / "out", str(file)).run(Said())
    assert "\n" not in str(raised.value)
