"""Runs our benchmarks and the PyTorch peers in turn and prints ratios.

    python compare.py --peers ../shared/peers --torch .venv-torch/bin/python

Every figure is the median over rounds in which ours and the peer's follow each other: what else the
machine does falls on both. A ratio above 1 means that ours is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAPER = ("none", "layernorm", "layernorm_simple", "detachnorm", "adanorm")
WHAT = ["norm", "mnist", "text", "epoch", "parser", "parsing"]
SHAPES = ("4096x128", "4096x512", "8192x1024", "2048x4096")
Record = dict[str, Any]


def run(command: Sequence[object]) -> Record:
    """The JSON line that the command prints last; its errors in words otherwise."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nfailed:\n{done.stderr}")
    record: Record = json.loads(done.stdout.strip().splitlines()[-1])
    return record


def median_of(records: Sequence[Record], field: str) -> float:
    return statistics.median(r[field] for r in records)


def build_copy(folder: str) -> Path:
    library = Path(folder) / "libcopy.so"
    subprocess.run(
        [
            "g++",
            "-O3",
            "-march=native",
            "-fopenmp",
            "-shared",
            "-fPIC",
            str(HERE / "copy.cpp"),
            "-o",
            str(library),
        ],
        check=True,
    )
    return library


class Bench:
    def __init__(self, a: argparse.Namespace, copy: Path):
        self.a, self.copy = a, copy

    def peer(self, script: str, options: Sequence[object]) -> Record:
        return run([self.a.torch, Path(self.a.peers) / script, *options])

    def ours(self, script: str, options: Sequence[object]) -> Record:
        return run([sys.executable, HERE / script, *options])

    def norm_rows(self) -> list[str]:
        rows = []
        for threads in self.a.threads:
            for shape in self.a.shapes:
                for norm in self.a.norms:
                    rows.append(self.norm_row(norm, shape, threads))
                    print(rows[-1], flush=True)
        return rows

    def norm_row(self, norm: str, shape: str, threads: int) -> str:
        elements = int(shape.split("x")[0]) * int(shape.split("x")[1])
        steps = max(20, min(200, int(2e8 / elements)))
        options = ["--norm", norm, "--shape", shape, "--threads", threads, "--steps", steps]
        ours, peers = [], []
        for _ in range(self.a.rounds):
            ours.append(self.ours("norm.py", [*options, "--copy", self.copy]))
            if norm in PAPER:
                peers.append(self.peer("torch_norm.py", options))
        us = median_of(ours, "median_s") * 1e6
        share = statistics.median(r["model_GBps"] / r["copy_GBps"] for r in ours)
        streamed = statistics.median(r["model_GBps"] / r["ntcopy_GBps"] for r in ours)
        cells = [norm, shape, threads, f"{us:.0f}"]
        if peers:
            peer_us = median_of(peers, "median_s") * 1e6
            cells += [f"{peer_us:.0f}", f"{peer_us / us:.2f}"]
        else:
            cells += ["", ""]
        cells += [f"{median_of(ours, 'copy_GBps'):.0f}", f"{median_of(ours, 'ntcopy_GBps'):.0f}"]
        cells += ["", ""] if norm == "none" else [f"{share:.0%}", f"{streamed:.0%}"]
        return "| " + " | ".join(map(str, cells)) + " |"

    def mnist_rows(self) -> list[str]:
        rows = []
        for threads in self.a.threads:
            for norm in (n for n in self.a.norms if n in PAPER):
                options = ["--norm", norm, "--threads", threads, "--steps", 300]
                ours, peers, probed = [], [], []
                for _ in range(self.a.rounds):
                    ours.append(self.ours("mnist.py", options))
                    peers.append(self.peer("torch_mnist.py", options))
                    peers.append(self.peer("torch_mnist.py", [*options, "--channels-last"]))
                    probed.append(self.ours("mnist.py", [*options, "--probe"]))
                # The peer's best setting is what counts.
                best = max(median_of(peers[i::2], "items_per_s") for i in (0, 1))
                speed = median_of(ours, "items_per_s")
                cost = speed / median_of(probed, "items_per_s") - 1
                rows.append(
                    f"| {norm} | {threads} | {speed:.0f} | {best:.0f} | {speed / best:.2f} "
                    f"| {cost:.0%} |"
                )
                print(rows[-1], flush=True)
        return rows

    def text_rows(self) -> list[str]:
        """A step on full batches, as the peer's own script has them."""
        rows = []
        for threads in self.a.threads:
            for norm in (n for n in self.a.norms if n in PAPER):
                options = ["--norm", norm, "--threads", threads, "--steps", 15]
                ours, peers = [], []
                for _ in range(self.a.rounds):
                    ours.append(self.ours("text.py", options))
                    peers.append(self.peer("torch_text.py", options))
                    peers.append(self.peer("torch_text.py", [*options, "--stock-malloc"]))
                best = max(median_of(peers[i::2], "items_per_s") for i in (0, 1))
                speed = median_of(ours, "items_per_s")
                rows.append(
                    f"| {norm} | {threads} | {speed:.0f} | {best:.0f} | {speed / best:.2f} |"
                )
                print(rows[-1], flush=True)
        return rows

    def epoch_rows(self) -> list[str]:
        """An epoch of RT: our packed batches, the same ones padded for the peer."""
        rows = []
        batches = self.copy.with_name("batches.npz")
        for threads in self.a.threads:
            for norm in (n for n in self.a.norms if n in PAPER):
                options = ["--norm", norm, "--threads", threads, "--steps", 1]
                ours, peers = [], []
                for _ in range(self.a.rounds):
                    ours.append(self.ours("text.py", [*options, "--epoch", "--write", batches]))
                    padded = [*options, "--batches", batches, "--peers", self.a.peers]
                    for more in ([], ["--stock-malloc"]):
                        script = HERE / "torch_padded.py"
                        peers.append(run([self.a.torch, script, *padded, *more]))
                seconds = median_of(ours, "median_s")
                peer = min(median_of(peers[i::2], "median_s") for i in (0, 1))
                rows.append(
                    f"| {norm} | {threads} | {seconds:.2f} | {peer:.2f} | {peer / seconds:.2f} "
                    f"| {peers[0]['padding']:.0%} | {median_of(ours, 'peak_MB'):.0f} |"
                )
                print(rows[-1], flush=True)
        return rows

    def parser_rows(self) -> list[str]:
        """An epoch of EWT on the same extracted examples, with and without a norm on the input."""
        rows = []
        examples = self.copy.with_name("examples.npz")
        for threads in self.a.threads:
            for more in ([], ["--input-norm"]):
                for norm in (n for n in self.a.norms if n in PAPER):
                    options = ["--norm", norm, "--threads", threads, *more]
                    ours, peers = [], []
                    for _ in range(self.a.rounds):
                        ours.append(self.ours("parser.py", [*options, "--write", examples]))
                        script = HERE / "torch_parser_epoch.py"
                        same = [*options, "--peers", self.a.peers, "--examples", examples]
                        peers.append(run([self.a.torch, script, *same]))
                    seconds, peer = median_of(ours, "median_s"), median_of(peers, "median_s")
                    rows.append(
                        f"| {norm} | {'yes' if more else 'no'} | {threads} | {seconds:.2f} "
                        f"| {peer:.2f} | {peer / seconds:.2f} |"
                    )
                    print(rows[-1], flush=True)
        return rows

    def parsing_rows(self) -> list[str]:
        """Greedy parsing of EWT's test set with gold tags."""
        rows = []
        for threads in self.a.threads:
            found = [
                self.ours("parser.py", ["--parse", "--threads", threads])
                for _ in range(self.a.rounds)
            ]
            rows.append(f"| {threads} | {median_of(found, 'items_per_s'):.0f} |")
            print(rows[-1], flush=True)
        return rows


