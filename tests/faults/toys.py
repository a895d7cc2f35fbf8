"""Little data, networks and models for the harness."""

import random
from pathlib import Path
from typing import Any

import numpy as np

import normlab as nl
import normlab.report
from normlab import language, parse, text, translate
from normlab.data import TextData, TextSplit, standin_corpus, standin_digits, standin_text
from normlab.settings import Settings
from normlab.study.charlm import CharacterSettings, CharacterTask
from normlab.study.display import Display
from normlab.study.images import ImageTask
from normlab.study.parsing import ParseSettings, ParseTask
from normlab.study.text import TextSettings, TextTask
from normlab.study.translating import TranslateSettings, TranslateTask

# Pictures take seconds and are written after all that a study must not lose.
normlab.report.write_report = lambda folder: []  # type: ignore[assignment]

_TAG_FEATURES = 19  # of an example, as the engine has it
_TEXT = TextSettings(
    epochs=2, patience=2, batch=64, lr=5e-3, size=8, heads=2, hidden=8, layers=1, least=1
)
_PARSE = ParseSettings(
    epochs=2, patience=2, batch=64, lr=1e-2, embedding=4, hidden=8, dropout=0.1, tag="upos"
)
_CHARLM = CharacterSettings(
    epochs=2, patience=2, batch=8, lr=1e-2, context=16, size=8, heads=2, hidden=8, layers=1
)
_TRANSLATE = TranslateSettings(
    epochs=2,
    patience=2,
    batch=128,
    lr=1e-2,
    size=8,
    heads=2,
    hidden=8,
    layers=1,
    subwords=100,
    warmup=10,
    average=2,
    beam=2,
)


class Silent(Display):
    """Shows nothing."""

    def __exit__(self, *exception: object) -> None:
        pass


def _digits() -> Any:
    return standin_digits(0, train=40, valid=10, test=10)


class _Images(ImageTask):
    settings = Settings(epochs=2, patience=2, batch=32, lr=1e-3)


def _images(folder: Path) -> ImageTask:
    return _Images("mnist", "MNIST", _digits, mean=0.1307, std=0.3081)


def _reviews(folder: Path) -> TextData:
    parts = []
    for name in ("train", "valid", "test"):
        lines = (folder / f"{name}.txt").read_text("utf-8").splitlines()
        labels = np.array([int(line[0]) for line in lines])
        parts.append(TextSplit([line[2:] for line in lines], labels))
    return TextData("toy", "made up", ("negative", "positive"), *parts)


def _text(folder: Path) -> TextTask:
    return TextTask("toy", "Toy", lambda: _reviews(folder), _TEXT)


def _parse(folder: Path) -> ParseTask:
    return ParseTask(str(folder), _PARSE)


def _charlm(folder: Path) -> CharacterTask:
    return CharacterTask(str(folder / "novel.txt"), _CHARLM)


def _translate(folder: Path) -> TranslateTask:
    return TranslateTask(str(folder), "en", "de", _TRANSLATE)


TASKS = {
    "images": _images,
    "text": _text,
    "parse": _parse,
    "charlm": _charlm,
    "translate": _translate,
}


def sentences(n: int) -> list[parse.Sentence]:
    """ "the dog sees the man"."""
    draw = random.Random(n)
    found = []
    for _ in range(n):
        noun, other = draw.choice(("dog", "cat", "man")), draw.choice(("dog", "cat", "man"))
        words = (
            ("the", "DET", 2, "det"),
            (noun, "NOUN", 3, "nsubj"),
            (draw.choice(("sees", "likes")), "VERB", 0, "root"),
            ("the", "DET", 5, "det"),
            (other, "NOUN", 3, "obj"),
        )
        found.append(
            parse.Sentence(
                [parse.Word(f, upos=t, xpos=t, head=h, deprel=d) for f, t, h, d in words]
            )
        )
    return found


def write_data(name: str, folder: Path) -> None:
    """What the task of that name reads."""
    folder.mkdir()
    if name == "charlm":
        (folder / "novel.txt").write_text(standin_text(sentences=12).train, "utf-8")
    if name == "translate":
        for split, pairs in standin_corpus(train=24, valid=4, test=4).splits.items():
            for ending, lines in (("en", pairs.source), ("de", pairs.target)):
                (folder / f"{split}.{ending}").write_text("\n".join(lines), "utf-8")
    draw = random.Random(0)
    for split, n in (("train", 24), ("valid", 8), ("test", 8)):
        if name == "text":
            lines = [f"{i % 2} a {('bad', 'good')[i % 2]} {draw.choice('xyz')} ." for i in range(n)]
            (folder / f"{split}.txt").write_text("\n".join(lines), "utf-8")
        if name == "parse":
            part = "dev" if split == "valid" else split
            parse.write_conllu(folder / f"toy-{part}.conllu", sentences(n))


def write_model(name: str, path: Path) -> None:
    """A model for text, parse, charlm or translate with random weights, always the same."""
    nl.manual_seed(0)
    _MODELS[name](path)


def _text_model(path: Path) -> None:
    words = text.Vocabulary(["good", "bad", "film", "."])
    classifier = text.Classifier(len(words), 2, 8, 2, 8, 1)
    text.save_model(path, text.Model(classifier, words, ["negative", "positive"]))


def _parse_model(path: Path) -> None:
    treebank = sentences(8)
    vocabulary, tags = parse.Vocabulary.of(treebank), parse.TagVocabulary.of(treebank)
    classes = vocabulary.transitions.classes
    network = parse.Network(len(vocabulary), classes, embedding=4, hidden=8)
    tagger = parse.Network(len(tags), len(tags.tags), _TAG_FEATURES, embedding=4, hidden=8)
    parse.save_model(path, parse.Model(network, vocabulary, tagger, tags))


def _language_model(path: Path) -> None:
    characters = language.Vocabulary.of("the dog sees it.")
    network = language.LanguageModel(len(characters), 8, 8, 2, 8, 1)
    language.save_model(path, language.Model(network, characters))


def _translation_model(path: Path) -> None:
    subwords = translate.Subwords(["\u2581", *"thedogsi."])
    network = translate.Translator(len(subwords), len(subwords), 8, 2, 8, 1, 1)
    translate.save_model(path, translate.Model(network, subwords, subwords, "en", "de"))


_MODELS = {
    "text": _text_model,
    "parse": _parse_model,
    "charlm": _language_model,
    "translate": _translation_model,
}
