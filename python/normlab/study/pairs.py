"""Aligned text as a translator's network takes it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .. import Tensor, tensor, text, translate
from .._core import FileError
from ..data import ParallelData
from .loops import LoadedData, fingerprint

POSITIONS = 1024
"""The most subwords of a sentence."""
_BEGIN, _END = translate.Subwords.BEGIN, translate.Subwords.END


@dataclass(frozen=True)
class Pairs:
    """Sentences as the network takes them, and their texts.

    Attributes:
        source: Packed, each ends with END.
        inputs: Of the decoder, each begins with BEGIN.
        outputs: What follows each of the inputs: packed, each ends with END.
        lengths: int64 [n]: of the longer side.
        texts: Sources and references.
    """

    source: text.Packed
    inputs: text.Packed
    outputs: text.Packed
    lengths: Tensor
    texts: tuple[list[str], list[str]]

    def batch(self, index: Tensor, device: str) -> tuple[text.Packed, text.Packed, Tensor]:
        """Source, inputs and output subwords of these pairs, on the device."""
        source, inputs, outputs = (
            text.take(each, index).to(device) for each in (self.source, self.inputs, self.outputs)
        )
        return source, inputs, outputs.tokens


@dataclass(frozen=True)
class TranslationData(LoadedData):
    """A corpus as the network takes it."""

    subwords: translate.Subwords
    splits: Mapping[str, Pairs]
    languages: tuple[str, str]
    lower: bool

    def to(self, device: str) -> "TranslationData":
        """See task.Dataset. Batches are put together on the CPU, and then go there."""
        return replace(self, device=device)


def tensors(found: ParallelData, subwords: int, *, lower: bool = False) -> TranslationData:
    """The corpus as the network takes it.

    Args:
        found: The corpus.
        subwords: How many are learned, from the training sentences of both languages.
        lower: The network sees lower case alone; the texts stay as they are.
    """
    cased: Callable[[str], str] = translate.lower_case if lower else str
    learned = translate.learn_subwords(
        (cased(line) for side in (found.train.source, found.train.target) for line in side),
        subwords,
    )
    pairs = {
        name: _pairs(
            f"{found.origin}: {name}",
            (split.source, split.target),
            lambda line: learned.encode(cased(line)),
        )
        for name, split in found.splits.items()
    }
    made = f"stand-in pairs {direction(found.source, found.target)} (generated)"
    warning = made if found.generated else ""
    return TranslationData(
        origin=f"{warning}: {found.origin}" if warning else found.origin,
        fingerprint=fingerprint(_parts(found, learned)),
        warning=warning,
        train_items=len(found.train),
        subwords=learned,
        splits=pairs,
        languages=(found.source, found.target),
        lower=lower,
    )


def direction(source: str, target: str) -> str:
    """En-De."""
    return f"{source.capitalize()}-{target.capitalize()}"


def _pairs(
    what: str, texts: tuple[list[str], list[str]], encode: Callable[[str], list[int]]
) -> Pairs:
    source, target = ([encode(line) for line in lines] for lines in texts)
    lengths = np.array([max(map(len, pair)) + 1 for pair in zip(source, target, strict=True)])
    if lengths.max() > POSITIONS:
        place = int(lengths.argmax()) + 1
        raise FileError(
            f"{what}: pair {place} has {int(lengths.max()):,} subwords, the network takes at most "
            f"{POSITIONS:,}: divide it"
        )
    return Pairs(
        text.pack([[*numbers, _END] for numbers in source]),
        text.pack([[_BEGIN, *numbers] for numbers in target]),
        text.pack([[*numbers, _END] for numbers in target]),
        tensor(lengths.astype(np.int64)),
        texts,
    )


def _parts(found: ParallelData, subwords: translate.Subwords) -> Iterator[bytes]:
    """All data, for the fingerprint."""
    for split in found.splits.values():
        yield "\n".join((*split.source, *split.target)).encode()
    yield "\n".join(subwords.pieces()).encode()
