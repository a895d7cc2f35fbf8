"""Dependency parsing with the network of Chen and Manning (2014), and a tagger of the same make."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import (
    Tensor,
    cross_entropy,
    get_rng_state,
    manual_seed,
    nn,
    no_grad,
    optim,
    parse,
    set_rng_state,
    take,
)
from .._core import ArgumentError, FileError
from ..data import Treebank, ud
from ..data.places import in_text
from ..settings import Settings
from .checks import check_counts
from .loops import LoadedData, TaskOfSteps, fingerprint, shuffled, slices, train_pass
from .norms import needs_a_batch
from .task import NormChoice, Score, SplitName

_EVALUATION_BATCH = 1024
_SPLITS = {"train": "train", "valid": "dev", "test": "test"}  # as treebanks call them
_TAG_COLUMNS = {"upos": ("upos",), "xpos": ("xpos",), "both": ("upos", "xpos")}
_TITLES = {"en_ewt": "UD English-EWT"}


@dataclass(frozen=True)
class ParseSettings(Settings):
    """A parser's settings; `batch` counts transitions.

    Attributes:
        embedding, hidden: Sizes.
        activation: Of the hidden layer, "relu" or "cube".
        dropout: Of the hidden layer.
        input_norm: The norm on the embeddings of an example as well.
        tag: Column of the tags that the parser sees: "upos", "xpos" or "both".
        least: Words that occur less often are unknown.
        weight_decay: Decoupled from the gradient (AdamW).
    """

    embedding: int = 50
    hidden: int = 512
    activation: str = "cube"
    dropout: float = 0.5
    input_norm: bool = False
    tag: str = "both"
    least: int = 2
    weight_decay: float = 0.0


# Chosen on the validation set.
_SETTINGS = ParseSettings(epochs=20, patience=5, batch=1024, lr=1e-3)
_QUICK_EPOCHS = 3

_SHOWN_WORDS, _SHOWN_TREES = range(8, 13), 3

# The tagger's: one for all variants, so that parsers differ in the parser alone.
_TAGGER_EPOCHS = 6
_TAGGER_BATCH = 512
_TAGGER_LR = 2e-3
_TAGGER_HIDDEN = 128


@dataclass(frozen=True)
class Steps:
    """Examples of transitions: the tensors of parse.Examples."""

    features: Tensor
    classes: Tensor
    moves: Tensor

    @classmethod
    def of(cls, examples: parse.Examples) -> "Steps":
        """Of a treebank."""
        return cls(examples.features, examples.classes, examples.moves)

    def __len__(self) -> int:
        return len(self.classes)

    def to(self, device: str) -> "Steps":
        """Copies on a device."""
        return Steps(self.features.to(device), self.classes.to(device), self.moves.to(device))


@dataclass(frozen=True)
class TreebankTensors(LoadedData):
    """A treebank as the networks take it."""

    vocabulary: parse.Vocabulary
    tag_vocabulary: parse.TagVocabulary
    masks: Tensor
    examples: Mapping[str, Steps]
    tag_examples: parse.TagExamples
    sentences: Mapping[str, list[parse.Sentence]]
    kept: dict[str, nn.Module] = field(default_factory=dict)
    """The tagger once it is trained."""

    def to(self, device: str) -> "TreebankTensors":
        """See task.Dataset. The tagger, one for all variants, is trained on the CPU."""
        examples = {name: steps.to(device) for name, steps in self.examples.items()}
        return replace(self, examples=examples, masks=self.masks.to(device), device=device)


class ParseTask(TaskOfSteps[TreebankTensors]):
    """48 features - hidden - norm - softmax over transitions; unlabelled attachment in per cent."""

    name = "parse"
    metric = "UAS"
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)

    def __init__(self, treebank: str = "en_ewt", settings: ParseSettings = _SETTINGS):
        self.treebank = treebank
        self.title = _TITLES.get(treebank) or in_text(os.path.basename(os.path.abspath(treebank)))
        self.settings: Settings = settings

    @property
    def model(self) -> str:
        """See Task; as `settings` have it."""
        s = self._network
        first = "norm, " if s.input_norm else ""
        return (
            f"48 features x {s.embedding}, {first}hidden {s.hidden}, norm, {s.activation}, "
            "softmax over the legal arc-standard transitions"
        )

    @property
    def words(self) -> list[str]:
        """What the command's --task takes for this task."""
        return ["parse", "--treebank", in_text(self.treebank)]

    @property
    def quick(self) -> Settings:
        """See Task: fewer epochs."""
        return replace(self.settings, epochs=min(_QUICK_EPOCHS, self.settings.epochs))

    @property
    def _network(self) -> ParseSettings:
        assert isinstance(self.settings, ParseSettings)
        return self.settings

    def load(self, *, quick: bool = False) -> TreebankTensors:
        """The treebank's transitions; `quick` changes nothing, there is no stand-in."""
        return self.tensors(ud(self.treebank))

    def tensors(self, treebank: Treebank) -> TreebankTensors:
        """The treebank as the networks take it."""
        s = self._network
        _check_sentences(treebank, s.tag)
        vocabulary = parse.Vocabulary.of(treebank.train, least=s.least, tag=s.tag)
        tag_vocabulary = parse.TagVocabulary.of(treebank.train)
        splits = treebank.splits
        examples = {name: parse.examples(split, vocabulary) for name, split in splits.items()}
        counts = {_SPLITS[name]: len(found) for name, found in examples.items()}
        check_counts(treebank.origin, "trees that arc-standard transitions build", counts)
        return TreebankTensors(
            origin=f"{treebank.origin}; {_left_out(examples['train'])}",
            fingerprint=fingerprint("".join(_columns(split)).encode() for split in splits.values()),
            warning="",
            train_items=len(examples["train"]),
            vocabulary=vocabulary,
            tag_vocabulary=tag_vocabulary,
            masks=vocabulary.transitions.masks(),
            examples={name: Steps.of(split) for name, split in examples.items()},
            tag_examples=parse.tag_examples(treebank.train, tag_vocabulary),
            sentences={name: splits[name] for name in ("valid", "test")},
        )

    def check(self, settings: Settings, norm: str) -> None:
        """ArgumentError for settings that the variant cannot be trained with."""
        if needs_a_batch(norm) and settings.batch == 1:
            raise ArgumentError(f"batch: must be 2 or more for {norm}, is 1")

    def build(self, data: TreebankTensors, norm: NormChoice) -> nn.Module:
        """The network; see `model`."""
        s = self._network
        return parse.Network(
            len(data.vocabulary),
            data.vocabulary.transitions.classes,
            embedding=s.embedding,
            hidden=s.hidden,
            activation=s.activation,
            dropout=s.dropout,
            input_norm=s.input_norm,
            norm=norm.variant,
            **norm.options,
        )

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        """AdamW."""
        assert isinstance(settings, ParseSettings)
        return optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)

    def step(
        self, model: nn.Module, data: TreebankTensors, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See loops.Step; the score is of single transitions."""
        train = data.examples["train"]
        logits = model(take(train.features, index))
        classes, moves = take(train.classes, index), take(train.moves, index)
        return parse.transition_loss(logits, data.masks, classes, moves), logits, classes

    def evaluate(self, model: nn.Module, data: TreebankTensors, split: SplitName) -> Score:
        """Mean loss of the oracle's transitions, and the parser's UAS (CoNLL 2018)."""
        model.eval()
        examples = data.examples[split]
        n, loss_sum = len(examples), 0.0
        with no_grad():
            for part in slices(n, _EVALUATION_BATCH):
                loss = parse.transition_loss(
                    model(examples.features[part]),
                    data.masks,
                    examples.classes[part],
                    examples.moves[part],
                )
                loss_sum += loss.item() * (part.stop - part.start)
        assert isinstance(model, parse.Network)
        parser = parse.Parser(parse.Model(model, data.vocabulary))
        gold = data.sentences[split]
        parsed = parser.parse(gold)
        more = _test_scores(gold, parsed) if split == "test" else {}
        return Score(loss_sum / n, parse.score(gold, parsed).uas, more)

    def save(
        self, path: Path, model: nn.Module, data: TreebankTensors, notes: Mapping[str, str]
    ) -> None:
        """Parser, tagger and vocabularies: a file for `normlab parse`."""
        assert isinstance(model, parse.Network)
        if "tagger" not in data.kept:
            data.kept["tagger"] = _trained_tagger(data)
        tagger = data.kept["tagger"]
        assert isinstance(tagger, parse.Network)
        parse.save_model(
            path, parse.Model(model, data.vocabulary, tagger, data.tag_vocabulary, dict(notes))
        )


def _check_sentences(treebank: Treebank, tag: str) -> None:
    """FileError for what the parser cannot be trained on or measured with."""
    splits = {_SPLITS[name]: split for name, split in treebank.splits.items()}
    counts = {name: len(split) for name, split in splits.items()}
    check_counts(treebank.origin, "sentences", counts)
    columns = _TAG_COLUMNS[tag]
    what = " or ".join(column.upper() for column in columns)

    def tagged(word: parse.Word) -> bool:
        return any(getattr(word, column) != "_" for column in columns)

    if not any(tagged(word) for sentence in treebank.train for word in sentence.words):
        raise FileError(f"{treebank.origin}: the train split must have tags ({what}), has none")
    for name in ("dev", "test"):  # the parser does not guess them
        for number, sentence in enumerate(splits[name], 1):
            if not all(map(tagged, sentence.words)):
                raise FileError(
                    f"{treebank.origin}: every word of the {name} split must have its tag "
                    f"({what}), sentence {number} has a word without one"
                )


def _test_scores(gold: list[parse.Sentence], parsed: list[parse.Sentence]) -> dict[str, Any]:
    """Both scores in both conventions, and some trees for the report."""
    conll18 = parse.score(gold, parsed)
    ptb = parse.score(gold, parsed, convention="ptb")
    short = [i for i, tree in enumerate(gold) if len(tree) in _SHOWN_WORDS][:_SHOWN_TREES]
    return {
        "uas": conll18.uas,
        "las": conll18.las,
        "uas_ptb": ptb.uas,
        "las_ptb": ptb.las,
        "trees": [[parsed[i].to_conllu(), gold[i].to_conllu()] for i in short],
    }


def _trained_tagger(data: TreebankTensors) -> parse.Network:
    """Always the same for a treebank; this thread's random numbers are left as they are."""
    before = get_rng_state()
    manual_seed(0)
    vocabulary, examples = data.tag_vocabulary, data.tag_examples
    tagger = parse.Network(
        len(vocabulary),
        len(vocabulary.tags),
        examples.features.shape[1],
        hidden=_TAGGER_HIDDEN,
        norm="layernorm",
    )
    optimizer = optim.Adam(tagger.parameters(), lr=_TAGGER_LR)
    n = len(examples)

    def step(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = tagger(take(examples.features, index))
        classes = take(examples.classes, index)
        return cross_entropy(logits, classes), logits, classes

    for _ in range(_TAGGER_EPOCHS):
        train_pass(optimizer, shuffled(n, _TAGGER_BATCH), n, step)
    tagger.eval()
    set_rng_state(before)
    return tagger


def _left_out(examples: parse.Examples) -> str:
    """How many training trees no transitions build."""
    trees = examples.trees + examples.nonprojective + examples.unusable
    unusable = f" and {examples.unusable} unusable" if examples.unusable else ""
    return f"{examples.nonprojective} non-projective{unusable} of {trees} training trees left out"


def _columns(sentences: Iterable[parse.Sentence]) -> Iterator[str]:
    """The columns that parser and tagger learn from."""
    for sentence in sentences:
        for word in sentence.words:
            columns: tuple[Any, ...] = (word.form, word.upos, word.xpos, word.head, word.deprel)
            yield "\t".join(map(str, columns)) + "\n"
        yield "\n"


def parse_task(treebank: str = "en_ewt") -> ParseTask:
    """A treebank's parser."""
    return ParseTask(treebank)
