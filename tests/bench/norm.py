"""One norm over the last axis, forward and backward, beside copy bandwidth in the same process.

    python norm.py --copy libcopy.so --threads 2 --steps 100 --norm layernorm --shape 4096x512

Prints one JSON line, with the fields of the peer's torch_norm.py. Blocks of copies and of steps
alternate, so that whatever else the machine does slows both, while a step finds the caches as the
step before left them, as the peer's does.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

import normlab as nl

BLOCKS = 5


def parameters(variant: str, size: int) -> dict[str, nl.Tensor]:
    """Gain, bias and alpha as far as the variant has them."""
    norm = nl.nn.Norm(variant, size)
    return dict(norm.named_parameters())


def timed(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--copy", required=True, help="the compiled copy.cpp")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--norm", default="layernorm", choices=nl.norm_variants())
    p.add_argument("--shape", default="4096x128", help="ROWSxCOLS")
    a = p.parse_args()

    nl.set_num_threads(a.threads)
    nl.manual_seed(0)
    rows, cols = map(int, a.shape.split("x"))
    x = nl.randn((rows, cols))
    x.requires_grad = True
    dz = nl.randn((rows, cols))
    params = parameters(a.norm, cols)

    lib = ctypes.CDLL(a.copy)
    source, target = nl.randn((rows, cols)), nl.zeros((rows, cols))

    def copy(function: str) -> float:
        pointers = [
            t.numpy().ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for t in (target, source)
        ]
        call = getattr(lib, function)
        return timed(lambda: call(*pointers, ctypes.c_int64(rows * cols), a.threads))

    def step() -> None:
        nl.normalize(x, a.norm, **params).backward(dz)
        for t in (x, *params.values()):
            t.grad = None

    times: list[float] = []
    regular: list[float] = []
    streaming: list[float] = []
    for block in range(1 + BLOCKS):
        if block == 1:  # the first was for warming up
            times, regular, streaming = [], [], []
        for _ in range(max(5, a.steps // BLOCKS)):
            times.append(timed(step))
        for _ in range(5):
            regular.append(copy("copy_regular"))
        for _ in range(5):
            streaming.append(copy("copy_streaming"))
    assert np.isfinite(target.numpy()).all()
    median = statistics.median(times)
    nbytes = rows * cols * 4
    # Forward reads x and writes z; backward reads x and dz and writes dx.
    print(
        json.dumps(
            {
                "peer": "normlab",
                "version": nl.__version__,
                "task": "norm_fwdbwd",
                "norm": a.norm,
                "threads": a.threads,
                "median_s": median,
                "min_s": min(times),
                "shape": [rows, cols],
                "model_GBps": 5 * nbytes / median * 1e-9,
                "copy_GBps": 2 * nbytes / statistics.median(regular) * 1e-9,
                "ntcopy_GBps": 2 * nbytes / statistics.median(streaming) * 1e-9,
                "steps": a.steps,
            }
        )
    )


if __name__ == "__main__":
    main()
