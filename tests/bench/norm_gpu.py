"""Norms over the last axis on the GPU, forward and backward: ours and PyTorch's, one side a run.

    python norm_gpu.py ours --norms layernorm adanorm --shapes 4096x16384
    python norm_gpu.py eager --peers ../shared/peers --norms layernorm --shapes 4096x16384

Sides: ours; eager, compile (torch, with the peer's modules); liger, apex (their LayerNorm and
RMSNorm, where they are installed). Prints one JSON line for each norm, shape and dtype:
microseconds of the forward pass alone and of forward and backward, medians over blocks of queued
calls, and those of a copy of the same size. A side that lacks a norm leaves it out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

NORMS = ("layernorm", "layernorm_simple", "detachnorm", "adanorm", "rmsnorm")
SHAPES = (
    "4096x128", "8192x1024", "131072x256", "65536x1024", "16384x4096", "4096x16384", "1024x65536",
)  # fmt: skip
BLOCKS, BLOCK_SECONDS = 7, 0.02


class Calls(NamedTuple):
    """What one case queues on the device."""

    forward: Callable[[], object]
    both: Callable[[], object]
    copy: Callable[[], object]


class Ours:
    """normlab."""

    def __init__(self) -> None:
        import normlab

        self.nl = normlab
        self.name = normlab.cuda.properties()["name"]
        self.synchronize = normlab.cuda.synchronize

    def calls(self, norm: str, rows: int, cols: int, dtype: str) -> Calls:
        nl = self.nl
        x = nl.randn((rows, cols)).to("cuda").to(dtype).detach()
        dz = nl.randn((rows, cols)).to("cuda").to(dtype).detach()
        module = nl.nn.Norm(norm, cols).to("cuda")
        params = list(module.parameters())
        x.requires_grad = True
        target = nl.empty((rows, cols), dtype=dtype, device="cuda")

        def forward() -> None:
            with nl.no_grad():
                module(x)

        def both() -> None:
            module(x).backward(dz)
            for t in (x, *params):
                t.grad = None

        return Calls(forward, both, lambda: target.copy_(dz))


class Torch:
    """PyTorch eager or compiled with the peer's modules, Liger or Apex."""

    def __init__(self, side: str, peers: str):
        import torch

        sys.path.insert(0, peers)
        self.torch, self.side = torch, side
        self.name = torch.cuda.get_device_name()
        self.synchronize = torch.cuda.synchronize

    def module(self, norm: str, cols: int) -> Any:
        """Raises ImportError or KeyError where this side has no such norm."""
        if self.side == "liger":
            liger = importlib.import_module("liger_kernel.transformers")
            kind = {"layernorm": "LigerLayerNorm", "rmsnorm": "LigerRMSNorm"}[norm]
            return getattr(liger, kind)(cols)
        if self.side == "apex":
            apex = importlib.import_module("apex.normalization")
            kind = {"layernorm": "FusedLayerNorm", "rmsnorm": "FusedRMSNorm"}[norm]
            return getattr(apex, kind)(cols)
        if norm == "rmsnorm":
            return self.torch.nn.RMSNorm(cols, eps=1e-5)
        return importlib.import_module("torch_norm").Norm(norm, (cols,))

    def calls(self, norm: str, rows: int, cols: int, dtype: str) -> Calls:
        torch = self.torch
        module = self.module(norm, cols).to("cuda", dtype=getattr(torch, dtype))
        if self.side == "compile":
            torch._dynamo.reset()
            module = torch.compile(module)
        made = {"device": "cuda", "dtype": getattr(torch, dtype)}
        x = torch.randn(rows, cols, **made).requires_grad_()
        dz, target = torch.randn(rows, cols, **made), torch.empty(rows, cols, **made)
        params = list(module.parameters())

        def forward() -> None:
            with torch.no_grad():
                module(x)

        def both() -> None:
            module(x).backward(dz)
            for t in (x, *params):
                t.grad = None

        return Calls(forward, both, lambda: target.copy_(dz))


def microseconds(call: Callable[[], object], synchronize: Callable[[], object]) -> float:
    """The median over blocks of queued calls, each waited for as a whole."""
    for _ in range(3):
        call()
    synchronize()
    start = time.perf_counter()
    call()
    synchronize()
    count = max(3, min(2000, int(BLOCK_SECONDS / (time.perf_counter() - start))))
    blocks = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(count):
            call()
        synchronize()
        blocks.append((time.perf_counter() - start) / count)
    return statistics.median(blocks) * 1e6


def cases(a: argparse.Namespace) -> Iterator[tuple[str, int, int, str]]:
    for shape in a.shapes:
        rows, cols = map(int, shape.split("x"))
        for dtype in a.dtypes:
            for norm in a.norms:
                yield norm, rows, cols, dtype


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("side", choices=["ours", "eager", "compile", "liger", "apex"])
    p.add_argument("--peers", default="../shared/peers", help="the folder with torch_norm.py")
    p.add_argument("--norms", nargs="+", default=NORMS)
    p.add_argument("--shapes", nargs="+", default=SHAPES, help="ROWSxCOLS")
    p.add_argument("--dtypes", nargs="+", default=["float32"])
    a = p.parse_args()
    side = Ours() if a.side == "ours" else Torch(a.side, a.peers)
    failed = 0
    for norm, rows, cols, dtype in cases(a):
        try:
            calls = side.calls(norm, rows, cols, dtype)
            record = {
                "side": a.side,
                "device": side.name,
                "norm": norm,
                "shape": f"{rows}x{cols}",
                "dtype": dtype,
                "forward_us": microseconds(calls.forward, side.synchronize),
                "both_us": microseconds(calls.both, side.synchronize),
                "copy_us": microseconds(calls.copy, side.synchronize),
            }
        except (ImportError, KeyError):
            continue
        except Exception:  # of a compiler, say: the other cases go on
            traceback.print_exc()
            failed += 1
            continue
        print(json.dumps(record), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
