"""RT and SST5 with the paper's Transformer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, cross_entropy, nn, optim, take, tensor, text
from .._core import FileError
from ..data import TextData, rt, sst5
from ..settings import Settings
from .checks import check_classes
from .loops import LoadedData, TaskOfSteps, classified, fingerprint, in_order
from .norms import needs_a_batch
from .task import NormChoice, Score, SplitName
from .transformers import TransformerSettings, adamw

_STANDIN = "stand-in reviews (generated)"


@dataclass(frozen=True)
class TextSettings(TransformerSettings):
    """A classifier's settings; `batch` counts tokens.

    Attributes:
        least: Rarer words are unknown ones.
        position_scale: Amplitude of the sines.
    """

    dropout: float = 0.2
    beta2: float = 0.998
    least: int = 1
    position_scale: float = 1.0


# Chosen on the validation sets. Under sines of their full length words are learned late, after some
# epochs in which nothing seems to happen: patience must outlast them.
_RT = TextSettings(epochs=14, patience=8, batch=4096, lr=5e-4)
_SST5 = TextSettings(epochs=9, patience=5, batch=4096, lr=5e-4, dropout=0.3, position_scale=0.1)
_QUICK_EPOCHS = 8


@dataclass(frozen=True)
class Examples:
    """Packed sentences, their lengths and classes, int64 [n]."""

    sentences: text.Packed
    lengths: Tensor
    labels: Tensor


@dataclass(frozen=True)
class TextTensors(LoadedData):
    """The three splits as the network takes them."""

    labels: tuple[str, ...]
    vocabulary: text.Vocabulary
    splits: Mapping[str, Examples]

    def to(self, device: str) -> "TextTensors":
        """See task.Dataset. Batches are put together on the CPU, and then go there."""
        return replace(self, device=device)

    def batch(self, split: str, index: Tensor) -> tuple[text.Packed, Tensor]:
        """Sentences of these numbers, and their classes, on the device."""
        examples = self.splits[split]
        sentences = text.take(examples.sentences, index).to(self.device)
        return sentences, take(examples.labels, index).to(self.device)


class TextTask(TaskOfSteps[TextTensors]):
    """Embedding + positions - encoder - mean over the words - linear, accuracy in per cent."""

    metric = "accuracy"
    captured = False  # no two batches are alike
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)

    def __init__(
        self,
        name: str,
        title: str,
        read: Callable[[], TextData],
        settings: TextSettings,
    ):
        self.name, self.title = name, title
        self._read = read
        self.settings: Settings = settings

    @property
    def model(self) -> str:
        """See Task; as `settings` have it."""
        s = self._network
        return f"words {s.size} + sines, {s.stack()}, {s.last_norm}mean over the words, linear"

    @property
    def quick(self) -> Settings:
        """See Task: fewer epochs."""
        return replace(self.settings, epochs=min(_QUICK_EPOCHS, self.settings.epochs))

    @property
    def _network(self) -> TextSettings:
        assert isinstance(self.settings, TextSettings)
        return self.settings

    def load(self, *, quick: bool = False) -> TextTensors:
        """The data as numbers of words; `quick` changes nothing, there is no stand-in."""
        data = self._read()
        words = {
            name: [text.tokenize(line) for line in split.texts]
            for name, split in data.splits.items()
        }
        _check(data, words)
        vocabulary = text.Vocabulary.of(words["train"], self._network.least)
        return TextTensors(
            origin=f"{_STANDIN}: {data.origin}" if data.generated else data.origin,
            fingerprint=fingerprint(_parts(data)),
            warning=_STANDIN if data.generated else "",
            train_items=len(data.train),
            labels=data.labels,
            vocabulary=vocabulary,
            splits={
                name: _examples(words[name], split.labels, vocabulary)
                for name, split in data.splits.items()
            },
        )

    def build(self, data: TextTensors, norm: NormChoice) -> nn.Module:
        """The paper's network; see `model`."""
        s = self._network
        return text.Classifier(
            len(data.vocabulary),
            len(data.labels),
            s.size,
            s.heads,
            s.hidden,
            s.layers,
            position_scale=s.position_scale,
            dropout=s.dropout,
            pre_norm=s.pre_norm,
            norm=norm.variant,
            **norm.options,
        )

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        """AdamW."""
        return adamw(model, settings)

    def batches(
        self, model: nn.Module, data: TextTensors, settings: Settings, n: int
    ) -> list[Tensor]:
        """Sentences of about the same length."""
        lengths = data.splits["train"].lengths
        batches = text.token_batches(lengths[:n], settings.batch)
        norms = (module for _, module in model.named_modules() if isinstance(module, nn.Norm))
        company = any(needs_a_batch(norm.variant) for norm in norms)
        return _in_company(batches, lengths) if company else batches

    def step(
        self, model: nn.Module, data: TextTensors, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See loops.Step."""
        sentences, labels = data.batch("train", index)
        logits = model(sentences)
        return cross_entropy(logits, labels), logits, labels

    def evaluate(self, model: nn.Module, data: TextTensors, split: SplitName) -> Score:
        """Mean loss and accuracy of a whole split."""
        model.eval()
        parts = in_order(data.splits[split].lengths)
        batches = (data.batch(split, part) for part in parts)
        return classified((model(sentences), labels) for sentences, labels in batches)

    def save(
        self, path: Path, model: nn.Module, data: TextTensors, notes: Mapping[str, str]
    ) -> None:
        """The classifier with its vocabulary and labels: a file for `normlab predict`."""
        assert isinstance(model, text.Classifier)
        text.save_model(
            path, text.Model(model, data.vocabulary, list(data.labels), notes=dict(notes))
        )


def _check(data: TextData, words: Mapping[str, list[list[str]]]) -> None:
    """FileError for what would end training, or leave nothing to learn."""
    labels = {name: split.labels for name, split in data.splits.items()}
    counts = {name: len(found) for name, found in words.items()}
    check_classes(data.origin, "sentences", counts, labels, len(data.labels))
    for name, sentences in words.items():
        if not all(sentences):
            number = sentences.index([]) + 1
            raise FileError(f"{data.origin}: sentence {number} of the {name} split has no words")


def _examples(
    words: list[list[str]], labels: NDArray[np.int64], vocabulary: text.Vocabulary
) -> Examples:
    numbers = [[vocabulary.number(word) for word in sentence] for sentence in words]
    lengths = np.array([len(sentence) for sentence in numbers], np.int64)
    return Examples(text.pack(numbers), tensor(lengths), tensor(labels))


def _in_company(batches: list[Tensor], lengths: Tensor) -> list[Tensor]:
    """Joins a batch of one word with the next one, because batchnorm needs two rows."""
    words = lengths.numpy()
    joined: list[list[int]] = [[]]
    for batch in batches:
        if words[joined[-1]].sum() > 1:
            joined.append([])
        joined[-1] += batch.tolist()
    if len(joined) > 1 and words[joined[-1]].sum() == 1:
        joined[-2] += joined.pop()
    return [tensor(np.array(batch, np.int64)) for batch in joined]


def _parts(data: TextData) -> Iterator[bytes | memoryview]:
    """All data, for the fingerprint."""
    for split in data.splits.values():
        yield "\n".join(split.texts).encode()
        yield np.ascontiguousarray(split.labels).data


def rt_task() -> TextTask:
    """Film reviews, positive or negative."""
    return TextTask("rt", "RT", rt, _RT)


def sst5_task() -> TextTask:
    """Film reviews in five grades."""
    return TextTask("sst5", "SST5", sst5, _SST5)
