# ruff: noqa: RUF001  (typographic times)
"""Machine translation with the Transformer: Multi30k, IWSLT, folders of aligned text."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import Tensor, cross_entropy, nn, no_grad, optim, text, translate
from .._core import ArgumentError
from ..data import (
    DataMissingError,
    ParallelData,
    iwslt14,
    iwslt15,
    multi30k,
    parallel,
    standin_corpus,
)
from ..data.places import at_home, in_text
from ..settings import Settings
from .averages import Averaged
from .bleu import scored, scoring
from .loops import count_right, in_order, trained_items
from .pairs import POSITIONS, Pairs, TranslationData, direction, tensors
from .task import NormChoice, Score, SplitName, Tick
from .transformers import TransformerSettings, adamw

_SHOWN, _MOST_SHOWN_WORDS = 4, 16
_CORPORA: Mapping[str, tuple[Callable[..., ParallelData], str, str, str]] = {
    "multi30k": (multi30k, "en", "de", "Multi30k"),
    "iwslt14": (iwslt14, "de", "en", "IWSLT14"),
    "iwslt15": (iwslt15, "en", "vi", "IWSLT15"),
}
_MADE_UP = "multi30k"  # the corpus that has a stand-in
# Names that columns of the paper's table have for a corpus and its languages.
_NAMES = {
    ("multi30k", "en", "de"): "translate",
    ("iwslt14", "de", "en"): "de_en",
    ("iwslt15", "en", "vi"): "en_vi",
}


@dataclass(frozen=True)
class TranslateSettings(TransformerSettings):
    """A translator's settings; `batch` counts subwords of the longer side.

    Attributes:
        subwords: Of both languages together.
        lower: The network reads and writes lower case alone. Of its scores `bleu` compares with
            papers; `sacrebleu` and `chrf` count each capital of the references as a fault.
        smoothing: Label smoothing, spread over all subwords.
        warmup: Steps until the learning rate is reached; then it falls with 1 / sqrt(step).
        accumulate: Batches whose gradients make one step.
        average: The tested weights are the mean over the ends of so many last epochs.
        beam, alpha: Of the search for the test; validation is greedy.
    """

    hidden: int = 256
    dropout: float = 0.3
    subwords: int = 6_000
    lower: bool = False
    smoothing: float = 0.1
    weight_decay: float = 0.0
    beta2: float = 0.98
    warmup: int = 1_500
    accumulate: int = 1
    average: int = 6
    beam: int = 5
    alpha: float = 1.0


_SETTINGS = TranslateSettings(epochs=24, patience=10, batch=2048, lr=5e-3)
PAPER_SETTINGS = TranslateSettings(
    epochs=60,
    patience=20,
    batch=4096,
    lr=1.5e-3,
    size=512,
    hidden=1024,
    layers=6,
    subwords=10_000,
    lower=True,
    weight_decay=1e-4,
    warmup=8_000,
    accumulate=2,
    average=5,
)
"""The authors' for IWSLT14 De-En, as their scripts have them."""
_QUICK: Mapping[str, Any] = {
    "epochs": 4,
    "train_items": 8_000,
    "subwords": 2_000,
    "batch": 512,
    "warmup": 200,
    "average": 2,
}


