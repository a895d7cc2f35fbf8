"""The task of character language models: crops, windows, training, the kept model, the command."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_language import trained_model
from test_study import numbers

import normlab as nl
from normlab import language
from normlab.data.charlm import standin_text
from normlab.paper import RESULTS
from normlab.report.groups import groups
from normlab.report.paper.words import repeat
from normlab.study import ResultFile, Study
from normlab.study.charlm import CharacterCodes, CharacterSettings, CharacterTask, windows
from normlab.study.paper import Shortened
from normlab.study.run import Run, Trainer

SETTINGS = CharacterSettings(
    epochs=4,
    patience=4,
    batch=4,
    lr=1e-2,
    context=12,
    size=16,
    heads=2,
    hidden=24,
    layers=2,
    dropout=0.1,
    warmup=5,
)
NOBODY = "http://127.0.0.1:9/"  # port 9 answers nobody
LINES = ("the dog sees a cat\n", "a cat sees the man\n", "the man likes a dog\n")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A text of some thousand characters."""
    path = tmp_path / "book.txt"
    rng = np.random.default_rng(0)
    path.write_text("".join(rng.choice(LINES, 150)))
    return path


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def study(out: Path, book: Path, **more: Any) -> list[dict[str, Any]]:
    task = more.pop("task", None) or CharacterTask(str(book), more.pop("settings", SETTINGS))
    given = {"norms": ("layernorm", "none"), "seeds": (0, 1), "scales": (1.0,)} | more
    return Study(tasks=[task], out=out, **given).run()


# --- windows and crops ---------------------------------------------------------------------------


