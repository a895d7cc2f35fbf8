"""What small work costs: normlab beside PyTorch and MLX, in turn.

    python overhead.py --torch .venv-torch/bin/python

The other Python has torch, and mlx (the wheel mlx[cpu]) if that is to be compared. Every figure is
the least median over rounds, in microseconds, of one thread; each call is timed with its result
computed (MLX: evaluated). The sentence has eight words and goes through the network of
`normlab study --task rt`, without gradients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

Call = Callable[[], object]
ENGINES = ("normlab", "torch", "mlx")
VOCABULARY, CLASSES, SIZE, HEADS, HIDDEN, LAYERS, WORDS = 20_000, 2, 128, 4, 512, 4, 8


def normlab_calls() -> dict[str, Call]:
    import numpy as np

    import normlab as nl

    nl.set_num_threads(1)
    nl.manual_seed(0)
    x, y, rows = nl.randn(32, 32), nl.randn(32, 32), nl.randn(32, 128)
    gain, bias = nl.ones(128), nl.zeros(128)
    net = nl.text.Classifier(VOCABULARY, CLASSES, SIZE, HEADS, HIDDEN, LAYERS)
    net.eval()
    sentence = nl.text.pack([list(np.arange(1, WORDS + 1))])

    def read() -> object:
        with nl.no_grad():
            return net(sentence)

    return {
        "add, 32 x 32": lambda: x + y,
        "matmul, 32 x 32": lambda: x @ y,
        "layernorm, 32 x 128": lambda: nl.normalize(rows, "layernorm", gain=gain, bias=bias),
        "a sentence of 8 words": read,
    }


def torch_calls() -> dict[str, Call]:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y, rows = torch.randn(32, 32), torch.randn(32, 32), torch.randn(32, 128)
    norm = nn.LayerNorm(128)
    layer = nn.TransformerEncoderLayer(SIZE, HEADS, HIDDEN, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(SIZE), enable_nested_tensor=False)
    embedding, output = nn.Embedding(VOCABULARY, SIZE), nn.Linear(SIZE, CLASSES)
    places = torch.randn(WORDS, SIZE)
    encoder.eval()
    sentence = torch.arange(1, WORDS + 1)[None]

    def read() -> object:
        with torch.inference_mode():
            return output(encoder(embedding(sentence) + places).mean(1))

    def normalized() -> object:
        with torch.no_grad():
            return norm(rows)

    return {
        "add, 32 x 32": lambda: x + y,
        "matmul, 32 x 32": lambda: x @ y,
        "layernorm, 32 x 128": normalized,
        "a sentence of 8 words": read,
    }


def mlx_calls() -> dict[str, Call]:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    x, y, rows = (mx.random.normal(shape) for shape in ((32, 32), (32, 32), (32, 128)))
    gain, bias = mx.ones(128), mx.zeros(128)
    mx.eval(x, y, rows, gain, bias)

    def evaluated(make: Callable[[], mx.array]) -> Call:
        return lambda: mx.eval(make())

    return {
        "add, 32 x 32": evaluated(lambda: x + y),
        "matmul, 32 x 32": evaluated(lambda: x @ y),
        "layernorm, 32 x 128": evaluated(lambda: mx.fast.layer_norm(rows, gain, bias, 1e-5)),
    }


def median_us(call: Call) -> float:
    """Of the mean over loops of about 2 ms."""
    start = time.perf_counter()
    for _ in range(100):
        call()
    count = max(1, int(0.002 / ((time.perf_counter() - start) / 100)))
    times = []
    for _ in range(100):
        start = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - start) / count * 1e6)
    return statistics.median(times)


def measure(engine: str) -> dict[str, float]:
    calls = {"normlab": normlab_calls, "torch": torch_calls, "mlx": mlx_calls}[engine]()
    return {name: median_us(call) for name, call in calls.items()}


def in_its_python(python: str, engine: str) -> dict[str, float]:
    """What the engine takes, measured by its own interpreter; nothing if it lacks the engine."""
    command = [python, __file__, "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{engine}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {}
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--torch", default=sys.executable, help="the Python that has torch and mlx")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--engine", choices=ENGINES, help="measure this one here, as JSON")
    a = p.parse_args()
    if a.engine:
        print(json.dumps(measure(a.engine)))
        return
    pythons = {"normlab": sys.executable, "torch": a.torch, "mlx": a.torch}
    rounds = [{e: in_its_python(pythons[e], e) for e in ENGINES} for _ in range(a.rounds)]
    print("| what | normlab, µs | PyTorch, µs | MLX, µs | PyTorch / ours |\n|---|---|---|---|---|")
    for name in rounds[0]["normlab"]:
        least = {
            e: min((r[e][name] for r in rounds if name in r[e]), default=None) for e in ENGINES
        }
        cells = [f"{us:.2f}" if us is not None else "" for us in least.values()]
        ours, theirs = least["normlab"], least["torch"]
        ratio = f"{theirs / ours:.2f}" if ours and theirs else ""
        print(f"| {name} | {' | '.join(cells)} | {ratio} |")


if __name__ == "__main__":
    main()