NORM_HEAD = """| norm | rows x H | threads | ours us | torch us | torch / ours | copy GB/s \
| streamed copy GB/s | of copy | of streamed copy |
|---|---|---|---|---|---|---|---|---|---|"""
MNIST_HEAD = """| norm | threads | ours images/s | torch's best images/s | ours / torch \
| probe's cost |
|---|---|---|---|---|---|"""

TEXT_HEAD = """| norm | threads | ours tokens/s | torch's best tokens/s | ours / torch |
|---|---|---|---|---|"""
EPOCH_HEAD = """| norm | threads | ours s | torch s | torch / ours | padding | our peak MB |
|---|---|---|---|---|---|---|"""

PARSER_HEAD = """| norm | norm on the input | threads | ours s | torch s | torch / ours |
|---|---|---|---|---|---|"""
PARSING_HEAD = """| threads | sentences/s |
|---|---|"""


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("what", nargs="*", default=WHAT, help=", ".join(WHAT))
    p.add_argument("--peers", required=True, help="the folder with torch_norm.py and so on")
    p.add_argument("--torch", required=True, help="a Python that imports torch")
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--shapes", nargs="+", default=SHAPES)
    p.add_argument("--norms", nargs="+", default=PAPER)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, medians of "
        f"{a.rounds} rounds\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(a, build_copy(folder))
        if "norm" in a.what:
            print("Forward and backward of a norm:\n\n" + NORM_HEAD, flush=True)
            bench.norm_rows()
        if "mnist" in a.what:
            print("\nTraining step of the MNIST network, batch 32:\n\n" + MNIST_HEAD, flush=True)
            bench.mnist_rows()
        if "text" in a.what:
            print("\nTraining step of the text Transformer:\n\n" + TEXT_HEAD, flush=True)
            bench.text_rows()
        if "epoch" in a.what:
            print("\nAn epoch of RT, packed and padded:\n\n" + EPOCH_HEAD, flush=True)
            bench.epoch_rows()
        if "parser" in a.what:
            print("\nAn epoch of the parser on EWT:\n\n" + PARSER_HEAD, flush=True)
            bench.parser_rows()
        if "parsing" in a.what:
            print("\nParsing EWT's test set:\n\n" + PARSING_HEAD, flush=True)
            bench.parsing_rows()


if __name__ == "__main__":
    main()