@pytest.mark.parametrize("context", [1, 2, 7, 12, 64])
@pytest.mark.parametrize(("first", "end"), [(0, 30), (100, 101), (100, 155), (90, 1000)])
def test_each_character_is_scored_once_from_half_a_context_or_more(
    context: int, first: int, end: int
) -> None:
    scored: list[int] = []
    for starts, length, last in windows(first, end, context):
        assert starts.dtype == np.int64 and 1 <= last <= length <= context
        for start in starts.tolist():
            targets = range(start + 1 + length - last, start + 1 + length)
            scored += targets
            for target in targets:
                assert target - start >= min(context - max(1, context // 2) + 1, target)
    assert sorted(scored) == list(range(max(first, 1), end))


def test_the_score_is_that_of_the_formula(book: Path) -> None:
    task = CharacterTask(str(book), replace(SETTINGS, context=9))
    data = task.load()
    nl.manual_seed(3)
    model = task.build(data, _choice("layernorm"))
    found = task.evaluate(model, data, "test")
    first, end = data.bounds["test"]
    total = 0.0
    with nl.no_grad():
        for start in range(first, end, 4):  # half of nine
            last = min(start + 4, end)
            window = data.codes[last - 10 : last].astype(np.int64)
            z = model(nl.tensor(window[:-1])).numpy().astype(np.float64)
            z -= z.max(1, keepdims=True)
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            for target in range(start, last):
                row = target - (last - 9)
                total -= math.log2(p[row, data.codes[target]])
    assert found.metric == pytest.approx(total / (end - first), rel=1e-5)
    assert found.loss == pytest.approx(found.metric * math.log(2))
    assert found.more == {"bpc": found.metric}
    assert task.evaluate(model, data, "valid").more == {}


def _choice(norm: str) -> Any:
    from normlab.study import NormChoice

    return NormChoice(norm, {})


def test_crops_cover_the_training_text_once_an_epoch(book: Path) -> None:
    task = CharacterTask(str(book), SETTINGS)
    data = task.load()
    batches = task.batches(task.build(data, _choice("none")), data, SETTINGS, data.train_items)
    starts = np.concatenate([batch.numpy() for batch in batches])
    assert all(len(batch) == SETTINGS.batch for batch in batches[:-1])
    assert set(np.diff(np.sort(starts)).tolist()) == {12}
    assert starts.min() >= 0 and starts.max() + 12 < data.train_items
    assert len(starts) >= (data.train_items - 13) // 12 - 1
    assert not np.array_equal(np.sort(starts), starts)
    crops, targets = data.crops(starts[:2], 12), data.targets(starts[:2], 12)
    flat = data.codes[starts[0] : starts[0] + 13]
    np.testing.assert_array_equal(crops.tokens.numpy()[:12], flat[:-1])
    np.testing.assert_array_equal(targets.numpy()[:12], flat[1:])
    assert crops.offsets.tolist() == [0, 12, 24]


@pytest.mark.parametrize("n", [40, 41, 60])
@pytest.mark.parametrize("batch", [1, 1000])
def test_a_text_shorter_than_the_context_trains(tmp_path: Path, n: int, batch: int) -> None:
    path = tmp_path / "short.txt"
    path.write_text("abc" * (n // 3) + "x" * (n % 3))
    settings = replace(SETTINGS, context=128, batch=batch, epochs=2)
    (line,) = study(tmp_path / "out", path, settings=settings, norms=("batchnorm",), seeds=(0,))
    assert not line["diverged"]


# --- data ----------------------------------------------------------------------------------------


def test_characters_that_training_lacks_are_one_unknown_one(tmp_path: Path) -> None:
    text = "ab" * 90 + "abaéb" + "bab?a" * 3
    path = tmp_path / "odd.txt"
    path.write_text(text)
    task = CharacterTask(str(path), SETTINGS)
    data = task.load()
    assert isinstance(data, CharacterCodes) and data.codes.dtype == np.uint8
    assert len(data.vocabulary) == 3 and task.title == "odd"
    assert "; 4 characters there that training lacks count as one unknown one" in data.origin
    assert "scored once, from the 7 to 12 characters before it" in data.origin
    model = task.build(data, _choice("none"))
    assert math.isfinite(task.evaluate(model, data, "test").metric)


def test_other_text_is_other_data(book: Path, tmp_path: Path) -> None:
    first = CharacterTask(str(book)).load()
    other = tmp_path / "other.txt"
    other.write_text(book.read_text().replace("cat", "cow", 1))
    assert CharacterTask(str(other)).load().fingerprint != first.fingerprint


@pytest.mark.usefixtures("nowhere")
def test_only_a_quick_study_takes_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_MIRROR", NOBODY)
    task = CharacterTask()
    with pytest.raises(nl.data.DataMissingError, match="tinyshakespeare"):
        task.load()
    data = task.load(quick=True)
    assert data.warning == "stand-in text (generated)" and data.origin.startswith(data.warning)
    with pytest.raises(nl.ArgumentError):
        CharacterTask("hamlet").load(quick=True)


# --- training ------------------------------------------------------------------------------------


def test_it_learns_and_records_bits(tmp_path: Path, book: Path) -> None:
    for line in study(tmp_path / "out", book):
        assert line["metric"] == "bits a character" and line["unit"] == "bits"
        assert line["higher_is_better"] is False
        assert line["bpc"] == line["test"] < 1.5
        assert line["valid"] == min(line["history"]["valid"])
        for name in ("train", "valid"):
            loss = np.array(line["history"][f"{name}_loss"])
            np.testing.assert_allclose(line["history"][name], loss / math.log(2))
        assert line["settings"]["context"] == 12
        assert line["title"] == "book"


@pytest.mark.parametrize("norm", nl.norm_variants())
def test_every_variant_trains(tmp_path: Path, book: Path, norm: str) -> None:
    settings = replace(SETTINGS, epochs=1)
    (line,) = study(tmp_path / "out", book, settings=settings, norms=(norm,), seeds=(0,))
    assert not line["diverged"]


@pytest.mark.parametrize("change", [{"tied": False}, {"pre_norm": False}, {"train_items": 900}])
def test_every_setting_trains(tmp_path: Path, book: Path, change: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **change)
    (line,) = study(tmp_path / "out", book, settings=settings, norms=("layernorm",), seeds=(0,))
    assert line["test"] < 3.0


def test_a_network_that_diverges_has_the_bits_of_a_guess(tmp_path: Path, book: Path) -> None:
    settings = replace(SETTINGS, lr=1e30, warmup=0)
    (line,) = study(tmp_path / "out", book, settings=settings, norms=("none",), seeds=(0,))
    assert line["diverged"]
    vocabulary = len(CharacterTask(str(book)).load().vocabulary)
    assert line["test"] == pytest.approx(math.log2(vocabulary)) or math.isfinite(line["test"])


class KilledError(Exception):
    pass


class Dying(CharacterTask):
    """Dies in the middle of an epoch."""

    def __init__(self, text: str, epoch: int):
        super().__init__(text, SETTINGS)
        self.epoch = epoch

    def train_epoch(self, model, optimizer, data, settings, epoch, tick):  # type: ignore[no-untyped-def]
        def die(share: float) -> None:
            assert 0 < share <= 1.0 + 1e-9
            if epoch == self.epoch and share > 0.4:
                raise KilledError

        return super().train_epoch(model, optimizer, data, settings, epoch, die)


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_killed_and_taken_up_again_the_weights_are_the_same(
    tmp_path: Path, book: Path, epoch: int
) -> None:
    plain: dict[str, Any] = {"norms": ("adanorm",), "seeds": (0,), "save": True}
    study(tmp_path / "whole", book, **plain)
    with pytest.raises(KilledError):
        study(tmp_path / "cut", book, task=Dying(str(book), epoch), **plain)
    study(tmp_path / "cut", book, **plain)
    lines = [ResultFile(tmp_path / name).read() for name in ("whole", "cut")]
    assert numbers(lines[0]) == numbers(lines[1])
    whole, again = (nl.load(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == again.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value.numpy(), again[name].numpy())


def test_jobs_and_threads_change_nothing(tmp_path: Path, book: Path) -> None:
    settings = replace(SETTINGS, epochs=2)
    keys = ("norm", "seed", "test", "bpc", "history")

    def found(name: str, **more: Any) -> list[dict[str, Any]]:
        lines = study(tmp_path / name, book, settings=settings, **more)
        return [{key: line[key] for key in keys} for line in lines]

    one = found("one", threads=1)
    assert one == found("two", threads=2) == found("jobs", jobs=2)


def test_the_best_runs_model_is_kept_and_writes(tmp_path: Path, book: Path) -> None:
    lines = study(tmp_path / "out", book, save=True)
    model = language.load_model(tmp_path / "out" / "model.safetensors")
    assert float(model.notes["valid"]) == min(line["valid"] for line in lines)
    kept = next(line for line in lines if line["id"] == model.notes["run"])
    task = CharacterTask(str(book), SETTINGS)
    data = task.load()
    assert task.evaluate(model.network, data, "test").metric == pytest.approx(kept["test"])
    written = language.generate(model, "the ", 60, temperature=0)
    words = set("".join(LINES).split())
    assert set(written.split()[:-1]) <= words, written


def test_quick_settings_of_the_paper_learn_from_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = RESULTS["enwiki8"]
    filler = column.fillers[-1]
    assert filler.task == "charlm" and not column.higher_is_better
    monkeypatch.setattr("normlab.study.charlm.charlm", lambda text: standin_text(sentences=1200))
    task = Shortened(CharacterTask(), filler)
    data = task.load(quick=True)
    run = Run("charlm", "layernorm", 0, task.quick, data.fingerprint)
    result = Trainer(task, data, run, tmp_path / "checkpoint").finish(lambda _: None)
    assert result["test"] < 3.0, "a guess among the text's letters has 4.9"


def test_two_texts_share_a_folder_one_after_the_other(tmp_path: Path, book: Path) -> None:
    other, out = tmp_path / "other.txt", tmp_path / "out"
    other.write_text("".join(LINES[::-1]) * 40)
    settings = replace(SETTINGS, epochs=1)
    for text in (book, other, book):
        study(out, text, settings=settings, norms=("layernorm",))
    lines = ResultFile(out).read()
    assert len({line["id"] for line in lines}) == len(lines) == 4, "the third trains nothing"
    first, second = groups(lines, ["layernorm"])
    assert [group.first["title"] for group in (first, second)] == ["book", "other"]
    assert f"--task charlm --text {other} --norm" in repeat(second)
    both = [CharacterTask(str(text), settings) for text in (book, other)]
    with pytest.raises(nl.ArgumentError, match="names of their own, two are 'charlm'; run a study"):
        Study(tasks=both, out=out, norms=("layernorm",), seeds=(0,))


# --- command -------------------------------------------------------------------------------------


def normlab(*words: str, lines: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", *words],
        input=lines,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    language.save_model(path, trained_model())
    return path


def test_generate_prints_prompt_and_text(model: Path, tmp_path: Path) -> None:
    found = language.load_model(model)
    ran = normlab("generate", str(model), "--prompt", "ab", "--length", "40", "--seed", "3")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"ab{language.generate(found, 'ab', 40, seed=3)}\n"
    options = ("--temperature", "0.7", "--top-k", "3", "--length", "25")
    out = tmp_path / "out.txt"
    ran = normlab("generate", str(model), "--prompt", "é", *options, "-o", str(out))
    assert (ran.returncode, ran.stdout) == (0, "")
    text = language.generate(found, "é", 25, temperature=0.7, top_k=3)
    assert out.read_text("utf-8") == f"é{text}\n"
    greedy = normlab("generate", str(model), "--prompt", "ab", "--temperature", "0")
    assert greedy.stdout == "ab" + "cé\nab" * 100 + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", ""], "--prompt: generate: the prompt must have a character or more"),
        (["--prompt", "abz"], 'does not know character 3 of the prompt, "z"'),
        (["--prompt", "a", "--temperature", "inf"], "--temperature: must be a finite number"),
        (["--prompt", "a", "--temperature", "nan"], "--temperature"),
        (["--prompt", "a", "--temperature", "-1"], "--temperature"),
        (["--prompt", "a", "--top-k", "0"], "--top-k"),
        (["--prompt", "a", "--length", "-1"], "--length"),
        (["--prompt", "a", "--length", str(2**63)], "--length: must be at most 9,223,"),
        (["--prompt", "a", "--top-k", str(2**63)], "--top-k: must be at most 9,223,"),
        (["--prompt", "a", "--seed", str(2**64)], "--seed: must be at most 18,446,"),
        ([], "--prompt"),
    ],
)
def test_generate_says_what_is_wrong(model: Path, arguments: list[str], message: str) -> None:
    ran = normlab("generate", str(model), *arguments)
    assert ran.returncode == 2 and message in ran.stderr
    assert "Traceback" not in ran.stderr and ran.stdout == ""


def test_generate_does_not_write_on_its_model(model: Path) -> None:
    content = model.read_bytes()
    ran = normlab("generate", str(model), "--prompt", "a", "-o", str(model))
    assert ran.returncode == 2 and "is the model, which would be overwritten" in ran.stderr
    assert model.read_bytes() == content


def test_generate_and_predict_name_each_others_models(model: Path, tmp_path: Path) -> None:
    ran = normlab("predict", str(model), lines="a line\n")
    assert ran.returncode == 2 and "it is a model for normlab generate" in ran.stderr
    path = tmp_path / "text.safetensors"
    classifier = nl.text.Classifier(2, 2, size=8, heads=2, hidden=12, layers=1)
    words = nl.text.Vocabulary(["a"])
    nl.text.save_model(path, nl.text.Model(classifier, words, ["x", "y"]))
    ran = normlab("generate", str(path), "--prompt", "a")
    assert ran.returncode == 2 and "it is a model for normlab predict" in ran.stderr
    ran = normlab("generate", str(tmp_path / "absent"), "--prompt", "a")
    assert ran.returncode == 2 and "absent" in ran.stderr


def test_study_takes_any_text(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = normlab(
        *("study", "--task", "charlm", "--text", str(book), "--norm", "layernorm"),
        *("--seeds", "1", "--quick", "--batch", "2", "--save", "--out", str(out)),
    )
    assert ran.returncode == 0, ran.stderr
    assert "bits a character (less is better)" in ran.stdout
    assert "scored once, from the 65 to 128 characters before it" in ran.stdout
    assert (out / "model.safetensors").exists()
    ran = normlab("study", "--task", "mnist", "--text", str(book))
    assert ran.returncode == 2 and "--text: needs --task charlm" in ran.stderr
    empty = tmp_path / "empty.txt"
    empty.touch()
    ran = normlab("study", "--task", "charlm", "--text", str(empty), "--out", str(out))
    assert ran.returncode == 2 and f"{empty}: is empty" in ran.stderr
