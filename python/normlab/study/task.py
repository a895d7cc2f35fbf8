"""The protocol of tasks. A new task is an object with these methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from ..settings import Settings

if TYPE_CHECKING:
    from .. import nn, optim

SplitName = Literal["valid", "test"]
Tick = Callable[[float], None]


@dataclass(frozen=True)
class Score:
    """Mean loss and the task's metric over a pass.

    Attributes:
        loss: Mean.
        metric: Mean; finite also where the network has diverged, or no line could hold it.
        more: What else stands in a test's result, by these names: plain values.
    """

    loss: float
    metric: float
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NormChoice:
    """A variant with the options that it takes."""

    variant: str
    options: Mapping[str, Any]


class Dataset(Protocol):
    """A task's data in memory.

    Networks are trained on the device of the data.
    """

    @property
    def origin(self) -> str:
        """The data's source, in words."""

    @property
    def fingerprint(self) -> str:
        """A checksum over all data, which separates results on different data."""

    @property
    def train_items(self) -> int:
        """Size of the training data, of which Settings.train_items may take a part."""

    @property
    def warning(self) -> str:
        """A warning about the data, shown in every table, picture and line; empty for real data."""

    def to(self, device: str) -> "Dataset":
        """Returns the data for networks on "cpu" or "cuda"."""


D = TypeVar("D", bound=Dataset)


class Task(Protocol[D]):
    """A data set, a network and a metric."""

    name: str
    title: str
    metric: str
    unit: str
    """Of the metric: "%", or a word that may stand behind a number."""
    higher_is_better: bool
    """The metric's direction, which every choice and every report follows."""
    settings: Settings
    """For the whole study: the paper's, or chosen on the validation set (RT, SST5)."""
    scales: Sequence[float]
    """Candidates for AdaNorm's C."""

    @property
    def model(self) -> str:
        """The network in words, for the report."""

    @property
    def quick(self) -> Settings:
        """A try of some minutes."""

    def load(self, *, quick: bool = False) -> D:
        """Reads the data; FileError if there is none. Only `quick` may generate stand-ins."""

    def build(self, data: D, norm: NormChoice) -> "nn.Module":
        """The network, its weights drawn from this thread's generator."""

    def optimizer(self, model: "nn.Module", settings: Settings) -> "optim.Optimizer":
        """The optimizer, fresh."""

    def train_epoch(
        self,
        model: "nn.Module",
        optimizer: "optim.Optimizer",
        data: D,
        settings: Settings,
        epoch: int,
        tick: Tick,
    ) -> Score:
        """One pass in an order drawn from this thread's generator.

        Calls tick(share of the epoch done) now and then. The score is the mean over the pass.
        """

    def evaluate(self, model: "nn.Module", data: D, split: SplitName) -> Score:
        """One pass without gradients."""

    def save(self, path: Path, model: "nn.Module", data: D, notes: Mapping[str, str]) -> None:
        """Writes a safetensors file that makes the model whole; notes as "note.<name>"."""
