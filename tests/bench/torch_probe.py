"""What normlab.torch's probe costs a PyTorch model, by steps with and without it in turn.

    python tests/bench/torch_probe.py --every 1 10

Runs where PyTorch and normlab are installed. The model is a causal Transformer (pre-norm) of
nn.TransformerEncoderLayer, trained by AdamW on numbers; a block is ten steps.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import normlab as nl
import normlab.torch as nlt

_BLOCK = 10


class Model(nn.Module):
    """A language model over 64 characters."""

    def __init__(self, size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, size)
        layer = nn.TransformerEncoderLayer(
            size, 4, 4 * size, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(size), False)
        self.output = nn.Linear(size, 64)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (batch, length, 64)."""
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.output(self.blocks(self.embedding(tokens), mask=mask, is_causal=True))


def trainer(a: argparse.Namespace) -> tuple[Model, Callable[[], None]]:
    """The model, and a function that makes one step of its training."""
    model = Model(a.size, a.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(0, 64, (a.crops, a.context + 1))

    def step() -> None:
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()

    return model, step


def block(step: Callable[[], None], probe: nlt.probe | None) -> float:
    """Seconds of ten steps."""
    start = time.perf_counter()
    with probe or contextlib.nullcontext():
        for _ in range(_BLOCK):
            step()
            if probe is not None:
                probe.next_step()
    return time.perf_counter() - start


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--size", type=int, nargs="+", default=[128, 256])
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--crops", type=int, default=8)
    p.add_argument("--context", type=int, default=128)
    p.add_argument("--every", type=int, nargs="+", default=[1, 10])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=9)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    nl.set_num_threads(a.threads)
    print(f"PyTorch {torch.__version__}, {a.threads} threads; a step in ms, and the probe's cost\n")
    print("| size | a step | " + " | ".join(f"every={every}" for every in a.every) + " |")
    print("|---" * (2 + len(a.every)) + "|")
    for size in a.size:
        one = argparse.Namespace(**{**vars(a), "size": size})
        model, step = trainer(one)
        block(step, None)
        costs: dict[int, list[float]] = {every: [] for every in a.every}
        plain = []
        for _ in range(a.rounds):
            plain.append(block(step, None))
            for every in a.every:
                costs[every].append(block(step, nlt.probe(model, every=every)) / plain[-1] - 1)
        cells = [f"{100 * statistics.median(costs[every]):+.1f} %" for every in a.every]
        print(f"| {size} | {1e3 * statistics.median(plain) / _BLOCK:.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
