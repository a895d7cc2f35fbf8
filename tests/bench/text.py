"""Training of the text Transformer: ours, with the flags of the peer's torch_text.py.

    python text.py --threads 2 --steps 20 --norm layernorm
    python text.py --epoch --write batches.npz --threads 2 --norm layernorm

Dropout 0. Without --epoch: steps on 128 sentences of 32 random tokens. With it: one epoch of RT
(NORMLAB_DATA) in packed batches of at most 4,096 tokens, as `normlab study --task rt` cuts them;
--write leaves the same batches for torch_padded.py. --graph, for the equal steps alone, replays
them as a CUDA graph. Prints one JSON line; items are tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics

import numpy as np
import steps

import normlab as nl
from normlab import text
from normlab.study import TASKS

SENTENCES, LENGTH, VOCABULARY, CLASSES = 128, 32, 20_000, 5
Batch = tuple[text.Packed, nl.Tensor]


def synthetic() -> tuple[list[Batch], int]:
    """16 batches without any difference in length, and the number of words."""
    rng = np.random.default_rng(0)
    offsets = nl.tensor(np.arange(SENTENCES + 1) * LENGTH)
    batches = []
    for _ in range(16):
        tokens = nl.tensor(rng.integers(0, VOCABULARY, SENTENCES * LENGTH))
        labels = nl.tensor(rng.integers(0, CLASSES, SENTENCES))
        batches.append((text.Packed(tokens, offsets), labels))
    return batches, VOCABULARY


def review_epoch() -> tuple[list[Batch], int]:
    """RT's training sentences, cut as the study cuts them."""
    data = TASKS["rt"]().load()
    train = data.splits["train"]
    batches = [
        (text.take(train.sentences, index), nl.take(train.labels, index))
        for index in text.token_batches(train.lengths, 4096)
    ]
    return batches, len(data.vocabulary)


def write(path: str, batches: list[Batch], vocabulary: int) -> None:
    arrays = {"vocabulary": np.array(vocabulary)}
    for i, (sentences, labels) in enumerate(batches):
        arrays[f"tokens{i}"] = sentences.tokens.numpy()
        arrays[f"offsets{i}"] = sentences.offsets.numpy()
        arrays[f"labels{i}"] = labels.numpy()
    np.savez(path, **arrays)


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=20, help="steps, or epochs with --epoch")
    p.add_argument("--norm", default="layernorm", choices=nl.norm_variants())
    p.add_argument("--epoch", action="store_true")
    p.add_argument("--write", metavar="FILE.npz")
    steps.add_device(p)
    a = p.parse_args()
    if a.graph and a.epoch:
        p.error("--graph replays steps of one shape; an epoch's batches differ")

    nl.set_num_threads(a.threads)
    nl.set_matmul_precision(a.precision)
    nl.manual_seed(0)
    batches, vocabulary = review_epoch() if a.epoch else synthetic()
    if a.write:
        write(a.write, batches, vocabulary)
    batches = [(sentences.to(a.device), labels.to(a.device)) for sentences, labels in batches]
    net = text.Classifier(vocabulary, CLASSES, dropout=0.0, norm=a.norm).to(a.device)
    optimizer = nl.optim.Adam(net.parameters(), lr=1e-3)

    def step(tokens: nl.Tensor, offsets: nl.Tensor, labels: nl.Tensor) -> nl.Tensor:
        optimizer.zero_grad()
        loss = nl.cross_entropy(net(text.Packed(tokens, offsets)), labels)
        loss.backward()
        optimizer.step()
        return loss

    def tensors(batch: Batch) -> tuple[nl.Tensor, nl.Tensor, nl.Tensor]:
        sentences, labels = batch
        return sentences.tokens, sentences.offsets, labels

    run = steps.Captured(step, *tensors(batches[0])) if a.graph else step
    for batch in batches[: max(3, a.steps // 10)]:
        run(*tensors(batch))
    times: list[float] = []
    for i in range(a.steps):
        with steps.timed(times, a.device):
            for batch in batches if a.epoch else [batches[i % len(batches)]]:
                loss = run(*tensors(batch))
    tokens = sum(s.tokens.shape[0] for s, _ in batches) if a.epoch else SENTENCES * LENGTH
    median = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "peer": "normlab",
                "version": nl.__version__,
                "task": "text_transformer_epoch" if a.epoch else "text_transformer_train",
                "norm": a.norm,
                "threads": a.threads,
                "median_s": median,
                "items_per_s": tokens / median,
                "unit": "tokens",
                "min_s": min(times),
                "steps": a.steps,
                "device": a.device,
                "precision": a.precision,
                "graph": a.graph,
                "loss": loss.item(),
                "peak_MB": round(peak * 1024 * 1e-6, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
