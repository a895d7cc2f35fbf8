"""Training step of the paper's MNIST network: ours, with the flags of the peer's torch_mnist.py.

python mnist.py --threads 2 --steps 300 --norm layernorm

Synthetic images: only the step's speed is measured. Prints one JSON line; items are images.
`--probe` leaves nl.probe on, to see what it costs; `--graph` replays the step as a CUDA graph.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics

import numpy as np
import steps

import normlab as nl


def build(variant: str) -> nl.nn.Sequential:
    """The paper's network, as the peer has it."""
    return nl.nn.Sequential(
        nl.nn.Conv2d(1, 20, 5, activation="relu"),
        nl.nn.MaxPool2d(2),
        nl.nn.Norm(variant, (20, 12, 12)),
        nl.nn.Conv2d(20, 50, 5, activation="relu"),
        nl.nn.MaxPool2d(2),
        nl.nn.Norm(variant, (50, 4, 4)),
        nl.nn.Flatten(),
        nl.nn.Linear(800, 10),
    )


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--norm", default="layernorm", choices=nl.norm_variants())
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--probe", action="store_true")
    steps.add_device(p)
    a = p.parse_args()

    nl.set_num_threads(a.threads)
    nl.set_matmul_precision(a.precision)
    nl.manual_seed(0)
    net = build(a.norm).to(a.device)
    rng = np.random.default_rng(0)
    data = nl.tensor(rng.random((64, a.batch, 1, 28, 28), dtype=np.float32)).to(a.device)
    labels = nl.tensor(rng.integers(0, 10, (64, a.batch))).to(a.device)
    batches = [(data[i], labels[i]) for i in range(64)]
    optimizer = nl.optim.Adam(net.parameters(), lr=1e-3)

    def step(images: nl.Tensor, classes: nl.Tensor) -> nl.Tensor:
        optimizer.zero_grad()
        loss = nl.cross_entropy(net(images), classes)
        loss.backward()
        optimizer.step()
        return loss

    run = steps.Captured(step, *batches[0]) if a.graph else step
    with nl.probe(net) if a.probe else contextlib.nullcontext() as probe:
        for i in range(max(5, a.steps // 10)):
            run(*batches[i % 64])
        times = []
        for i in range(a.steps):
            with steps.timed(times, a.device):
                loss = run(*batches[i % 64])
                if probe:
                    probe.next_step()
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "peer": "normlab",
                "version": nl.__version__,
                "task": "mnist_cnn_train",
                "norm": a.norm,
                "threads": a.threads,
                "median_s": median,
                "mean_s": statistics.fmean(times),
                "items_per_s": a.batch / median,
                "unit": "images",
                "batch": a.batch,
                "probe": a.probe,
                "device": a.device,
                "precision": a.precision,
                "graph": a.graph,
                "min_s": min(times),
                "steps": a.steps,
                "loss": loss.item(),
            }
        )
    )


if __name__ == "__main__":
    main()
