"""Norms in PyTorch: `normlab.torch` beside eager and compiled PyTorch, in turn in one process.

    python tests/bench/torch_norm.py --shapes 4096x512 32x128 --norms layernorm adanorm

Runs where PyTorch and normlab are installed. Times are of a forward and a backward pass in
microseconds, medians over rounds in which all follow each other; with --cpu processor time, which
other programs disturb less. "eager" is PyTorch's own norm, or the formula out of its operations.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import normlab as nl
import normlab.torch as nlt

COLUMNS = ("eager", "compiled", "normlab", "default", "default compiled")


def modules(variant: str, cols: int) -> dict[str, torch.nn.Module]:
    """What is measured, by column."""
    made = {
        name: nlt.Norm(variant, cols, backend=backend)
        for name, backend in (("eager", "torch"), ("normlab", "normlab"), ("default", None))
    }
    if variant == "layernorm":
        made["eager"] = torch.nn.LayerNorm(cols)
    if variant == "rmsnorm":
        made["eager"] = torch.nn.RMSNorm(cols, eps=1e-5)
    made["compiled"] = torch.compile(nlt.Norm(variant, cols, backend="torch"))
    made["default compiled"] = torch.compile(nlt.Norm(variant, cols))
    return made


def measured(step: Callable[[], object], steps: int, clock: Callable[[], float]) -> float:
    """Microseconds a step."""
    start = clock()
    for _ in range(steps):
        step()
    return (clock() - start) / steps * 1e6


def row(variant: str, shape: str, a: argparse.Namespace) -> str:
    rows, cols = map(int, shape.split("x"))
    torch.compiler.reset()  # after eight modules it would compile no more
    x, dz = torch.randn(rows, cols, requires_grad=True), torch.randn(rows, cols)

    def step_of(module: torch.nn.Module) -> Callable[[], object]:
        def step() -> None:
            module(x).backward(dz)
            x.grad = None

        return step

    steps = {name: step_of(module) for name, module in modules(variant, cols).items()}
    count = max(5, min(1000, int(2e7 / (rows * cols))))
    clock = time.process_time if a.cpu else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for step in steps.values():  # compiles and warms up
        measured(step, 5, clock)
    for _ in range(a.rounds):
        for name in COLUMNS:
            times[name].append(measured(steps[name], count, clock))
    cells = [f"{statistics.median(times[name]):.0f}" for name in COLUMNS]
    return f"| {variant} | {shape} | {' | '.join(cells)} |"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--norms", nargs="+", default=["layernorm", "rmsnorm", "detachnorm", "adanorm"])
    p.add_argument("--shapes", nargs="+", default=["32x128", "512x128", "4096x512"])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--cpu", action="store_true", help="processor time instead of time")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    nl.set_num_threads(a.threads)
    print(f"PyTorch {torch.__version__}, {a.threads} threads, {'processor ' * a.cpu}time in us\n")
    print("| norm | rows x H | " + " | ".join(COLUMNS) + " |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for shape in a.shapes:
        for variant in a.norms:
            print(row(variant, shape, a), flush=True)


if __name__ == "__main__":
    main()
