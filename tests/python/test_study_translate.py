"""The translation task: learning, scores, resuming, divergence, the kept model, the report."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import normlab as nl
from normlab import cli, translate
from normlab.report.groups import groups
from normlab.report.page import page
from normlab.report.paper.words import repeat
from normlab.report.table import markdown
from normlab.study import Study
from normlab.study.bleu import scored
from normlab.study.pairs import tensors
from normlab.study.run import Run, Trainer
from normlab.study.translating import (
    PAPER_SETTINGS,
    TranslateSettings,
    TranslateTask,
    translate_task,
)

sacrebleu = pytest.importorskip("sacrebleu")
pytest.importorskip("sentencepiece")

SETTINGS = TranslateSettings(
    epochs=25,
    patience=25,
    batch=200,
    lr=1e-2,
    size=32,
    heads=2,
    hidden=64,
    layers=1,
    subwords=90,
    dropout=0.0,
    warmup=40,
    average=2,
    beam=3,
)
WORDS = {
    "the": "die",
    "big": "große",
    "cat": "Katze",
    "cow": "Kuh",
    "duck": "Ente",
    "mouse": "Maus",
}
VERBS = {"sees": "sieht", "likes": "mag", "hears": "hört"}


def pair(draw: random.Random) -> tuple[str, str]:
    """ "the big cat sees the cow": word by word."""
    nouns = list(WORDS)[2:]

    def phrase() -> list[str]:
        return ["the", *(["big"] * draw.randrange(2)), draw.choice(nouns)]

    words = [*phrase(), draw.choice(list(VERBS)), *phrase()]
    return " ".join(words), " ".join((WORDS | VERBS)[word] for word in words)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toycorpus")
    draw = random.Random(0)
    for split, n in (("train", 400), ("valid", 30), ("test", 40)):
        pairs = [pair(draw) for _ in range(n)]
        for side, language in enumerate(("en", "de")):
            text = "".join(both[side] + "\n" for both in pairs)
            (folder / f"{split}.{language}").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def task(corpus: Path, **changes: Any) -> TranslateTask:
    return TranslateTask(str(corpus), "en", "de", replace(SETTINGS, **changes))


def study(out: Path, corpus: Path, changes: dict[str, Any] | None = None, **more: Any) -> Any:
    given = {"norms": ("layernorm",), "seeds": (0,), "scales": (1.0,)} | more
    return Study(tasks=[task(corpus, **(changes or {}))], out=out, **given).run()


def test_it_learns_and_records_its_scores(tmp_path: Path, corpus: Path) -> None:
    (result,) = study(tmp_path, corpus, save=True)
    assert result["test"] == result["bleu"] > 90
    assert result["sacrebleu"] > 90 and result["chrf"] > 90
    assert result["metric"] == "BLEU" and result["higher_is_better"]
    assert result["title"].endswith("En-De")
    assert "case:lc" in result["bleu_signature"] and "tok:13a" in result["bleu_signature"]
    assert "case:mixed" in result["sacrebleu_signature"]
    words = f"normlab study --task translate --corpus {corpus} --source en --target de --norm"
    assert repeat(groups([result], ["layernorm"])[0]).startswith(words)
    for source, reference, found in result["samples"]:
        assert len(source.split()) == len(reference.split())
        assert found
    found = groups([result], ["none", "layernorm"])
    assert "test chrF" in markdown(found)
    text = page(found)
    assert "Translations" in text and result["samples"][0][1] in text
    assert result["bleu_signature"] in text
    # The kept model is the tested one.
    model = translate.load_model(tmp_path / "model.safetensors")
    sources = (corpus / "test.en").read_text().splitlines()
    references = (corpus / "test.de").read_text().splitlines()
    again = sacrebleu.BLEU(lowercase=True).corpus_score(
        model.translate(sources, beam=3), [references]
    )
    assert math.isclose(again.score, result["bleu"])
    assert model.notes["task"] == result["task"]


def test_a_resumed_run_gives_the_same_lines(tmp_path: Path, corpus: Path) -> None:
    a_task = task(corpus, epochs=4, dropout=0.2)
    data = a_task.load()
    run = Run(a_task.name, "adanorm", 3, a_task.settings, data.fingerprint, 1.0)

    def numbers(result: dict[str, Any]) -> dict[str, Any]:
        timed = ("seconds", "finished", "peak_memory_mib")
        return {name: value for name, value in result.items() if name not in timed}

    straight = Trainer(a_task, data, run, tmp_path / "a" / "c").finish(lambda done: None)
    checkpoint = tmp_path / "b" / "c"
    stops = Trainer(a_task, data, run, checkpoint)
    for _ in range(2):
        stops._epoch(lambda done: None)
    stops._store()
    nl.manual_seed(99)
    resumed = Trainer(a_task, data, run, checkpoint).finish(lambda done: None)
    assert json.dumps(numbers(resumed)) == json.dumps(numbers(straight))


def test_threads_change_nothing(tmp_path: Path, corpus: Path) -> None:
    found = []
    for threads in (1, 2):
        (result,) = study(tmp_path / str(threads), corpus, {"epochs": 2}, threads=threads)
        found.append((result["history"], result["test"], result["samples"]))
    assert found[0] == found[1]


def test_a_run_that_diverges_is_a_result_with_its_step(tmp_path: Path, corpus: Path) -> None:
    (result,) = study(tmp_path, corpus, {"lr": 1e30, "warmup": 1}, norms=("none",))
    assert result["diverged"] and result["diverged_at"] >= 2
    assert result["test"] == 0.0
    assert f"diverges (step {result['diverged_at']})" in markdown(
        groups([result], ["none", "layernorm"])
    )


def test_text_that_is_cut_into_words_is_scored_without_warnings(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"the cat {i} sleeps ." for i in range(150)]
    assert scored(lines, lines)["bleu"] == pytest.approx(100.0)
    assert capfd.readouterr() == ("", "") and caplog.text == ""


def test_averages_are_means_of_the_last_epochs(corpus: Path) -> None:
    from normlab.study.averages import Averaged

    net = nl.nn.Linear(3, 2)
    model = Averaged(net, 2)
    with model.averaged() as same:
        assert (same.weight.numpy() == net.weight.numpy()).all()
    kept = []
    for value in (1.0, 4.0, 6.0):
        net.weight.detach().fill_(value)
        model.keep()
        kept.append(value)
    net.weight.detach().fill_(9.0)
    with model.averaged() as averaged:
        assert (averaged.weight.numpy() == 5.0).all()
        assert not averaged.training
    assert (net.weight.numpy() == 9.0).all()


def test_accumulated_batches_are_one_step(corpus: Path) -> None:
    a_task = task(corpus, epochs=1, batch=100, accumulate=1000)
    data = a_task.load()
    run = Run(a_task.name, "layernorm", 0, a_task.settings, data.fingerprint)
    trainer = Trainer(a_task, data, run, corpus / "none")
    trainer._epoch(lambda done: None)
    steps = [int(v.item()) for k, v in trainer.optimizer.state().items() if k.endswith("step")]
    assert set(steps) == {1}


def test_a_step_of_the_authors_size_runs(corpus: Path) -> None:
    settings = replace(PAPER_SETTINGS, subwords=90, epochs=1, train_items=30)
    a_task = TranslateTask(str(corpus), "en", "de", settings)
    data = a_task.load()
    run = Run(a_task.name, "detachnorm", 0, settings, data.fingerprint)
    trainer = Trainer(a_task, data, run, corpus / "none")
    score = a_task.train_epoch(
        trainer.model, trainer.optimizer, data, settings, 1, lambda share: None
    )
    assert math.isfinite(score.loss)
    layers = [name for name, _ in trainer.model.named_modules()]
    assert any(name.endswith("decoder.5") for name in layers)
    assert not any(name.endswith("decoder.6") for name in layers)


def test_a_model_of_lower_case_takes_capitals(corpus: Path, tmp_path: Path) -> None:
    a_task = TranslateTask(str(corpus), "en", "de", replace(SETTINGS, epochs=1, lower=True))
    data = a_task.load()
    run = Run(a_task.name, "none", 0, a_task.settings, data.fingerprint)
    trainer = Trainer(a_task, data, run, corpus / "none")
    a_task.save(tmp_path / "m", trainer.model, data, {})
    model = translate.load_model(tmp_path / "m")
    assert model.lower
    lines = ["the big cat sees the cow", "the duck"]
    assert model.translate([line.upper() for line in lines]) == model.translate(lines)
    assert set(model.translate(lines)) != {""}


def test_lower_case_is_a_setting(corpus: Path) -> None:
    found = nl.data.parallel(corpus, "en", "de")
    data = tensors(found, SETTINGS.subwords, lower=True)
    assert not any(any(c.isupper() for c in piece) for piece in data.subwords.pieces())
    test = data.splits["test"]
    assert test.texts == (found.test.source, found.test.target), "as the scores need them"
    assert any(line != line.lower() for line in test.texts[1])
    assert data.subwords.decode(test.outputs.tokens.tolist()).islower()
    assert translate_task(lower=True).settings.lower and not translate_task().settings.lower
    assert translate_task(lower=True).words[-1] == "--lower"
    assert translate_task(paper=True).words[-1] == "--paper"


def test_names_and_languages() -> None:
    assert translate_task().name == "translate"
    assert translate_task().title == "Multi30k En-De"
    assert translate_task("multi30k", "en", "fr").name == "translate_multi30k_en_fr"
    assert translate_task(target="fr").source == "en"
    assert translate_task("iwslt14", paper=True).name == "de_en"
    with pytest.raises(nl.ArgumentError, match="must be given for a folder"):
        TranslateTask("somewhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "en"], "--source: needs --task translate"),
        (["--task", "translate", "--target", "vi"], "target: must be en or de or fr, is 'vi'"),
        (["--task", "translate", "--corpus", "nowhere"], "must be given for a folder"),
        (
            ["--task", "translate", "--corpus", "nowhere", "--source", "a", "--target", "b"],
            "folder: must be a folder with train.a",
        ),
    ],
)
def test_options_that_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["normlab", "study", "--out", str(tmp_path / "o"), *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_a_pair_longer_than_the_positions_is_refused_before_training(
    tmp_path: Path, corpus: Path
) -> None:
    for path in corpus.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    with (tmp_path / "test.en").open("a") as file:
        file.write("the " * 1100 + "\n")
    with (tmp_path / "test.de").open("a") as file:
        file.write("Katze\n")
    with pytest.raises(nl.FileError, match=r"test: pair 41 has .* the network takes at most 1,024"):
        TranslateTask(str(tmp_path), "en", "de", SETTINGS).load()
