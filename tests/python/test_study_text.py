# ruff: noqa: RUF001  (typographic times)
"""The text tasks: training, the kept model, labelling from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import normlab as nl
from normlab import cli, text
from normlab.data import TextData, TextSplit
from normlab.study import Study
from normlab.study.display import Bar
from normlab.study.task import NormChoice
from normlab.study.text import TextSettings, TextTask, rt_task, sst5_task

WORDS = {"good": 1, "fine": 1, "bad": 0, "dull": 0, "film": 2, "the": 2, "plot": 2, "a": 2}
SETTINGS = TextSettings(
    epochs=4, patience=4, batch=64, lr=5e-3, size=16, heads=2, hidden=24, layers=2, least=2
)
TASKS_WITH_DATA = {"rt": (rt_task, 2, 20), "sst5": (sst5_task, 5, 20)}


def split(rng: np.random.Generator, n: int) -> TextSplit:
    texts, labels = [], []
    for _ in range(n):
        label = int(rng.integers(2))
        fit = [word for word, tone in WORDS.items() if tone in (label, 2)]
        texts.append(" ".join(rng.choice(fit, rng.integers(4, 12))) + " .")
        labels.append(label)
    return TextSplit(texts, np.array(labels))


def reviews() -> TextData:
    rng = np.random.default_rng(0)
    parts = [split(rng, n) for n in (300, 80, 80)]
    return TextData("toy", "made up", ("negative", "positive"), *parts)


def toy() -> TextTask:
    return TextTask("toy", "Toy", reviews, SETTINGS)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def study(out: Path, **more: Any) -> list[dict[str, Any]]:
    given = {"norms": ("layernorm", "none"), "seeds": (0, 1), "scales": (1.0,)} | more
    return Study(tasks=[given.pop("task", toy())], out=out, **given).run()


def test_it_learns_and_records_its_settings(tmp_path: Path) -> None:
    results = study(tmp_path)
    for result in results:
        assert result["test"] > 90
        assert result["settings"]["dropout"] == SETTINGS.dropout
        assert result["settings"]["weight_decay"] == SETTINGS.weight_decay
        history = result["history"]
        assert len(history["train_loss"]) == len(history["valid_loss"]) == result["epochs"]
        assert history["train_loss"][-1] < history["train_loss"][0]


@pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())
def test_it_learns_the_same_on_cuda(tmp_path: Path) -> None:
    task = TextTask("toy", "Toy", reviews, replace(SETTINGS, epochs=1, layers=1))
    settings = {"task": task, "norms": ("layernorm",), "seeds": (0,), "save": True}
    (here,) = study(tmp_path / "cpu", **settings)
    (there,) = study(tmp_path / "cuda", device="cuda", **settings)
    assert there["device"] == "cuda"
    for name in ("train_loss", "valid_loss"):
        assert there["history"][name] == pytest.approx(here["history"][name], rel=1e-3)
    model = text.load_model(tmp_path / "cuda" / "model.safetensors")
    before = model.logits(["a good film", "dull"])
    model.classifier.to("cuda")
    after = model.logits(["a good film", "dull"])
    assert after.device == "cpu"
    assert np.allclose(after.numpy(), before.numpy(), atol=1e-4)
    assert model.label("a good film")[1] in ("negative", "positive")


@pytest.mark.parametrize("norm", nl.norm_variants())
def test_every_variant_trains(tmp_path: Path, norm: str) -> None:
    task = TextTask("toy", "Toy", reviews, replace(SETTINGS, epochs=1))
    (result,) = study(tmp_path, task=task, norms=(norm,), seeds=(0,))
    assert not result["diverged"]


def test_batches_depend_on_the_seed_alone(tmp_path: Path) -> None:
    first, second = (study(tmp_path / name, norms=("layernorm",)) for name in "ab")
    assert [r["history"] for r in first] == [r["history"] for r in second]
    assert first[0]["history"] != first[1]["history"]


class KilledError(Exception):
    pass


class Dying(TextTask):
    """Dies in the middle of an epoch."""

    def __init__(self, epoch: int):
        super().__init__("toy", "Toy", reviews, SETTINGS)
        self.epoch = epoch

    def train_epoch(self, model, optimizer, data, settings, epoch, tick):  # type: ignore[no-untyped-def]
        def die(share: float) -> None:
            if epoch == self.epoch and share > 0.4:
                raise KilledError

        return super().train_epoch(model, optimizer, data, settings, epoch, die)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_and_taken_up_again_the_weights_are_the_same(tmp_path: Path, epoch: int) -> None:
    plain = {"norms": ("adanorm",), "seeds": (0,), "save": True}
    study(tmp_path / "whole", **plain)
    with pytest.raises(KilledError):
        study(tmp_path / "cut", task=Dying(epoch), **plain)
    study(tmp_path / "cut", **plain)
    whole, cut = (nl.load(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value.numpy(), cut[name].numpy())


def valid_of_kept(out: Path) -> float:
    return float(text.load_model(out / "model.safetensors").notes["valid"])


def test_the_best_runs_model_is_kept(tmp_path: Path) -> None:
    results = study(tmp_path, save=True)
    model = text.load_model(tmp_path / "model.safetensors")
    assert float(model.notes["valid"]) == max(result["valid"] for result in results)
    kept = next(r for r in results if r["id"] == model.notes["run"])
    data = reviews()
    labels = model.logits(data.test.texts).numpy().argmax(1)
    assert 100 * np.mean(labels == data.test.labels) == pytest.approx(kept["test"])
    assert model.label("a good film")[1] == "positive"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "model.safetensors",
        "results.jsonl",
    ]


def test_a_model_that_was_not_kept_is_trained_again(tmp_path: Path) -> None:
    results = study(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    study(tmp_path, save=True)
    assert valid_of_kept(tmp_path) == max(result["valid"] for result in results)
    assert not (tmp_path / "running").exists()
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    study(tmp_path, save=True)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before
    study(tmp_path, save=True, seeds=(0, 1, 2))
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert valid_of_kept(tmp_path) == max(line["valid"] for line in lines)


class Counting(TextTask):
    """Notes the epochs that it trains."""

    def __init__(self) -> None:
        super().__init__("toy", "Toy", reviews, SETTINGS)
        self.epochs: list[int] = []

    def train_epoch(self, model, optimizer, data, settings, epoch, tick):  # type: ignore[no-untyped-def]
        self.epochs.append(epoch)
        return super().train_epoch(model, optimizer, data, settings, epoch, tick)


def test_training_a_model_again_goes_on_where_it_stopped(tmp_path: Path) -> None:
    study(tmp_path)
    with pytest.raises(KilledError):
        study(tmp_path, task=Dying(4), save=True)
    task = Counting()
    study(tmp_path, task=task, save=True)
    assert task.epochs == [4]
    assert not (tmp_path / "running").exists()


def test_a_model_that_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    results = study(tmp_path)
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / f"{results[0]['id']}.model.safetensors").touch()
    study(tmp_path)
    assert not (tmp_path / "running").exists()


def test_side_by_side_the_same_model_is_kept(tmp_path: Path) -> None:
    study(tmp_path / "one", save=True)
    study(tmp_path / "two", save=True, jobs=2)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    nl.save(tmp_path / "model.safetensors", {"x": nl.ones(2)})
    with pytest.raises(nl.FileError, match="is no model of a study, and would be overwritten"):
        study(tmp_path, save=True)


def test_another_studys_model_is_not_overwritten(tmp_path: Path) -> None:
    study(tmp_path, norms=("adanorm",), seeds=(0,), save=True)
    before = (tmp_path / "model.safetensors").read_bytes()
    task = Counting()
    with pytest.raises(
        nl.FileError,
        match=r"model\.safetensors: is the model of task toy, norm adanorm, seed 0, which this "
        "study does not train. Move it away or choose another --out",
    ):
        study(tmp_path, task=task, norms=("none",), save=True)
    with pytest.raises(nl.FileError, match="seed 0 with another C, other settings or other data,"):
        study(tmp_path, task=task, norms=("adanorm",), scales=(2.0,), save=True)
    assert task.epochs == []
    assert (tmp_path / "model.safetensors").read_bytes() == before
    study(tmp_path, norms=("adanorm", "none"), seeds=(0, 1), save=True)


def test_a_model_that_a_kill_left_before_its_offer_is_offered(tmp_path: Path) -> None:
    (result,) = study(tmp_path, norms=("layernorm",), seeds=(0,), save=True)
    kept = tmp_path / "model.safetensors"
    before = kept.read_bytes()
    (tmp_path / "running").mkdir()
    kept.rename(tmp_path / "running" / f"{result['id']}.model.safetensors")
    task = Counting()
    study(tmp_path, task=task, norms=("layernorm",), seeds=(0,), save=True)
    assert task.epochs == []
    assert kept.read_bytes() == before
    assert not (tmp_path / "running").exists()


def test_the_bar_counts_a_model_that_is_trained_again(tmp_path: Path) -> None:
    study(tmp_path)
    bar = Bar()
    Study([toy()], ("layernorm", "none"), (0, 1), tmp_path, scales=(1.0,), save=True).run(bar)
    assert bar._bar.n == bar._bar.total == SETTINGS.epochs


def test_the_settings_of_the_task_are_those_of_the_network() -> None:
    task = toy()
    task.settings = replace(SETTINGS, size=8, layers=1, hidden=5, pre_norm=False, least=10_000)
    data = task.load()
    model = task.build(data, NormChoice("none", {}))
    assert len(data.vocabulary) < len(toy().load().vocabulary)
    assert model.state()["embedding.weight"].shape == (len(data.vocabulary), 8)
    assert task.model == (
        "words 8 + sines, 1 × (attention with 2 heads, norm, feed-forward 5, norm), "
        "mean over the words, linear"
    )
    assert rt_task().model == (
        "words 128 + sines, 4 × (norm, attention with 4 heads, norm, feed-forward 512), norm, "
        "mean over the words, linear"
    )


def test_quick_is_fewer_epochs_on_all_data() -> None:
    for task in (rt_task(), sst5_task()):
        assert task.quick == replace(task.settings, epochs=task.quick.epochs)
        assert task.quick.epochs < task.settings.epochs


def test_save_takes_one_task(tmp_path: Path) -> None:
    with pytest.raises(nl.ArgumentError, match="keeps one model"):
        Study(tasks=[toy(), rt_task()], norms=("none",), seeds=(0,), out=tmp_path, save=True).run()


# --- the command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normlab.report.write_report", lambda folder: [])
        study(out, norms=("layernorm",), seeds=(0,), save=True)
    yield out / "model.safetensors"


def predict(
    *words: str | Path, lines: bytes = b"", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", "predict", *map(str, words)],
        input=lines,
        capture_output=True,
        timeout=120,
        env=os.environ | environment,
    )


def test_predict_labels_lines(model: Path) -> None:
    lines = "a good film\nthe dull , bad plot\r\n\nDÉJÀ vu".encode()
    done = predict(model, lines=lines)
    assert done.returncode == 0, done.stderr
    shown = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [label for label, _ in shown[:2]] == ["positive", "negative"]
    assert [line for _, line in shown] == ["a good film", "the dull , bad plot", "", "DÉJÀ vu"]


def test_predict_gives_lines_back_whatever_the_terminals_encoding(model: Path) -> None:
    line = "déjà —\n".encode()
    done = predict(model, lines=line, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\t" + line)


def test_predict_refuses_weights_that_are_not_finite(model: Path, tmp_path: Path) -> None:
    tensors, metadata = nl.load_with_metadata(model)
    tensors["output.weight"].numpy()[0, 0] = np.nan
    broken = tmp_path / "broken.safetensors"
    nl.save(broken, tensors, metadata)
    done = predict(broken, lines=b"a film\n")
    said = done.stderr.decode()
    assert done.returncode == 2
    assert not done.stdout
    assert '"output.weight" must be finite, has nan at [0, 0]' in said
    assert said.count("\n") == 1


def test_predict_refuses_a_line_without_end(model: Path) -> None:
    done = predict(model, lines=b"good\n" + b"x" * (1 << 20) + b"x\n")
    assert done.returncode == 2
    assert b"standard input, line 2: must have at most 1,048,576 bytes" in done.stderr


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        (">/dev/full", "standard output: cannot be written: No space left on device"),
        ("0>/dev/null", "standard input: cannot be read: Bad file descriptor"),
        ("<&-", "standard input: is closed"),
        (">&-", "standard output: is closed"),
    ],
)
def test_predict_says_which_stream_fails(model: Path, redirection: str, message: str) -> None:
    command = f'"$@" {redirection}'
    words = ["sh", "-c", command, "sh", sys.executable, "-m", "normlab", "predict", str(model)]
    done = subprocess.run(words, input=b"good\n", capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().strip() == f"error: {message}"


def test_predict_names_the_line_that_memory_does_not_hold(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def label(self: text.Model, line: bytes) -> None:
        raise nl.OutOfMemoryError("no memory")

    monkeypatch.setattr(text.Model, "label", label)
    (tmp_path / "lines").write_bytes(b"good\n")
    with (
        (tmp_path / "lines").open() as lines,
        pytest.raises(nl.OutOfMemoryError, match="standard input, line 1: no memory"),
    ):
        monkeypatch.setattr("sys.stdin", lines)
        cli.predict(model)


def test_predict_prints_logits(model: Path) -> None:
    done = predict(model, "--logits", lines=b"a good film\n")
    _, numbers, _ = done.stdout.decode().rstrip("\n").split("\t")
    expected = text.load_model(model).logits(["a good film"]).numpy()[0]
    np.testing.assert_array_equal(np.array(numbers.split(), np.float32), expected)


def test_predict_answers_each_line_as_it_comes(model: Path) -> None:
    command = [sys.executable, "-m", "normlab", "predict", str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for line in (b"good film\n", b"bad film\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(line)
        process.stdin.close()
        assert process.wait(60) == 0


def test_predict_takes_very_long_lines(model: Path) -> None:
    done = predict(model, lines=b"good " * 2000 + b"\n" + b"x" * 100_000 + b"\n")
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"good\nb\xffd\n", "standard input, line 2: "),
        (b"good\0\n", "standard input, line 1: "),
    ],
)
def test_predict_refuses_what_is_no_text(model: Path, lines: bytes, message: str) -> None:
    done = predict(model, lines=lines)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert len(done.stderr.decode().strip().splitlines()) == 1


def test_predict_refuses_other_files(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    nl.save(other, {"x": nl.ones(2)}, {"format": "normlab.image_classifier"})
    for path, message in ((other, "image_classifier"), (tmp_path / "none", "none")):
        done = predict(path)
        assert done.returncode == 2
        assert message in done.stderr.decode()
        assert len(done.stderr.decode().strip().splitlines()) == 1


# --- the real data ----------------------------------------------------------------------------


@pytest.mark.skipif("NORMLAB_DATA" not in os.environ, reason="NORMLAB_DATA is not set")
@pytest.mark.parametrize("name", TASKS_WITH_DATA)
def test_the_real_tasks(tmp_path: Path, name: str) -> None:
    make, classes, shortest = TASKS_WITH_DATA[name]
    task = make()
    data = task.load()
    assert len(data.labels) == classes
    assert sum(len(s.labels) for s in data.splits.values()) in (10_661, 11_855)
    assert np.mean(data.splits["train"].lengths.numpy()) > shortest - 5
    small = replace(task.settings, epochs=1, train_items=200)
    task.settings = small
    (result,) = study(tmp_path, task=task, norms=("adanorm",), seeds=(0,))
    assert 0 < result["test"] < 100
    assert result["settings"]["train_items"] == 200
