"""Training steps while other processes hold the processors: ours, and PyTorch's in turn.

    python busy.py --torch PYTHON --peers FOLDER [--busy 0 1 2 4] [--rounds 3]

Each row is a number of busy processes and has images/s of the MNIST step (median of the rounds):
ours with the default settings and with one thread, PyTorch's with two threads and with one. A last
row has two processes of ours at once, default settings, added together, beside one alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUSY = "while True: pass"


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many other processes compute meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def start(command: list[str]) -> subprocess.Popen[str]:
    """A benchmark, which prints a line of JSON."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def speed(process: subprocess.Popen[str]) -> float:
    """Images per second over all of its time: medians do not see a thread that is late at times."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"busy.py: {process.args} ended with {process.returncode}")
    figures = json.loads(output.splitlines()[-1])
    return float(figures["batch"] / figures.get("mean_s", figures["median_s"]))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--torch", help="the Python that has PyTorch; without, ours alone")
    p.add_argument("--peers", type=Path, default=HERE.parents[2] / "shared" / "peers")
    p.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=1000)
    a = p.parse_args()

    cores = str(len(os.sched_getaffinity(0)))
    ours = [sys.executable, str(HERE / "mnist.py"), "--steps", str(a.steps), "--threads"]
    sides = {f"ours, {cores} threads": [*ours, cores], "ours, 1 thread": [*ours, "1"]}
    if a.torch:
        peer = [a.torch, str(a.peers / "torch_mnist.py"), "--steps", str(a.steps // 5), "--threads"]
        sides |= {f"torch, {cores} threads": [*peer, cores], "torch, 1 thread": [*peer, "1"]}
    default = sides[f"ours, {cores} threads"]

    print("|".join(("", " busy processes ", *(f" {name} " for name in sides), "")))
    print("|---" * (len(sides) + 1) + "|")
    for processes in a.busy:
        with busy(processes):
            rounds = [[speed(start(side)) for side in sides.values()] for _ in range(a.rounds)]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        print("|".join(("", f" {processes} ", *(f" {value:,.0f} " for value in medians), "")))

    both, alone = [], []
    for _ in range(a.rounds):
        pair = [start(default), start(default)]
        both.append(sum(speed(process) for process in pair))
        alone.append(speed(start(default)))
    print(f"\ntwo of ours at once: {statistics.median(both):,.0f} images/s together;", end=" ")
    print(f"one alone: {statistics.median(alone):,.0f}")


if __name__ == "__main__":
    main()
