"""Kills, full disks, failing reads and spent memory, at every moment that makes a difference.

    python tests/faults/harness.py [--most N] [--seed N] [TASK...]

Every task runs once undisturbed. Then it runs again and again, each time in a process of its own
and a fresh folder, with one fault: the n-th system call or allocation of its kind. What must hold:

- kill: nothing, the process is gone (SIGKILL before the n-th call that changes the disk).
- full: the disk fills at the n-th call that takes room: an error in words, or the same end.
- read: the n-th read from a file of the task fails: likewise.
- memory: the n-th allocation of the engine fails: likewise.

After each fault the same task runs undisturbed in the same folder: it must come to the same end as
without a fault, bit for bit, with nothing left over.

--most takes so many moments of each kind, drawn by the seed, instead of all.
"""

import argparse
import ctypes
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COUNT_CHANGES, COUNT_READS, FULL, READ, KILL = range(5)
KINDS = {"kill": (KILL, COUNT_CHANGES), "full": (FULL, COUNT_CHANGES), "read": (READ, COUNT_READS)}
SECONDS = 300  # a child that takes longer hangs


def library(folder: Path) -> Path:
    """Compiles faults.c into a library to preload."""
    path = folder / "libfaults.so"
    compiler = os.environ.get("CC", "gcc")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(path), str(HERE / "faults.c"), "-ldl"]
    subprocess.run(command, check=True)
    return path


@dataclass
class End:
    """How a child process ended: its exit code, or minus the signal; its error and its stderr."""

    code: int
    error: str
    said: str


def in_child(body: Callable[[], None], folder: Path) -> End:
    """Runs body in a forked process. An error in words is exit code 2, any other exception 1."""
    said, error = folder.with_suffix(".said"), folder.with_suffix(".error")
    said.unlink(missing_ok=True)
    error.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            target = os.open(said, os.O_WRONLY | os.O_CREAT, 0o666)
            os.dup2(target, 2)
            code = _outcome(body, error)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    read = {path: path.read_text("utf-8") if path.exists() else "" for path in (said, error)}
    return End(os.waitstatus_to_exitcode(status), read[error], read[said])


def _outcome(body: Callable[[], None], error: Path) -> int:
    import normlab as nl

    signal.alarm(SECONDS)
    try:
        body()
    except SystemExit as end:
        sys.stderr.flush()
        return end.code if isinstance(end.code, int) else 1
    except (nl.Error, OSError, MemoryError) as problem:
        disarm()
        error.write_text(f"{type(problem).__name__}: {problem}", "utf-8")
        return 2
    except BaseException:
        disarm()
        error.write_text(traceback.format_exc(), "utf-8")
        return 1
    return 0


# --- faults ---------------------------------------------------------------------------------------


def preloaded() -> Any:
    """The library that this process was started with."""
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def disarm() -> None:
    """Nothing more fails."""
    fail_allocation(0)
    preloaded().faults_arm(b"/nowhere", COUNT_READS, 0)


def fail_allocation(n: int) -> int:
    """The engine's n-th allocation from now on fails; returns what was left of the last count."""
    import normlab as nl

    function = ctypes.CDLL(nl._core.__file__).normlab_fail_allocation
    function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64]
    return int(function(n))


def arm(folder: Path, kind: str, n: int) -> None:
    """In the child: the n-th call or allocation from here on gets the fault."""
    if kind == "memory":
        fail_allocation(n)
    else:
        preloaded().faults_arm(os.fsencode(folder), KINDS[kind][0], n)


def count(task: "Task", kind: str, folder: Path) -> int:
    """How many moments there are."""
    many = 1 << 40
    fresh(folder, task)
    place = folder.with_suffix(".count")

    def counted() -> None:
        task.open(folder)
        if kind == "memory":
            fail_allocation(many)
        else:
            preloaded().faults_arm(os.fsencode(folder), KINDS[kind][1], 0)
        task.run(folder)
        seen = many - fail_allocation(0) if kind == "memory" else preloaded().faults_seen()
        disarm()
        place.write_text(str(seen))

    end = in_child(counted, folder)
    assert end.code == 0, f"{task.name}: fails undisturbed: {end}"
    return int(place.read_text())


