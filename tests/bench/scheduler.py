"""What a Dask scheduler carries, and what it costs beside processes of the study's own.

    python scheduler.py empty [--runs 10000] [--workers 2]
    python scheduler.py beside [--rounds 3] [--seeds 3] [--items 5000]

`empty` sends runs that train nothing to a scheduler of its own: time a run, and the memory of the
scheduler and of the study. `beside` trains the same runs of MNIST's network with --jobs 2 and on
two workers of one thread, in turn: time on the clock, and of the processors (user and system, all
processes), which says more where others use the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil  # distributed's

import normlab as nl
import normlab.report
from normlab.machine import processor
from normlab.paper import NORMS
from normlab.study import TASKS, Settings, Study
from normlab.study.display import Display
from normlab.study.task import Score

normlab.report.write_report = lambda folder: []  # pictures are not what is measured


@dataclass(frozen=True)
class Nothing:
    """No data."""

    origin = fingerprint = "none"
    warning = ""
    train_items = 1

    def to(self, device: str) -> Nothing:
        return self


class Empty:
    """A task whose runs train nothing."""

    name = title = "empty"
    metric, unit, model, scales = "accuracy", "%", "linear", (1.0,)
    higher_is_better = True
    settings = quick = Settings(epochs=1, patience=1, batch=1, lr=0.1)

    def load(self, *, quick: bool = False) -> Nothing:
        return Nothing()

    def build(self, data: Nothing, norm: Any) -> nl.nn.Module:
        return nl.nn.Linear(1, 1)

    def optimizer(self, model: nl.nn.Module, settings: Settings) -> Any:
        return nl.optim.Adam(model.parameters(), lr=settings.lr)

    def train_epoch(self, *_: Any) -> Score:
        return Score(1.0, 50.0)

    def evaluate(self, *_: Any) -> Score:
        return Score(1.0, 50.0)


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler's file; its process and its workers'."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        usual = ["--scheduler-file", file, "--no-dashboard"]
        words = {
            "scheduler": ["--host", "127.0.0.1", "--port", "0"],
            "worker": ["--nthreads", "1", "--no-nanny", "--local-directory", folder],
        }
        started: list[subprocess.Popen[bytes]] = []

        def start(part: str) -> None:
            command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *usual, *words[part]]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(command, **quiet))

        try:
            start("scheduler")
            while not (Path(file).exists() and Path(file).read_text().rstrip().endswith("}")):
                time.sleep(0.05)
            for _ in range(workers):
                start("worker")
            yield file, [psutil.Process(process.pid) for process in started]
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()


def cpu(processes: list[psutil.Process]) -> float:
    """Seconds of processor time of this process, of its children that have ended, and of these."""
    here = psutil.Process().cpu_times()
    ours = here.user + here.system + here.children_user + here.children_system
    return ours + sum(sum(process.cpu_times()[:2]) for process in processes)


def mib(process: psutil.Process) -> float:
    """What it has in memory."""
    return float(process.memory_info().rss) / (1 << 20)


class Milestones(Display):
    """Prints time and memory after so many runs."""

    def __init__(self, step: int, watched: list[psutil.Process]):
        self.step, self.watched, self.done = step, watched, 0
        self.before = time.perf_counter(), cpu(watched)

    def finish(self, run: Any, result: Any) -> None:
        self.done += 1
        if self.done % self.step:
            return
        now = time.perf_counter(), cpu(self.watched)
        wall, used = ((b - a) / self.step for a, b in zip(self.before, now, strict=True))
        self.before = now
        ours, scheduler = mib(psutil.Process()), mib(self.watched[0])
        print(
            f"| {self.done:,} | {1e3 * wall:.1f} | {1e3 * used:.1f} | {ours:.0f} | "
            f"{scheduler:.0f} |",
            flush=True,
        )


def empty(a: argparse.Namespace) -> None:
    """The table of empty runs."""
    print(
        "| runs | ms a run | processor ms a run | study MiB | scheduler MiB |\n" + 5 * "|---" + "|"
    )
    with cluster(a.workers) as (file, watched), tempfile.TemporaryDirectory() as out:
        seeds = range(a.runs)
        plan = Study([Empty()], ["none"], seeds, Path(out), threads=1, scheduler=file)
        plan.run(Milestones(max(a.runs // 5, 1), watched))


def beside(a: argparse.Namespace) -> None:
    """The table of the two ways, a row a round."""
    task = TASKS["mnist"]()
    task.quick = replace(task.quick, epochs=1, patience=1, train_items=a.items)
    given: dict[str, Any] = {"quick": True, "scales": (1.0,)}

    def timed(watched: list[psutil.Process], **how: Any) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter(), cpu(watched)
            Study([task], NORMS, range(a.seeds), Path(out), **given, **how).run(Display())
            for child in multiprocessing.active_children():
                child.join()
            return time.perf_counter() - start[0], cpu(watched) - start[1]

    print("| round | jobs: s | workers: s | jobs: processor s | workers: processor s |")
    print(5 * "|---" + "|")
    ratios = []
    with cluster(2) as (file, watched):
        timed(watched, threads=1, scheduler=file)  # workers import what they need once
        for i in range(1, a.rounds + 1):
            jobs = timed([], threads=2, jobs=2)
            workers = timed(watched, threads=1, scheduler=file)
            ratios.append([one / other for one, other in zip(jobs, workers, strict=True)])
            cells = [jobs[0], workers[0], jobs[1], workers[1]]
            print("|".join(("", f" {i} ", *(f" {x:.1f} " for x in cells), "")), flush=True)
    wall, used = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"\njobs / workers, median: {wall:.2f} on the clock, {used:.2f} of processor time")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = p.add_subparsers(required=True)
    one = parts.add_parser("empty")
    one.add_argument("--runs", type=int, default=10_000)
    one.add_argument("--workers", type=int, default=2)
    one.set_defaults(measure=empty)
    other = parts.add_parser("beside")
    other.add_argument("--rounds", type=int, default=3)
    other.add_argument("--seeds", type=int, default=3)
    other.add_argument("--items", type=int, default=5_000)
    other.set_defaults(measure=beside)
    a = p.parse_args()
    print(f"{processor()}, normlab {nl.__version__}\n")
    a.measure(a)


if __name__ == "__main__":
    main()
