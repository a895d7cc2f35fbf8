"""Language models of characters, the paper's Enwiki8: a causal Transformer, bits a character."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import (
    Tensor,
    cross_entropy,
    language,
    nn,
    no_grad,
    optim,
    permutation,
    randint,
    take,
    tensor,
    text,
)
from .._text_format import counted
from ..data import CharacterText, DataMissingError, charlm, standin_text
from ..data.places import in_text
from ..settings import Settings
from .loops import LoadedData, TaskOfSteps, fingerprint, train_pass, trained_items
from .task import NormChoice, Score, SplitName, Tick
from .transformers import TransformerSettings, adamw

_EVALUATION_CHARACTERS = 4096
_STANDIN = "stand-in text (generated)"
_ENCODED_AT_ONCE = 1 << 20
_UNKNOWN = 0  # of the vocabulary

Codes = NDArray[np.integer]


@dataclass(frozen=True)
class CharacterSettings(TransformerSettings):
    """A language model's settings; `batch` counts crops of `context` characters.

    Attributes:
        context: The most characters that a prediction rests on.
        tied: The output's weights are the embedding's.
        warmup: Steps until the learning rate is reached; then it falls as half a cosine, to a tenth
            at the last epoch.
    """

    context: int = 128
    tied: bool = True
    beta2: float = 0.99
    warmup: int = 100


_SETTINGS = CharacterSettings(epochs=3, patience=10, batch=16, lr=2e-3)
_QUICK_EPOCHS, _QUICK_CHARACTERS = 1, 300_000
_LAST_RATE = 0.1  # of the first


@dataclass(frozen=True)
class CharacterCodes(LoadedData):
    """A text as numbers of its characters: training, validation and test in that order."""

    vocabulary: language.Vocabulary
    codes: Codes
    bounds: Mapping[str, tuple[int, int]]

    def to(self, device: str) -> "CharacterCodes":
        """See task.Dataset. Batches are put together on the CPU, and then go there."""
        return replace(self, device=device)

    def crops(self, starts: NDArray[np.int64], length: int) -> text.Packed:
        """Sequences of that length that begin at these places, on the device."""
        places = starts[:, None] + np.arange(length)
        offsets = np.arange(len(starts) + 1, dtype=np.int64) * length
        packed = text.Packed(
            tensor(self.codes[places].astype(np.int64).reshape(-1)), tensor(offsets)
        )
        return packed.to(self.device)

    def targets(self, starts: NDArray[np.int64], length: int) -> Tensor:
        """What follows each of their characters, int64."""
        return self.crops(starts + 1, length).tokens


class CharacterTask(TaskOfSteps[CharacterCodes]):
    """Embedding + positions - causal encoder - softmax over characters, bits a character."""

    name = "charlm"
    metric = "bits a character"
    unit = "bits"
    higher_is_better = False
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)

    def __init__(self, text: str = "tinyshakespeare", settings: CharacterSettings = _SETTINGS):
        self.text = text
        name = in_text(os.path.basename(os.path.abspath(text)))
        self.title = name.removesuffix(".gz").removesuffix(".txt") or name
        self.settings: Settings = settings

    @property
    def model(self) -> str:
        """See Task; as `settings` have it."""
        s = self._network
        layers = s.stack("causal attention")
        return f"characters {s.size} + {s.context} places, {layers}, {s.last_norm}linear"

    @property
    def words(self) -> list[str]:
        """What the command's --task takes for this task."""
        return ["charlm", "--text", in_text(self.text)]

    @property
    def quick(self) -> Settings:
        """See Task: one pass over a part of the text."""
        return replace(self.settings, epochs=_QUICK_EPOCHS, train_items=_QUICK_CHARACTERS)

    @property
    def _network(self) -> CharacterSettings:
        assert isinstance(self.settings, CharacterSettings)
        return self.settings

    def load(self, *, quick: bool = False) -> CharacterCodes:
        """The text; only `quick` generates one, and only if a published one is nowhere."""
        try:
            found = charlm(self.text)
        except DataMissingError:
            if not quick:
                raise
            found = standin_text()
        return self.codes(found)

    def codes(self, found: CharacterText) -> CharacterCodes:
        """The text as the network takes it."""
        vocabulary = language.Vocabulary.of(found.train)
        splits = {name: _encoded(part, vocabulary) for name, part in found.splits.items()}
        ends = np.cumsum([len(part) for part in splits.values()]).tolist()
        bounds = dict(zip(splits, zip([0, *ends], ends, strict=False), strict=True))
        unknown = sum(int(np.count_nonzero(splits[name] == _UNKNOWN)) for name in ("valid", "test"))
        warning = _STANDIN if found.generated else ""
        return CharacterCodes(
            origin=f"{f'{warning}: ' if warning else ''}{found.origin}; "
            f"{_scored(self._network.context)}{_unknown_note(unknown)}",
            fingerprint=fingerprint(part.encode() for part in found.splits.values()),
            warning=warning,
            train_items=len(found.train),
            vocabulary=vocabulary,
            codes=np.concatenate(list(splits.values())),
            bounds=bounds,
        )

    def build(self, data: CharacterCodes, norm: NormChoice) -> nn.Module:
        """The network; see `model`."""
        s = self._network
        return language.LanguageModel(
            len(data.vocabulary),
            s.context,
            s.size,
            s.heads,
            s.hidden,
            s.layers,
            tied=s.tied,
            dropout=s.dropout,
            pre_norm=s.pre_norm,
            norm=norm.variant,
            **norm.options,
        )

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        """AdamW."""
        return adamw(model, settings)

    def train_epoch(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        data: CharacterCodes,
        settings: Settings,
        epoch: int,
        tick: Tick,
    ) -> Score:
        """One pass over crops of the training text; the rate depends on the epoch's number."""
        assert isinstance(settings, CharacterSettings)
        model.train()
        length = _crop_length(settings, data)
        batches = list(self.batches(model, data, settings, trained_items(settings, data)))
        count = length * sum(map(len, batches))
        rate = _rate(settings, len(batches))
        done = (epoch - 1) * len(batches)

        def paced() -> Iterator[Tensor]:
            for i, index in enumerate(batches):
                optimizer.lr = rate(done + i + 1)
                yield index

        def step(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            starts = index.numpy()
            classes = data.targets(starts, length)
            logits = model(data.crops(starts, length))
            return cross_entropy(logits, classes), logits, classes

        score = train_pass(optimizer, paced(), count, step, lambda share: tick(share * length))
        return replace(score, metric=score.loss / math.log(2))

    def batches(
        self, model: nn.Module, data: CharacterCodes, settings: Settings, n: int
    ) -> list[Tensor]:
        """Where crops begin: side by side from a random place on, in random order."""
        assert isinstance(settings, CharacterSettings)
        length = _crop_length(settings, data)
        room = n - 1  # every character has one that follows it
        first = int(randint(0, min(length, room - length + 1), (1,)).item())
        starts = first + length * permutation((room - first) // length).numpy()
        return [
            tensor(starts[at : at + settings.batch]) for at in range(0, len(starts), settings.batch)
        ]

    def evaluate(self, model: nn.Module, data: CharacterCodes, split: SplitName) -> Score:
        """Bits a character of a whole split, each scored once; see `windows`.

        A network that diverged gets the bits of a guess among all characters alike.
        """
        model.eval()
        loss_sum, count = 0.0, 0
        for starts, length, scored in windows(*data.bounds[split], self._network.context):
            rows = _last_rows(len(starts), length, scored)
            classes = take(data.targets(starts, length), rows.to(data.device))
            with no_grad():
                logits = take(model(data.crops(starts, length)), rows.to(data.device))
                loss_sum += cross_entropy(logits, classes).item() * len(classes)
            count += len(classes)
        loss = loss_sum / count
        bits = loss / math.log(2) if math.isfinite(loss) else math.log2(len(data.vocabulary))
        return Score(loss, bits, {"bpc": bits} if split == "test" else {})

    def save(
        self, path: Path, model: nn.Module, data: CharacterCodes, notes: Mapping[str, str]
    ) -> None:
        """The network with its characters: a file for `normlab generate`."""
        assert isinstance(model, language.LanguageModel)
        language.save_model(path, language.Model(model, data.vocabulary, dict(notes)))


def windows(first: int, end: int, context: int) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """The windows that score the characters `first` to `end` - 1 of a text once each.

    Windows move on by half a context, and each scores its last half: so every character is
    predicted from more than half a context, up to a whole one, of those before it, also of the
    split before. Near the text's beginning there are fewer.

    Yields:
        Where windows of one length begin, their length, and how many characters behind their last
        ones each scores.
    """
    step = max(1, context // 2)
    ends = [*range(first + step, end, step), end]
    found: dict[tuple[int, int], list[int]] = {}
    for before, last in zip([first, *ends], ends, strict=False):
        before = max(before, 1)  # nothing predicts the text's first character
        if last > before:
            start = max(0, last - 1 - context)
            found.setdefault((last - 1 - start, last - before), []).append(start)
    for (length, scored), starts in found.items():
        several = max(1, _EVALUATION_CHARACTERS // length)
        for at in range(0, len(starts), several):
            yield np.array(starts[at : at + several], np.int64), length, scored


def _last_rows(count: int, length: int, scored: int) -> Tensor:
    """Rows of the last `scored` characters of each of `count` sequences."""
    rows = np.arange(count)[:, None] * length + np.arange(length - scored, length)
    return tensor(rows.reshape(-1).astype(np.int64))


def _crop_length(settings: CharacterSettings, data: CharacterCodes) -> int:
    return min(settings.context, trained_items(settings, data) - 1)


def _rate(settings: CharacterSettings, steps: int) -> Callable[[int], float]:
    """The learning rate of each step, of `steps` an epoch."""
    total = settings.epochs * steps
    warmup = min(settings.warmup, total // 2)
    return optim.cosine(settings.lr, total, warmup, settings.lr * _LAST_RATE)


def _encoded(part: str, vocabulary: language.Vocabulary) -> Codes:
    """The numbers of a text's characters, each as small as they allow."""
    kind = np.min_scalar_type(len(vocabulary) - 1)
    found = [
        vocabulary.encode(part[at : at + _ENCODED_AT_ONCE]).numpy().astype(kind)
        for at in range(0, len(part), _ENCODED_AT_ONCE)
    ]
    return np.concatenate(found)


def _scored(context: int) -> str:
    least = context - max(1, context // 2) + 1
    return (
        f"each character of validation and test is scored once, from the {least} to {context} "
        "characters before it"
    )


def _unknown_note(count: int) -> str:
    """A note on characters that the training text lacks."""
    if not count:
        return ""
    return f"; {counted(count, 'character')} there that training lacks count as one unknown one"


def charlm_task(text: str = "tinyshakespeare") -> CharacterTask:
    """The next character of a text."""
    return CharacterTask(text)
