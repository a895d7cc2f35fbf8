"""What the benchmarks of training steps share: the device, the clock, CUDA graphs."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator

import normlab as nl

Step = Callable[..., nl.Tensor]
"""From a batch's tensors to the loss."""


def add_device(p: argparse.ArgumentParser) -> None:
    """The options --device, --graph and --precision."""
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--graph", action="store_true", help="capture the step once and replay it")
    p.add_argument("--precision", default="float32", help="of the CPU's products, or bfloat16")


@contextlib.contextmanager
def timed(times: list[float], device: str) -> Iterator[None]:
    """Appends the seconds of what is within, on the GPU until it is done."""
    wait = nl.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    yield
    wait()
    times.append(time.perf_counter() - start)


class Captured:
    """A step as a CUDA graph for batches of one shape, which are copied to where it reads them."""

    def __init__(self, step: Step, *batch: nl.Tensor):
        self._batch = [x.clone() for x in batch]
        step(*self._batch)  # makes what is made at a first time
        self._graph = nl.cuda.Graph()
        self._loss = self._graph.capture(lambda: step(*self._batch))

    def __call__(self, *batch: nl.Tensor) -> nl.Tensor:
        for place, values in zip(self._batch, batch, strict=True):
            place.copy_(values)
        self._graph.replay()
        return self._loss
