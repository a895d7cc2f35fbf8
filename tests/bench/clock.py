"""What the language model's two benchmarks share: options, clock, JSON line. Needs no engine."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

_WARM_UP = 3


def options() -> argparse.ArgumentParser:
    """--threads, --steps, and the size of a batch."""
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--context", type=int, default=128)
    p.add_argument("--crops", type=int, default=16)
    return p


def measure(step: Callable[[], float], a: argparse.Namespace, **facts: object) -> None:
    """Prints what a training step takes, on one JSON line that begins with these facts.

    Args:
        step: Makes one and returns its loss.
        a: The options.
        facts: Engine, version, norm.
    """
    for _ in range(_WARM_UP):
        step()
    times, loss, cpu = [], 0.0, time.process_time()
    for _ in range(a.steps):
        start = time.perf_counter()
        loss = step()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    figures = {
        "task": "language_model_train",
        "threads": a.threads,
        "median_s": median,
        "items_per_s": a.crops * a.context / median,
        "unit": "characters",
        "min_s": min(times),
        "cpu_s": (time.process_time() - cpu) / a.steps,
        "steps": a.steps,
        "loss": loss,
    }
    print(json.dumps({**facts, **figures}))