def disturbed(task: "Task", folder: Path, kind: str, n: int) -> None:
    task.open(folder)
    arm(folder, kind, n)
    task.run(folder)


# --- tasks ----------------------------------------------------------------------------------------


@dataclass
class Task:
    """What is disturbed.

    Attributes:
        name: Of it.
        prepare: Makes a folder ready.
        run: Does the work within the folder, which may hold what an earlier run left.
        end: What must be the same, by the names of files.
        is_command: Whether it is the command line, which must say one line.
        open: What the shell does before it: not disturbed.
    """

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    end: Callable[[Path], dict[str, Any]]
    is_command: bool = False
    open: Callable[[Path], None] = lambda folder: None

    def run_whole(self, folder: Path) -> None:
        self.open(folder)
        self.run(folder)


def fresh(folder: Path, task: Task) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task.prepare(folder)


_MEASURED = ("seconds", "search_seconds", "finished", "peak_memory_mib")


def study_end(folder: Path) -> dict[str, Any]:
    """Results without what is measured, in the order of their names; models; nothing else."""
    out = folder / "out"
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    results = [
        {name: value for name, value in line.items() if name not in _MEASURED} for line in lines
    ]
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return {
        "results": sorted(results, key=lambda result: str(result["id"])),
        "model": (out / "model.safetensors").read_bytes(),
        "files": files,
    }


def study_task(name: str) -> Task:
    """Two runs of two epochs, with a kept model, on a little data."""

    def run(folder: Path) -> None:
        import toys

        import normlab as nl
        from normlab.study import Study

        nl.set_num_threads(1)
        Study(
            tasks=[toys.TASKS[name](folder / "data")],
            norms=("layernorm", "adanorm"),
            seeds=(0,),
            scales=(1.0,),
            out=folder / "out",
            save=True,
        ).run(toys.Silent())

    def prepare(folder: Path) -> None:
        import toys

        toys.write_data(name, folder / "data")

    return Task(f"study {name}", prepare, run, study_end)


