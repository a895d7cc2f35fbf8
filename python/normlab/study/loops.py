"""Passes over a split, shared by all tasks."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from .. import Tensor, argmax, cross_entropy, cuda, nn, no_grad, optim, permutation, tensor, zeros
from ..settings import Settings
from .task import Dataset, Score, Tick

Step = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Maps the numbers of examples to their mean loss, logits and classes."""
_EVALUATION_TOKENS = 4096


def shuffled(n: int, batch: int, device: str = "cpu") -> Iterator[Tensor]:
    """The numbers 0 to n - 1 in an order drawn from this thread's generator, `batch` at a time.

    A last number that would be alone joins the batch before, because batchnorm needs two rows.
    """
    order = permutation(n, device=device)
    starts = list(range(0, n, batch))
    if len(starts) > 1 and n - starts[-1] == 1 < batch:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        yield order[start:stop]


def in_order(lengths: Tensor) -> list[Tensor]:
    """Batches for evaluation: in the order of the data, each of at most 4,096 tokens."""
    batches: list[list[int]] = [[]]
    room = _EVALUATION_TOKENS
    for i, length in enumerate(lengths.numpy().tolist()):
        if length > room and batches[-1]:
            batches.append([])
            room = _EVALUATION_TOKENS
        batches[-1].append(i)
        room -= length
    return [tensor(np.array(batch, np.int64)) for batch in batches]


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
        tick: Called with the share that is done or, on a GPU, queued.
        capture: On a GPU, replay a captured graph for batches as long as the first. Batches must
            differ in length alone and lie on the GPU.
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
    """Number of rows whose greatest logit is that of their class."""
    found = argmax(logits, 1).to("cpu").numpy()
    return int(np.count_nonzero(found == classes.to("cpu").numpy()))


def classified(batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
    """Mean loss and accuracy over batches of logits and classes, computed without gradients."""
    loss_sum, right, n = 0.0, 0, 0
    with no_grad():
        for logits, classes in batches:
            loss_sum += cross_entropy(logits, classes).item() * len(classes)
            right += count_right(logits, classes)
            n += len(classes)
    return Score(loss_sum / n, 100 * right / n)


def slices(n: int, batch: int) -> Iterator[slice]:
    """The numbers 0 to n - 1 in order, `batch` at a time."""
    return (slice(start, min(start + batch, n)) for start in range(0, n, batch))


def trained_items(settings: Settings, data: "Dataset | LoadedData") -> int:
    """How many of the first training examples are used."""
    return min(settings.train_items or data.train_items, data.train_items)


def fingerprint(parts: Iterable[bytes | memoryview]) -> str:
    """A sum over all data, for Dataset.fingerprint."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True)
class LoadedData:
    """What the data of all our tasks have; see task.Dataset."""

    origin: str
    fingerprint: str
    warning: str
    train_items: int
    device: str = field(default="cpu", kw_only=True)


D = TypeVar("D", bound=LoadedData)


class TaskOfSteps(Generic[D]):
    """A task that trains by a step on each of an epoch's batches.

    Attributes:
        captured: On a GPU, a step is replayed as a graph for batches of one length.
    """

    unit = "%"
    higher_is_better = True
    captured = True

    def train_epoch(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        data: D,
        settings: Settings,
        epoch: int,
        tick: Tick,
    ) -> Score:
        """One pass; the score is of each batch before the step on it."""
        model.train()
        n = trained_items(settings, data)
        batches = self.batches(model, data, settings, n)
        step = partial(self.step, model, data)
        return train_pass(optimizer, batches, n, step, tick, capture=self.captured)

    def batches(self, model: nn.Module, data: D, settings: Settings, n: int) -> Iterable[Tensor]:
        """Numbers of the first n training examples, in an order drawn from this thread's generator.

        The model is for tasks whose batches depend on it.
        """
        return shuffled(n, settings.batch, data.device)

    def step(self, model: nn.Module, data: D, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Step."""
        raise NotImplementedError


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
    """Reads no result before the end, so that the CPU queues steps ahead."""

    def __init__(self, optimizer: optim.Optimizer, step: Step, capture: bool):
        self._optimizer, self._step = optimizer, step
        self._graph = cuda.Graph() if capture else None
        self._length = -1  # of the batches that the graph is for
        self._index: Tensor | None = None  # the graph's
        self._loss_sum = zeros((), dtype="float64", device="cuda")
        self._right = zeros((), dtype="int64", device="cuda")

    def batch(self, index: Tensor) -> None:
        """Trains on it. The first batch runs uncaptured, as a warm-up."""
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
        # The graph refers to this object: the cycle would keep its memory until a collection.
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
