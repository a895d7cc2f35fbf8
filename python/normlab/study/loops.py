"""A pass over training data, the same for every task."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .. import Tensor, argmax, cuda, no_grad, optim, permutation, zeros
from .task import Score, Tick

Step = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""From the examples' numbers to their mean loss, logits and classes."""


def shuffled(n: int, batch: int, device: str = "cpu") -> Iterator[Tensor]:
    """The numbers 0 to n - 1 in an order of this thread's generator, `batch` at a time.

    A last one that would be alone joins those before: batchnorm has no statistics of one row.
    """
    order = permutation(n, device=device)
    starts = list(range(0, n, batch))
    if len(starts) > 1 and n - starts[-1] == 1 < batch:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        yield order[start:stop]


def train_pass(
    optimizer: optim.Optimizer,
    batches: Iterable[Tensor],
    n: int,
    step: Step,
    tick: Tick = lambda share: None,
    *,
    capture: bool = False,
) -> Score:
    """Trains on every batch; the score is of each batch before the step on it.

    Args:
        optimizer: Of the network's parameters.
        batches: Numbers of examples, int64.
        n: How many examples they are together.
        step: See Step.
        tick: Called with the share that is done; on a GPU, that is queued.
        capture: On a GPU, batches as long as the first are steps of a captured graph: for tasks
            whose batches differ in length alone, and are on the GPU.
    """
    on_gpu = optimizer.parameters()[0].device == "cuda"
    trained = _OnGpu(optimizer, step, capture) if on_gpu else _OnCpu(optimizer, step)
    done = 0
    for index in batches:
        trained.batch(index)
        done += len(index)
        tick(done / n)
    return trained.score(n)


def count_right(logits: Tensor, classes: Tensor) -> int:
    """Rows whose greatest logit is their class's."""
    found = argmax(logits, 1).to("cpu").numpy()
    return int(np.count_nonzero(found == classes.to("cpu").numpy()))


class _OnCpu:
    def __init__(self, optimizer: optim.Optimizer, step: Step):
        self._optimizer, self._step = optimizer, step
        self._loss_sum, self._right = 0.0, 0

    def batch(self, index: Tensor) -> None:
        """Trains on it."""
        loss, logits, classes = self._step(index)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._loss_sum += loss.item() * len(classes)
        self._right += count_right(logits, classes)

    def score(self, n: int) -> Score:
        """Over all batches, of n examples."""
        return Score(self._loss_sum / n, 100 * self._right / n)


class _OnGpu:
    """Reads no result before the end, so that the CPU can queue steps ahead."""

    def __init__(self, optimizer: optim.Optimizer, step: Step, capture: bool):
        self._optimizer, self._step = optimizer, step
        self._graph = cuda.Graph() if capture else None
        self._length = -1  # of the batches that the graph is for
        self._index: Tensor | None = None  # the graph's
        self._loss_sum = zeros((), dtype="float64", device="cuda")
        self._right = zeros((), dtype="int64", device="cuda")

    def batch(self, index: Tensor) -> None:
        """Trains on it: the first as it is, as a warm-up for the capture."""
        if self._length < 0 or self._graph is None or len(index) != self._length:
            if self._length < 0:
                self._length = len(index)
            self._train(index)
            return
        if self._index is None:
            self._index = static = index.clone()
            self._graph.capture(lambda: self._train(static))
        else:
            self._index.copy_(index)
        self._graph.replay()

    def score(self, n: int) -> Score:
        """Over all batches, of n examples."""
        # It holds what it captured, us too: its memory would wait for the garbage collector.
        self._graph = self._index = None
        return Score(self._loss_sum.item() / n, 100 * self._right.item() / n)

    def _train(self, index: Tensor) -> None:
        self._optimizer.zero_grad()
        loss, logits, classes = self._step(index)
        loss.backward()
        self._optimizer.step()
        with no_grad():
            loss_sum = self._loss_sum + loss.to("float64") * len(classes)
            right = self._right + (argmax(logits, 1) == classes).to("int64").sum()
            self._loss_sum.copy_(loss_sum)
            self._right.copy_(right)