class TranslateTask:
    """Subwords + positions - encoder - decoder - softmax over subwords, BLEU of the test set."""

    metric = "BLEU"
    unit = ""
    higher_is_better = True
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)

    def __init__(
        self,
        corpus: str = "multi30k",
        source: str | None = None,
        target: str | None = None,
        settings: TranslateSettings = _SETTINGS,
    ):
        _, first, second, title = _CORPORA.get(corpus, (parallel, "", "", ""))
        self.corpus = corpus
        self.source, self.target = source or first, target or second
        if not self.source or not self.target:
            raise ArgumentError(
                f"source, target: must be given for a folder, as its files end: train.en and "
                f"train.de; corpus is {in_text(corpus)!r}"
            )
        title = title or in_text(os.path.basename(os.path.abspath(at_home(corpus))))
        key = (corpus, self.source, self.target)
        self.name = _NAMES.get(key, f"translate_{title}_{self.source}_{self.target}".lower())
        self.title = f"{title} {direction(self.source, self.target)}"
        self.settings: Settings = settings

    @property
    def model(self) -> str:
        """See Task; as `settings` have it."""
        s = self._network
        return (
            f"subwords {s.size} + sines, encoder {s.stack()}, decoder {s.layers} × "
            "(likewise, with attention to the encoder), softmax with the same table"
        )

    @property
    def words(self) -> list[str]:
        """What the command's --task takes for this task."""
        corpus = [] if self.corpus == "multi30k" else ["--corpus", in_text(self.corpus)]
        size = ["--paper"] if self._network.size == PAPER_SETTINGS.size else []
        lower = ["--lower"] if self._network.lower and not size else []
        languages = ["--source", self.source, "--target", self.target]
        return ["translate", *corpus, *languages, *size, *lower]

    @property
    def quick(self) -> Settings:
        """See Task: a part of the sentences."""
        subwords = min(_QUICK["subwords"], self._network.subwords)
        return replace(self.settings, **{**_QUICK, "subwords": subwords})

    @property
    def _network(self) -> TranslateSettings:
        assert isinstance(self.settings, TranslateSettings)
        return self.settings

    def load(self, *, quick: bool = False) -> TranslationData:
        """The corpus; `quick` learns fewer subwords, and makes up a Multi30k that is nowhere."""
        scoring()  # an error now and not after training
        settings = self.quick if quick else self.settings
        assert isinstance(settings, TranslateSettings)
        try:
            found = self._read()
        except DataMissingError:
            if not quick or self.corpus != _MADE_UP:
                raise
            found = standin_corpus(source=self.source, target=self.target)
        return tensors(found, settings.subwords, lower=settings.lower)

    def _read(self) -> ParallelData:
        if self.corpus in _CORPORA:
            return _CORPORA[self.corpus][0](self.source, self.target)
        return parallel(self.corpus, self.source, self.target)

    def build(self, data: TranslationData, norm: NormChoice) -> nn.Module:
        """The network; see `model`."""
        s = self._network
        network = translate.Translator(
            len(data.subwords),
            len(data.subwords),
            s.size,
            s.heads,
            s.hidden,
            s.layers,
            s.layers,
            positions=POSITIONS,
            dropout=s.dropout,
            pre_norm=s.pre_norm,
            norm=norm.variant,
            **norm.options,
        )
        return Averaged(network, s.average)

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        """Adam, with decoupled weight decay."""
        return adamw(model, settings)

    def train_epoch(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        data: TranslationData,
        settings: Settings,
        epoch: int,
        tick: Tick,
    ) -> Score:
        """One pass; the metric is the share of subwords that are the most probable ones, in %.

        A loss that is not finite ends it: the network has diverged, at the step that the score has.
        """
        assert isinstance(model, Averaged) and isinstance(settings, TranslateSettings)
        model.train()
        passed = _Pass(model, optimizer, data, settings)
        n = trained_items(settings, data)
        batches = text.token_batches(data.splits["train"].lengths[:n], settings.batch)
        for i in range(0, len(batches), settings.accumulate):
            if not passed.step(batches[i : i + settings.accumulate]):
                break
            tick(min(1.0, (i + settings.accumulate) / len(batches)))
        model.keep()
        return passed.score()

    def evaluate(self, model: nn.Module, data: TranslationData, split: SplitName) -> Score:
        """Mean loss of a reference's subword, and BLEU of translations by the mean weights."""
        assert isinstance(model, Averaged)
        s, pairs = self._network, data.splits[split]
        is_test = split == "test"
        with model.averaged() as network:
            assert isinstance(network, translate.Translator)
            loss = _mean_loss(network, data, pairs, s.smoothing)
            translator = _model(network, data, {})
            found = translator.translate(
                pairs.texts[0], beam=s.beam if is_test else 1, alpha=s.alpha
            )
        scores = scored(found, pairs.texts[1])
        more: dict[str, Any] = {}
        if is_test:
            more = {**scores, "samples": _samples(pairs, found)}
        return Score(loss, scores["bleu"], more)

    def save(
        self, path: Path, model: nn.Module, data: TranslationData, notes: Mapping[str, str]
    ) -> None:
        """The translator with its subwords: a file for `normlab translate`."""
        assert isinstance(model, Averaged)
        with model.averaged() as network:
            assert isinstance(network, translate.Translator)
            translate.save_model(path, _model(network, data, dict(notes)))


