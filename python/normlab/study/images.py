# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""MNIST and Fashion-MNIST with the paper's network."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import (
    Tensor,
    cross_entropy,
    get_rng_state,
    load_with_metadata,
    nn,
    optim,
    paper,
    save,
    set_rng_state,
    take,
    tensor,
)
from .._core import FileError
from ..data import DataMissingError, ImageData, Split, fashion_mnist, mnist, standin_digits
from ..settings import Settings
from .checks import check_classes
from .loops import LoadedData, TaskOfSteps, classified, fingerprint, slices
from .task import NormChoice, Score, SplitName

SHAPE = (1, 28, 28)
"""Of an image as the network takes it."""
_CLASSES = 10
_FORMAT = "normlab.image_classifier"
_EVALUATION_BATCH = 500
_STANDIN = "stand-in digits (generated), not MNIST"
_PAPER = Settings(epochs=20, patience=5, batch=32, lr=1e-3)
_QUICK = Settings(epochs=4, patience=4, batch=32, lr=1e-3, train_items=10_000)


@dataclass(frozen=True)
class Examples:
    """Standardised images [n, 1, 28, 28], float32, and classes [n], int64."""

    images: Tensor
    labels: Tensor

    def to(self, device: str) -> "Examples":
        """Copies on a device."""
        return Examples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ImageTensors(LoadedData):
    """The three splits as the network takes them."""

    splits: Mapping[str, Examples]

    def to(self, device: str) -> "ImageTensors":
        """See task.Dataset."""
        splits = {name: examples.to(device) for name, examples in self.splits.items()}
        return replace(self, splits=splits, device=device)


class ImageTask(TaskOfSteps[ImageTensors]):
    """conv 5x5 - pool - norm - conv 5x5 - pool - norm - linear, accuracy in per cent."""

    metric = "accuracy"
    model = (
        "conv 5×5 1→20, ReLU, max-pool 2, norm (20×12×12), conv 5×5 20→50, ReLU, max-pool 2, "
        "norm (50×4×4), linear 800→10"
    )
    settings = _PAPER
    quick = _QUICK
    scales: Sequence[float] = paper.ADANORM_C

    def __init__(
        self,
        name: str,
        title: str,
        read: Callable[[], ImageData],
        mean: float,
        std: float,
        standin: Callable[[], ImageData] | None = None,
    ):
        self.name, self.title = name, title
        self._read, self._standin = read, standin
        self._mean, self._std = mean, std

    def load(self, *, quick: bool = False) -> ImageTensors:
        """The data as tensors; generated digits only for `quick`, and only if MNIST is nowhere."""
        try:
            data = self._read()
        except DataMissingError:
            if not quick or self._standin is None:
                raise
            data = self._standin()
        warning = _STANDIN if data.generated else ""
        splits = data.splits
        labels = {name: split.labels.astype(np.int64) for name, split in splits.items()}
        counts = {name: len(split.images) for name, split in splits.items()}
        check_classes(data.origin, "images", counts, labels, _CLASSES)
        return ImageTensors(
            origin=f"{warning}: {data.origin}" if warning else data.origin,
            fingerprint=fingerprint(
                np.ascontiguousarray(part).data
                for split in splits.values()
                for part in (split.images, split.labels)
            ),
            warning=warning,
            train_items=len(data.train),
            splits={name: self._examples(split) for name, split in splits.items()},
        )

    def _examples(self, split: Split) -> Examples:
        scaled = split.images.astype(np.float32)
        scaled *= 1 / (255 * self._std)
        scaled -= self._mean / self._std
        return Examples(tensor(scaled[:, None]), tensor(split.labels.astype(np.int64)))

    def build(self, data: ImageTensors, norm: NormChoice) -> nn.Module:
        """The paper's network; see `model`."""
        return _network(norm)

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        """Adam with its usual constants."""
        return optim.Adam(model.parameters(), lr=settings.lr)

    def step(
        self, model: nn.Module, data: ImageTensors, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See loops.Step."""
        train = data.splits["train"]
        labels = take(train.labels, index)
        logits = model(take(train.images, index))
        return cross_entropy(logits, labels), logits, labels

    def evaluate(self, model: nn.Module, data: ImageTensors, split: SplitName) -> Score:
        """Mean loss and accuracy of a whole split."""
        model.eval()
        examples = data.splits[split]
        parts = slices(len(examples.labels), _EVALUATION_BATCH)
        return classified((model(examples.images[part]), examples.labels[part]) for part in parts)

    def save(
        self, path: Path, model: nn.Module, data: ImageTensors, notes: Mapping[str, str]
    ) -> None:
        """The network's state, its norm's options, and how images are standardised."""
        norm = next(part for _, part in model.named_modules() if isinstance(part, nn.Norm))
        options = {"variant": norm.variant} | norm._arguments()
        del options["size"]
        metadata = {
            "format": _FORMAT,
            "norm": json.dumps(options),
            "mean": repr(self._mean),
            "std": repr(self._std),
        }
        save(path, model.state(), metadata | {f"note.{name}": v for name, v in notes.items()})


def _network(norm: NormChoice) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5, activation="relu"),
        nn.MaxPool2d(2),
        nn.Norm(norm.variant, (20, 12, 12), **norm.options),
        nn.Conv2d(20, 50, 5, activation="relu"),
        nn.MaxPool2d(2),
        nn.Norm(norm.variant, (50, 4, 4), **norm.options),
        nn.Flatten(),
        nn.Linear(800, _CLASSES),
    )


def load_network(path: Path) -> tuple[nn.Sequential, dict[str, str]]:
    """Reads a network that a study of images kept, in evaluation mode.

    This thread's random numbers go on as if there had been none.

    Returns:
        The network, and all else that the file says: the norm's options, mean and std of the
        pixels by which images are standardised, notes.

    Raises:
        FileError: Not such a file, or one with an option or tensor that is not as it must be.
    """
    tensors, metadata = load_with_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise FileError(f"{path}: is no model of a study of images")
    if "norm" not in metadata:
        raise FileError(
            f"{path}: an earlier version wrote it, without the norm's options; train it again with "
            "normlab study --save"
        )
    before = get_rng_state()
    try:
        options: dict[str, Any] = json.loads(metadata["norm"])
        network = _network(NormChoice(options.pop("variant"), options))
        network.load_state(tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: is no model of a study of images: {error}") from error
    finally:
        set_rng_state(before)
    network.eval()
    return network, metadata


def mnist_task() -> ImageTask:
    """The paper's task."""
    return ImageTask("mnist", "MNIST", mnist, mean=0.1307, std=0.3081, standin=standin_digits)


def fashion_mnist_task() -> ImageTask:
    """MNIST's network on harder pictures. The paper has no numbers for it."""
    return ImageTask("fashion_mnist", "Fashion-MNIST", fashion_mnist, mean=0.2860, std=0.3530)