def resumed_task(name: str) -> Task:
    """The study again after a kill in its second run: it reads what the first left."""
    whole = study_task(name)

    def prepare(folder: Path) -> None:
        killed = folder.with_suffix(f".killed-{name}")
        if killed.exists():
            shutil.copytree(killed, folder, dirs_exist_ok=True)
            return
        changes = count(whole, "kill", folder)
        fresh(folder, whole)
        end = in_child(partial(disturbed, whole, folder, "kill", changes * 7 // 8), folder)
        assert end.code == -signal.SIGKILL, f"{whole.name}: was not killed: {end}"
        shutil.copytree(folder, killed)

    return replace(whole, name=f"{whole.name}, resumed", prepare=prepare)


def all_files(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command_task(name: str, arguments: list[str], given: str, model: str) -> Task:
    """The command line, from a file to a file."""

    def prepare(folder: Path) -> None:
        import toys

        toys.write_model(model, folder / "model.safetensors")
        (folder / "in").write_text(given, "utf-8")

    def open_streams(folder: Path) -> None:
        with (folder / "in").open("rb") as source, (folder / "result").open("wb") as target:
            os.dup2(source.fileno(), 0)
            os.dup2(target.fileno(), 1)

    def run(folder: Path) -> None:
        from normlab import cli

        sys.argv = ["normlab", name, str(folder / "model.safetensors"), *arguments]
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise

    whole_name = " ".join([name, *arguments])
    return Task(whole_name, prepare, run, all_files, is_command=True, open=open_streams)


def file_task() -> Task:
    """Saving over an older file, and reading it again; a treebank likewise."""

    def run(folder: Path) -> None:
        import toys

        import normlab as nl
        from normlab import parse

        x = nl.arange(5, dtype="float32")
        nl.save(folder / "x.safetensors", {"x": x, "y": x.reshape(1, 5)}, {"a": "b"})
        assert nl.load(folder / "x.safetensors")["x"].tolist() == x.tolist()
        parse.write_conllu(folder / "x.conllu", toys.sentences(3))
        assert len(parse.read_conllu(folder / "x.conllu")) == 3

    def prepare(folder: Path) -> None:
        (folder / "x.safetensors").write_bytes(b"older")

    return Task("files", prepare, run, all_files)


CONLLU = (
    "# text = The dog sees it .\n"
    + "".join(
        f"{i}\t{form}\t_\t{tag}\t{tag}\t_\t_\t_\t_\t_\n"
        for i, (form, tag) in enumerate(
            (("The", "DET"), ("dog", "NOUN"), ("sees", "VERB"), ("it", "NOUN"), (".", "X")), 1
        )
    )
    + "\n"
)


def tasks() -> Iterator[Task]:
    for name in ("images", "text", "parse", "charlm", "translate"):
        yield study_task(name)
        yield resumed_task(name)
    yield command_task("predict", [], "a good film\n\nbad plot .\n", "text")
    yield command_task("parse", [], "The dog sees the man.\nHe runs.\n", "parse")
    yield command_task("parse", ["--conllu"], CONLLU * 2, "parse")
    yield command_task("generate", ["--prompt", "the", "--length", "12"], "", "charlm")
    yield command_task(
        "translate", ["--beam", "2"], "the dog sees it.\n\nit is good\n", "translate"
    )
    yield file_task()


# --- trials ---------------------------------------------------------------------------------------


def check_fault(task: Task, kind: str, n: int, end: End, folder: Path, wanted: Any) -> str:
    """What the fault led to, in a word; AssertionError if it may not."""
    where = f"{task.name}, {kind} {n}: {end}"
    if kind == "kill":
        assert end.code in (-9, 0), where
        return "killed" if end.code else "ended"
    if end.code == 0:
        assert task.end(folder) == wanted, where
        return "same end"
    assert end.code == 2, where
    words = end.said if task.is_command else end.error
    assert "Traceback" not in words, where
    assert len(words.strip().splitlines()) == 1, where
    return "error in words"


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """In words, cut short."""
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return "; ".join(
        f"{name} is {found.get(name)!r:.1500}, should be {wanted.get(name)!r:.1500}"
        for name in names
    )


def moments(n: int, most: int | None, draw: random.Random) -> list[int]:
    every = range(1, n + 1)
    return list(every) if most is None or n <= most else sorted(draw.sample(every, most))


def try_task(task: Task, most: int | None, seed: int, folder: Path) -> list[str]:
    """All kinds of faults; the figures, a line each."""
    fresh(folder, task)
    end = in_child(lambda: task.run_whole(folder), folder)
    assert end.code == 0, f"{task.name}: fails undisturbed: {end}"
    wanted = task.end(folder)
    lines = []
    for kind in ("kill", "full", "read", "memory"):
        total = count(task, kind, folder)
        chosen = moments(total, most, random.Random(f"{seed} {task.name} {kind}"))
        ends: dict[str, int] = {}
        for n in chosen:
            fresh(folder, task)
            end = in_child(partial(disturbed, task, folder, kind, n), folder)
            came_to = check_fault(task, kind, n, end, folder, wanted)
            ends[came_to] = ends.get(came_to, 0) + 1
            again = in_child(lambda: task.run_whole(folder), folder)
            assert again.code == 0, f"{task.name}, {kind} {n}, repeated: {again}"
            assert (found := task.end(folder)) == wanted, (
                f"{task.name}, {kind} {n}: another end: {difference(found, wanted)}"
            )
        figures = ", ".join(f"{number} {what}" for what, number in sorted(ends.items()))
        lines.append(f"{task.name}: {kind}: {len(chosen)} of {total} moments: {figures or 'none'}")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults at every moment.")
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--most", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    memory = Path("/dev/shm")  # no disk has to be waited for
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="normlab-faults-", dir=where) as name:
        folder = Path(name)
        if "libfaults" not in os.environ.get("LD_PRELOAD", ""):
            environment = {
                **os.environ,
                "LD_PRELOAD": str(library(folder)),
                "OMP_NUM_THREADS": "1",
                "PYTHONUNBUFFERED": "1",  # Python hides no short write of the system
            }
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
        sys.path.insert(0, str(HERE))
        once = ("toys", "normlab.cli", "normlab.text_io", "sacrebleu", "sentencepiece")
        for module in once:  # not in every child
            importlib.import_module(module)
        for task in tasks():
            if not given.tasks or task.name in given.tasks:
                try_task(task, given.most, given.seed, folder / "run")


if __name__ == "__main__":
    main()