class _Pass:
    """A pass under way."""

    def __init__(
        self,
        model: Averaged,
        optimizer: optim.Optimizer,
        data: TranslationData,
        settings: TranslateSettings,
    ):
        self._model, self._optimizer = model, optimizer
        self._data, self._settings = data, settings
        self._schedule = optim.inverse_sqrt(settings.lr, settings.warmup)
        self._steps = _steps_of(optimizer)
        self._loss_sum, self._right, self._count = 0.0, 0, 0
        self._diverged_at: int | None = None

    def step(self, batches: Sequence[Tensor]) -> bool:
        """A step on these batches together; False if the loss is not finite."""
        data, settings = self._data, self._settings
        parts = [data.splits["train"].batch(index, data.device) for index in batches]
        total = sum(len(outputs) for _, _, outputs in parts)
        self._steps += 1
        self._optimizer.zero_grad()
        for source, inputs, outputs in parts:
            logits = self._model(source, inputs)
            loss = cross_entropy(logits, outputs, label_smoothing=settings.smoothing)
            (loss * (len(outputs) / total)).backward()
            value = loss.item()
            if not math.isfinite(value):
                self._diverged_at = self._steps
                return False
            self._loss_sum += value * len(outputs)
            self._right += count_right(logits, outputs)
            self._count += len(outputs)
        self._optimizer.lr = self._schedule(self._steps)
        self._optimizer.step()
        return True

    def score(self) -> Score:
        """Over the whole pass."""
        if self._diverged_at is not None:
            return Score(math.nan, 0.0, {"diverged_at": self._diverged_at})
        return Score(self._loss_sum / self._count, 100 * self._right / self._count)


def _steps_of(optimizer: optim.Optimizer) -> int:
    """Steps that it has taken: of all parameters the most."""
    return max(
        int(value.item()) for name, value in optimizer.state().items() if name.endswith("step")
    )


def _mean_loss(
    network: translate.Translator, data: TranslationData, pairs: Pairs, smoothing: float
) -> float:
    """Smoothed as in training, so that the gap between both is over-fitting alone."""
    loss_sum, count = 0.0, 0
    with no_grad():
        for index in in_order(pairs.lengths):
            source, inputs, outputs = pairs.batch(index, data.device)
            loss = cross_entropy(network(source, inputs), outputs, label_smoothing=smoothing)
            loss_sum += loss.item() * len(outputs)
            count += len(outputs)
    return loss_sum / count


def _model(
    network: translate.Translator, data: TranslationData, notes: dict[str, str]
) -> translate.Model:
    return translate.Model(
        network, data.subwords, data.subwords, *data.languages, notes, lower=data.lower
    )


def _samples(pairs: Pairs, found: list[str]) -> list[list[str]]:
    """Source, reference and translation of some short sentences, for the report."""
    sources, references = pairs.texts
    short = [i for i, line in enumerate(sources) if len(line.split()) <= _MOST_SHOWN_WORDS]
    return [[sources[i], references[i], found[i]] for i in short[:_SHOWN]]


def translate_task(
    corpus: str = "multi30k",
    source: str | None = None,
    target: str | None = None,
    *,
    paper: bool = False,
    lower: bool = False,
) -> TranslateTask:
    """A corpus' translator; with `paper` of the authors' size, which implies `lower` case."""
    settings = PAPER_SETTINGS if paper else replace(_SETTINGS, lower=lower)
    return TranslateTask(corpus, source, target, settings)
