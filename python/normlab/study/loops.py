"""A pass over training data, the same for every task."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .. import Tensor, argmax, optim, permutation
from .task import Score, Tick

Step = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""From the examples' numbers to their mean loss, logits and classes."""


def shuffled(n: int, batch: int) -> Iterator[Tensor]:
    """The numbers 0 to n - 1 in an order of this thread's generator, `batch` at a time."""
    order = permutation(n)
    for start in range(0, n, batch):
        yield order[start : min(start + batch, n)]


def train_pass(
    optimizer: optim.Optimizer,
    batches: Iterable[Tensor],
    n: int,
    step: Step,
    tick: Tick = lambda share: None,
) -> Score:
    """Trains on every batch; the score is of each batch before the step on it.

    Args:
        optimizer: Of the network's parameters.
        batches: Numbers of examples, int64.
        n: How many examples they are together.
        step: See Step.
        tick: Called with the share that is done.
    """
    loss_sum, right, done = 0.0, 0, 0
    for index in batches:
        loss, logits, classes = step(index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(classes)
        right += count_right(logits, classes)
        done += len(classes)
        tick(done / n)
    return Score(loss_sum / n, 100 * right / n)


def count_right(logits: Tensor, classes: Tensor) -> int:
    """Rows whose greatest logit is their class's."""
    return int(np.count_nonzero(argmax(logits, 1).numpy() == classes.numpy()))
