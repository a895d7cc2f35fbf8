"""Training of the character language model: ours, with the flags of torch_language.py.

    python language.py --threads 2 --steps 30 --context 128 --crops 16

Random characters, dropout 0, the sizes of `normlab study --task charlm`. Prints one JSON line;
items are characters.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

import normlab as nl
from normlab import language, text

VOCABULARY = 66


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--context", type=int, default=128)
    p.add_argument("--crops", type=int, default=16)
    p.add_argument("--norm", default="layernorm", choices=nl.norm_variants())
    a = p.parse_args()
    nl.set_num_threads(a.threads)
    nl.manual_seed(0)
    net = language.LanguageModel(VOCABULARY, a.context, tied=True, dropout=0.0, norm=a.norm)
    optimizer = nl.optim.AdamW(net.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    offsets = nl.tensor(np.arange(a.crops + 1) * a.context)
    count = a.crops * a.context

    def step() -> float:
        drawn = rng.integers(0, VOCABULARY, (2, count))
        optimizer.zero_grad()
        logits = net(text.Packed(nl.tensor(drawn[0]), offsets))
        loss = nl.cross_entropy(logits, nl.tensor(drawn[1]))
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(3):
        step()
    times, cpu = [], time.process_time()
    for _ in range(a.steps):
        start = time.perf_counter()
        loss = step()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "peer": "normlab",
                "version": nl.__version__,
                "task": "language_model_train",
                "norm": a.norm,
                "threads": a.threads,
                "median_s": median,
                "items_per_s": count / median,
                "unit": "characters",
                "min_s": min(times),
                "cpu_s": (time.process_time() - cpu) / a.steps,
                "steps": a.steps,
                "loss": loss,
            }
        )
    )


if __name__ == "__main__":
    main()
