"""Studies: what a run records, resuming after any interruption, choosing C, the folder's safety."""

import errno
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest

import normlab as nl
from normlab.data import DataMissingError, standin_digits
from normlab.report.groups import groups
from normlab.results import locked
from normlab.study import (
    TASKS,
    Interrupted,
    Overrides,
    ResultFile,
    Settings,
    Study,
    plan,
    run,
    study,
    workers,
)
from normlab.study.display import Bar, Lines
from normlab.study.images import ImageTask
from normlab.study.loops import shuffled
from normlab.study.task import NormChoice, Score

ITEMS, SIDE, CLASSES = 96, 6, 3


@dataclass
class Points:
    """Three noisy clusters."""

    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    origin: str = "made up"
    fingerprint: str = "points"
    warning: str = ""
    train_items: int = ITEMS

    def to(self, device: str) -> "Points":
        return self


class Toy:
    """A task of milliseconds that draws weights, order and dropout from the generator."""

    name, title, metric, unit, model = "toy", "Toy", "accuracy", "%", "linear, norm, linear"
    higher_is_better = True
    settings = Settings(epochs=4, patience=4, batch=16, lr=0.02)
    quick = replace(settings, epochs=2, train_items=32)
    scales = (1.0, 2.0)

    def __init__(self, on_epoch: Callable[[int], None] | None = None):
        self.on_epoch = on_epoch
        self.loads = 0

    def load(self, *, quick: bool = False) -> Points:
        self.loads += 1
        rng = np.random.default_rng(0)
        y = rng.integers(0, CLASSES, 3 * ITEMS)
        x = rng.normal(0, 1.2, (3 * ITEMS, SIDE)) + np.eye(CLASSES, SIDE)[y] * 2
        return Points(x.astype(np.float32), y.astype(np.int64))

    def build(self, data: Points, norm: NormChoice) -> nl.nn.Module:
        return nl.nn.Sequential(
            nl.nn.Linear(SIDE, 12),
            nl.nn.Norm(norm.variant, (12,), **norm.options),
            nl.nn.Dropout(0.2),
            nl.nn.Linear(12, CLASSES),
        )

    def optimizer(self, model: nl.nn.Module, settings: Settings) -> Any:
        return nl.optim.Adam(model.parameters(), lr=settings.lr)

    def train_epoch(
        self,
        model: nl.nn.Module,
        optimizer: Any,
        data: Points,
        settings: Settings,
        epoch: int,
        tick: Callable[[float], None],
    ) -> Score:
        if self.on_epoch:
            self.on_epoch(epoch)
        model.train()
        order = nl.permutation(settings.train_items or ITEMS).numpy()
        total = 0.0
        for start in range(0, len(order), settings.batch):
            index = order[start : start + settings.batch]
            loss = nl.cross_entropy(model(nl.tensor(data.x[index])), nl.tensor(data.y[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
            tick((start + len(index)) / len(order))
        return Score(total / len(order), 50.0)

    def evaluate(self, model: nl.nn.Module, data: Points, split: str) -> Score:
        model.eval()
        part = slice(ITEMS, 2 * ITEMS) if split == "valid" else slice(2 * ITEMS, None)
        with nl.no_grad():
            logits = model(nl.tensor(data.x[part]))
        right = np.mean(logits.numpy().argmax(1) == data.y[part])
        loss = nl.cross_entropy(logits, nl.tensor(data.y[part])).item()
        return Score(loss, 100 * float(right))


@pytest.fixture
def report() -> None:
    """Asked for by tests that look at the report."""


@pytest.fixture(autouse=True)
def no_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than the toy's training."""
    if "report" not in request.fixturenames:
        monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


NORMS = ("none", "layernorm", "adanorm")
EPOCHS = 2 * 4 * 4  # seeds, runs (two of them candidates for C), epochs


def a_study(out: Path, task: Any = None, **more: Any) -> Study:
    given = {"norms": NORMS, "seeds": (0, 1), "scales": (1.0, 2.0)} | more
    return Study(tasks=[task or Toy()], out=out, **given)


def numbers(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything that must not depend on the clock, the machine's load or the number of threads."""
    loose = ("seconds", "search_seconds", "finished", "peak_memory_mib", "threads")
    kept = [{k: v for k, v in result.items() if k not in loose} for result in results]
    return sorted(kept, key=lambda result: str(result["id"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The lines of an unbroken study."""
    out = tmp_path_factory.mktemp("whole")
    a_study(out).run()
    return ResultFile(out).read()


# --- what a study leaves -------------------------------------------------------------------------


def test_a_study_leaves_results_and_report_and_nothing_else(tmp_path: Path, report: None) -> None:
    found = a_study(tmp_path).run(Lines())
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock",
        "results.jsonl",
        "table.md",
        "curves.png",
        "overfitting.png",
        "report.html",
    }
    assert [(line["norm"], line["seed"]) for line in found] == [
        (norm, seed) for seed in (0, 1) for norm in NORMS
    ]


def test_a_line_has_everything(whole: list[dict[str, Any]]) -> None:
    line = next(line for line in whole if line["norm"] == "layernorm" and line["seed"] == 1)
    assert {
        key: line[key]
        for key in (
            "task",
            "norm",
            "seed",
            "C",
            "epochs",
            "data",
            "candidate",
            "diverged",
            "denominator",
            "metric",
            "unit",
        )
    } == {
        "task": "toy",
        "norm": "layernorm",
        "seed": 1,
        "C": None,
        "epochs": 4,
        "data": "made up",
        "candidate": False,
        "diverged": False,
        "denominator": "var_eps",
        "metric": "accuracy",
        "unit": "%",
    }
    assert line["version"] == nl.build_info()["version"]
    assert line["settings"] == Toy.settings.as_dict()
    assert all(len(series) == 4 for series in line["history"].values())
    assert set(line["history"]) == {"train_loss", "train", "valid_loss", "valid"}
    assert line["valid"] == max(line["history"]["valid"])
    assert line["best_epoch"] == 1 + line["history"]["valid"].index(line["valid"])
    assert line["seconds"] > 0 and line["peak_memory_mib"] > 1 and line["threads"] >= 1


def test_one_line_a_run_and_one_a_choice(whole: list[dict[str, Any]]) -> None:
    found = [(line["norm"], line["seed"], line["C"]) for line in whole if line["candidate"]]
    assert sorted(found) == [("adanorm", seed, scale) for seed in (0, 1) for scale in (1.0, 2.0)]
    assert len(whole) == 2 * (2 + 2 + 1)
    for line in whole:
        if line["norm"] == "adanorm" and not line["candidate"]:
            tried = [c for c in whole if c["candidate"] and c["seed"] == line["seed"]]
            best = max(tried, key=lambda c: c["valid"])
            assert (line["C"], line["test"]) == (best["C"], best["test"])
            assert line["C_candidates"] == {f"{c['C']:g}": c["valid"] for c in tried}


def test_runs_of_one_seed_start_equal_and_seeds_differ(whole: list[dict[str, Any]]) -> None:
    by_run = {(line["norm"], line["seed"]): line for line in whole if not line["candidate"]}
    assert by_run["none", 0]["history"] != by_run["none", 1]["history"]
    nl.manual_seed(0)
    data = Toy().load()
    first = [
        parameter.numpy().copy()
        for parameter in Toy().build(data, NormChoice("none", {})).parameters()
    ]
    nl.manual_seed(0)
    second = [
        parameter.numpy()
        for name, parameter in Toy().build(data, NormChoice("layernorm", {})).named_parameters()
        if not name.startswith("1.")
    ]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_call_trains_nothing(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    a_study(tmp_path).run()
    before = (tmp_path / "results.jsonl").read_bytes()

    def never(epoch: int) -> None:
        raise AssertionError("trained again")

    a_study(tmp_path, Toy(never)).run()
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)


def test_more_seeds_and_variants_join_what_is_there(
    tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    a_study(tmp_path, norms=("layernorm",), seeds=(1,)).run()
    a_study(tmp_path, norms=("adanorm",), seeds=(0,)).run()
    a_study(tmp_path).run()
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)


def test_other_settings_are_kept_apart(tmp_path: Path, report: None) -> None:
    one = a_study(tmp_path, norms=("none",), seeds=(0,))
    one.run()
    shorter = replace(one, overrides=Overrides(epochs=2))
    (line,) = shorter.run()
    assert line["epochs"] == 2
    assert len(ResultFile(tmp_path).read()) == 2
    std = replace(
        one,
        norms=("layernorm",),
        overrides=Overrides(denominator="std_eps", batch=8, lr=0.01, patience=1),
    )
    (line,) = std.run()
    assert {"denominator": "std_eps", "batch": 8, "lr": 0.01, "patience": 1}.items() <= line[
        "settings"
    ].items()
    assert (tmp_path / "table.md").read_text().count("# Toy") == 3


def test_a_plan_of_twice_the_seeds_takes_twice_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = 0
    real = plan.identify

    def counted(facts: Any) -> str:
        nonlocal named
        named += 1
        return real(facts)

    monkeypatch.setattr(plan, "identify", counted)
    counts = []
    for seeds in (4, 8):
        named = 0
        overrides = Overrides(epochs=1)
        more = {"norms": ("adanorm",), "seeds": range(seeds), "overrides": overrides}
        a_study(tmp_path / str(seeds), **more).run()
        counts.append(named)
    assert counts[1] == 2 * counts[0] > 0


def test_early_stopping_tests_the_best_weights(tmp_path: Path) -> None:
    class Peak(Toy):
        """Validation is best after epoch 2; the test number tells whose weights were tested."""

        settings = replace(Toy.settings, epochs=9, patience=3)
        epoch = 0

        def train_epoch(self, *arguments: Any) -> Score:
            self.epoch = arguments[4]
            score = super().train_epoch(*arguments)
            if self.epoch == 2:
                self.weights = self._weights(arguments[0])
            return score

        def evaluate(self, model: nl.nn.Module, data: Points, split: str) -> Score:
            if split == "valid":
                return Score(1.0, 90.0 - abs(self.epoch - 2))
            return Score(1.0, 100.0 if self._weights(model) == self.weights else 0.0)

        def _weights(self, model: nl.nn.Module) -> bytes:
            return b"".join(value.numpy().tobytes() for value in model.state().values())

    (line,) = a_study(tmp_path, Peak(), norms=("layernorm",), seeds=(0,)).run()
    assert (line["epochs"], line["best_epoch"], line["stopped_early"]) == (5, 2, True)
    assert (line["valid"], line["test"]) == (90.0, 100.0)


def test_one_epoch_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_study(tmp_path, norms=("none",), seeds=(0,), overrides=Overrides(epochs=1)).run(Lines())
    said = capsys.readouterr().out
    assert "at most 1 epoch\n" in said and "  1 epoch, best 1" in said


def test_divergence_is_recorded_and_stays_json(tmp_path: Path, report: None) -> None:
    class Diverging(Toy):
        def train_epoch(self, *arguments: Any) -> Score:
            return Score(float("nan") if arguments[4] == 2 else 1.0, 33.0)

    (line,) = a_study(tmp_path, Diverging(), norms=("none",), seeds=(0,)).run()
    assert line["diverged"] and line["epochs"] == 2
    assert line["history"]["train_loss"] == [1.0, None]
    json.loads((tmp_path / "results.jsonl").read_text(), parse_constant=pytest.fail)
    assert "(1 diverged)" in (tmp_path / "table.md").read_text()


class Exploding(Toy):
    """Has weights of NaN from an epoch on, the first for adanorm; all losses are finite."""

    def train_epoch(self, *arguments: Any) -> Score:
        score = super().train_epoch(*arguments)
        model, epoch = arguments[0], arguments[4]
        if epoch == 2 or (isinstance(model, nl.nn.Sequential) and model[1].variant == "adanorm"):
            model[3].bias.fill_(float("nan"))
        return score

    def evaluate(self, model: nl.nn.Module, data: Points, split: str) -> Score:
        return replace(super().evaluate(model, data, split), loss=1.0)

    def save(self, path: Path, model: nl.nn.Module, data: Points, notes: Any) -> None:
        nl.save(path, model.state(), {f"note.{name}": text for name, text in notes.items()})


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_diverged_run_leaves_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: int
) -> None:
    settings = {"norms": ("none", "adanorm"), "seeds": (0,), "save": True, "jobs": jobs}
    lines = a_study(tmp_path, Exploding(), **settings).run(Lines())
    assert all(line["diverged"] for line in lines)
    assert all(0 <= line["test"] <= 100 for line in lines)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert "warning: no model is saved: every run diverged" in capsys.readouterr().out
    # A model that an earlier version has left goes.
    notes = {"task": "toy", "norm": "none", "seed": "0"}
    for line in ResultFile(tmp_path).read():
        if not line["candidate"] and line["norm"] == "none":
            notes["run"] = line["id"]
    metadata = {f"note.{name}": text for name, text in notes.items()}
    nl.save(tmp_path / "model.safetensors", {"x": nl.full(1, math.nan)}, metadata)
    a_study(tmp_path, Exploding(), **settings).run(Lines())
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_diverged_run_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"norms": ("adanorm",), "seeds": (0,), "scales": (1.0,)}
    whole = a_study(tmp_path / "a", Exploding(), **settings).run()
    with monkeypatch.context() as patch:  # killed between the last epoch and the result
        patch.setattr(ResultFile, "append", interrupt)
        with pytest.raises(Interrupted):
            a_study(tmp_path / "b", Exploding(), **settings).run()
    assert list((tmp_path / "b").rglob("*.safetensors"))
    again = a_study(tmp_path / "b", Exploding(), **settings).run()
    assert [line["test"] for line in again] == [line["test"] for line in whole]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


# --- independence of threads and processes -------------------------------------------------------


def test_jobs_change_nothing(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    a_study(tmp_path, jobs=3).run()
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)


class Failing(Toy):
    """Fails in a worker; at module level, so that a process of its own can load it."""

    def train_epoch(self, *arguments: Any) -> Score:
        raise nl.ArgumentError("toy: this cannot be trained")


def test_an_error_in_a_process_arrives(tmp_path: Path) -> None:
    with pytest.raises(nl.Error, match="toy: this cannot be trained"):
        a_study(tmp_path, Failing(), jobs=2).run()


class Endless(Toy):
    """Says that it trains, and waits for a signal."""

    def train_epoch(self, *arguments: Any) -> Score:
        print("training", flush=True)
        while True:
            signal.pause()


class Dying(Toy):
    """Its process ends without a word."""

    def train_epoch(self, *arguments: Any) -> Score:
        os._exit(9)


def test_a_dead_process_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(nl.Error, match=r"its process ended \(exit code 9\)"):
        a_study(tmp_path, Dying(), jobs=2).run()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tasks": ["mnist"]}, r"tasks: must be tasks, as TASKS\['mnist'\]\(\) is; has 'mnist'"),
        ({"tasks": []}, r"tasks: must be a list of one or more; is \[\]"),
        ({"norms": "none"}, "norms: must be a list of one or more; is 'none'"),
        ({"seeds": 3}, "seeds: must be a list of one or more; is 3"),
        ({"tasks": Toy()}, "tasks: must be a list of one or more; is Toy"),
        ({"tasks": [3]}, r"tasks: must be tasks, as TASKS\['mnist'\]\(\) is; has 3"),
        ({"norms": ["none", 3]}, "norms: must be names of variants; has 3"),
        ({"seeds": [0, -1]}, "seeds: must be whole numbers of 0 or more; has -1"),
        ({"seeds": [0.5]}, "seeds: must be whole numbers of 0 or more; has 0.5"),
        ({"scales": [1.0, 0.0]}, "scales: must be positive numbers; has 0.0"),
        ({"scales": [float("inf")]}, "scales: must be positive numbers; has inf"),
        ({"scales": []}, r"scales: must be a list of one or more; is \[\]"),
        ({"jobs": 0}, "jobs: must be a whole number of 1 or more; is 0"),
        ({"threads": 0}, "threads: must be a whole number of 1 or more; is 0"),
        (
            {"overrides": {"epochs": 1}},
            r"overrides: must be Overrides, as Overrides\(epochs=1\) is; is {'epochs': 1}",
        ),
    ],
)
def test_a_study_of_nothing_says_so(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"tasks": [Toy()], "norms": ["none"], "seeds": [0], "out": tmp_path}
    with pytest.raises(nl.ArgumentError, match=said):
        Study(**(given | wrong))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": -1}, "epochs: must be a whole number of 1 or more; is -1"),
        ({"epochs": 1.5}, "epochs: must be a whole number of 1 or more; is 1.5"),
        ({"patience": 0}, "patience: must be a whole number of 1 or more; is 0"),
        ({"batch": True}, "batch: must be a whole number of 1 or more; is True"),
        ({"lr": float("nan")}, "lr: must be a finite number of 0 or more; is nan"),
        ({"lr": -0.1}, "lr: must be a finite number of 0 or more; is -0.1"),
        ({"lr": "0.1"}, "lr: must be a finite number of 0 or more; is '0.1'"),
        ({"denominator": "sum"}, "denominator: must be var_eps or std_eps; is 'sum'"),
    ],
)
def test_overrides_that_no_task_can_train_with_say_so(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(nl.ArgumentError, match=said):
        Overrides(**wrong)


def test_seeds_may_be_numpys(tmp_path: Path) -> None:
    (line,) = a_study(tmp_path, norms=("none",), seeds=np.arange(1)).run()
    assert type(line["seed"]) is int


def test_what_a_study_returns_is_shown_as_its_table(tmp_path: Path) -> None:
    lines = a_study(tmp_path, norms=("none", "layernorm"), seeds=(0,)).run()
    assert isinstance(lines, list) and lines[0]["norm"] == "none"
    assert repr(lines) == str(nl.report.summary(lines)) and "| layernorm |" in repr(lines)
    assert lines._repr_html_() == nl.report.summary(lines)._repr_html_()
    assert repr(type(lines)()) == "[]" and type(lines)()._repr_html_() is None


def test_a_process_that_died_before_its_first_run_is_noticed() -> None:
    class Dead:
        exitcode = 9

        def join(self, timeout: float) -> None:
            pass

    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    first = run.Run("toy", "none", 0, Toy.settings, "points", None)
    at_work: dict[Any, run.Run] = {}
    workers._send_next(ours, [first], at_work)
    assert at_work == {ours: first}
    with pytest.raises(nl.Error, match=r"its process ended \(exit code 9\)"):
        workers._receive(ours, Dead(), first)  # type: ignore[arg-type]


@pytest.fixture
def digits() -> ImageTask:
    """The paper's network on few generated digits."""
    task = ImageTask(
        "digits",
        "Digits",
        lambda: standin_digits(0, train=200, valid=40, test=60),
        mean=0.13,
        std=0.31,
    )
    task.settings = Settings(epochs=2, patience=2, batch=32, lr=1e-3)
    return task


@pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())
def test_the_network_learns_the_same_on_cuda(tmp_path: Path, digits: ImageTask) -> None:
    digits._read = lambda: standin_digits(0, train=80, valid=20, test=20)
    settings = {"norms": ("layernorm",), "seeds": (0,), "save": True}
    (here,) = a_study(tmp_path / "cpu", digits, **settings).run()
    (there,) = a_study(tmp_path / "cuda", digits, device="cuda", **settings).run()
    for name in ("train_loss", "valid_loss"):
        assert there["history"][name] == pytest.approx(here["history"][name], rel=1e-3)
    assert (here["device"], there["device"]) == ("cpu", "cuda")
    assert there["gpu"] == nl.cuda.properties()["name"]
    assert here["id"] != there["id"]
    kept = nl.load(tmp_path / "cuda" / "model.safetensors")
    digits.build(None, NormChoice("layernorm", {})).load_state(kept)  # type: ignore[arg-type]
    first, second = groups([here, there], ["layernorm"])
    assert second.heading == first.heading + ", on cuda"


def test_the_network_gives_the_same_numbers_for_any_number_of_threads(
    tmp_path: Path, digits: ImageTask
) -> None:
    threads = nl.num_threads()
    norms = ("layernorm", "batchnorm", "adanorm")
    try:
        found = []
        for count in (1, 2, 3):
            one = a_study(tmp_path / str(count), digits, norms=norms, seeds=(0,), threads=count)
            found.append(numbers(one.run()))
            assert nl.num_threads() == count
    finally:
        nl.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
    assert found[0][0]["warning"] == "stand-in digits (generated), not MNIST"


def test_every_variant_trains_in_the_papers_network(tmp_path: Path, digits: ImageTask) -> None:
    found = a_study(
        tmp_path,
        digits,
        norms=nl.norm_variants(),
        seeds=(0,),
        overrides=Overrides(epochs=1, denominator="std_eps"),
    ).run()
    assert [line["norm"] for line in found] == list(nl.norm_variants())
    assert not any(line["diverged"] for line in found)


# --- interruptions -------------------------------------------------------------------------------


class Crash(BaseException):
    """Nothing may catch it: stands for the end of the process."""


@pytest.mark.parametrize("point", range(1, EPOCHS + 1, 3))
def test_a_crash_in_any_epoch_changes_no_number(
    tmp_path: Path, whole: list[dict[str, Any]], point: int
) -> None:
    epochs = 0

    def crash(epoch: int) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == point:
            raise Crash

    with pytest.raises(Crash):
        a_study(tmp_path, Toy(crash)).run()
    trained: list[int] = []
    a_study(tmp_path, Toy(trained.append)).run()
    assert len(trained) == EPOCHS - (point - 1), "only what was missing is trained"
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)
    assert not (tmp_path / "running").exists()


@pytest.mark.parametrize(
    ("module", "name"), [(run, "save"), (study.ResultFile, "append"), (study, "checkpoint_of")]
)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("point", [1, 5, 7])
def test_a_crash_around_any_write_changes_no_number(
    tmp_path: Path,
    whole: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    after: bool,
    point: int,
) -> None:
    calls, real = 0, getattr(module, name)

    def crash(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == point and not after:
            raise Crash
        result = real(*arguments)
        if calls == point:
            raise Crash
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, crash)
        with pytest.raises(Crash):
            a_study(tmp_path).run()
    a_study(tmp_path).run()
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)
    assert not (tmp_path / "running").exists()


_CHILD = """
import sys
from pathlib import Path
from test_study import Toy, a_study

def say(epoch):
    print(epoch, flush=True)
    sys.stdin.readline()

a_study(Path(sys.argv[1]), Toy(say), jobs=int(sys.argv[2])).run()
"""


@contextmanager
def child(out: Path, jobs: int = 1) -> Iterator["subprocess.Popen[str]"]:
    """A study in a process of its own that waits for a word before each epoch."""
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(out), str(jobs)],
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def advance(process: "subprocess.Popen[str]", epochs: int) -> None:
    """Lets the child do so many epochs and stop at the start of the next."""
    assert process.stdin and process.stdout
    done = 0
    while True:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        if line.strip().isdigit():
            if done == epochs:
                return
            done += 1
            process.stdin.write("\n")
            process.stdin.flush()


@pytest.mark.parametrize("epochs", [0, 6])
def test_kill_9_changes_no_number(tmp_path: Path, whole: list[dict[str, Any]], epochs: int) -> None:
    with child(tmp_path) as process:
        advance(process, epochs)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    trained: list[int] = []
    a_study(tmp_path, Toy(trained.append)).run()
    assert len(trained) == EPOCHS - epochs
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)


class Jumping(datetime):
    """A clock that goes back a day each time, and forth a year at times."""

    told: ClassVar[list[datetime]] = []

    @classmethod
    def now(cls, tz: Any = None) -> "Jumping":
        days = 365 * (len(cls.told) % 3 == 1) - len(cls.told)
        cls.told.append(super().now(tz) + timedelta(days=days))
        return cast("Jumping", cls.told[-1])


def test_a_clock_that_jumps_changes_no_number(
    tmp_path: Path, whole: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, report: None
) -> None:
    def crash(epoch: int) -> None:
        if epoch == 3 and len(ResultFile(tmp_path).read()) == 3:
            raise Crash

    Jumping.told.clear()
    monkeypatch.setattr(run, "datetime", Jumping)
    monkeypatch.setattr("tqdm.std.time", lambda: Jumping.now(timezone.utc).timestamp())
    with pytest.raises(Crash):
        a_study(tmp_path, Toy(crash)).run(Bar())
    for path in tmp_path.rglob("*"):  # files from the future are no newer than those to come
        os.utime(path, (1e10, 1e10))
    a_study(tmp_path).run(Bar())
    found = ResultFile(tmp_path).read()
    assert numbers(found) == numbers(whole)
    days = [line["finished"][:10] for line in found]
    assert days != sorted(days) and days != sorted(days, reverse=True), "the clock did jump"
    assert all(line["seconds"] >= 0 for line in found)
    assert f"{max(days)}</p>" in (tmp_path / "report.html").read_text("utf-8")


def test_ctrl_c_says_how_far_it_came(tmp_path: Path) -> None:
    def interrupt(epoch: int) -> None:
        if ResultFile(tmp_path).read():
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="1 of 8 runs are finished"):
        a_study(tmp_path, Toy(interrupt)).run()


def test_a_checkpoint_of_something_else_is_an_error(tmp_path: Path) -> None:
    def crash(epoch: int) -> None:
        if epoch == 3:
            raise Crash

    with pytest.raises(Crash):
        a_study(tmp_path, Toy(crash)).run()
    (checkpoint,) = (tmp_path / "running").iterdir()
    whole_file = checkpoint.read_bytes()
    for damaged in (b"", whole_file[:100], whole_file[:-1], b"x" * 1000):
        checkpoint.write_bytes(damaged)
        with pytest.raises(nl.FileError, match=r"is no checkpoint of this run.*Remove it"):
            a_study(tmp_path).run()
    nl.save(str(checkpoint), {}, {"id": "another"})
    with pytest.raises(nl.FileError, match="is of run another"):
        a_study(tmp_path).run()


# --- results.jsonl -------------------------------------------------------------------------------


def test_a_cut_last_line_is_repaired_wherever_it_is_cut(
    tmp_path: Path, whole: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = ResultFile(tmp_path)
    for line in whole[:3]:
        file.append(line)
    data = file.path.read_bytes()
    start = data[:-1].rindex(b"\n") + 1
    for cut in range(start + 1, len(data) - 1):
        file.path.write_bytes(data[start:cut])
        assert file.read() == [], "reading is as forgiving"
    for cut in (start + 1, start + 50, (start + len(data)) // 2, len(data) - 2):
        file.path.write_bytes(data[:cut])
        assert file.read() == whole[:2]
        assert "line 3 was cut" in str(file.repair())
        assert file.path.read_bytes() == data[:start]
        assert file.repair() is None
    file.path.write_bytes(data[:-1])  # only the newline is missing: the line is whole
    assert file.read() == whole[:3]
    assert file.repair() is None
    assert file.path.read_bytes() == data

    file.path.write_bytes(data[:-20])
    a_study(tmp_path).run(Lines())
    assert "warning: " in capsys.readouterr().out
    assert numbers(file.read()) == numbers(whole)


@pytest.mark.parametrize(
    ("garbage", "message"),
    [
        (b"\x00\xff garbage", "line 2 is no JSON object"),
        (b"[1, 2]", "line 2 is no JSON object"),
        (b"", "line 2 is no JSON object"),
        (b'{"id": "x"}', "line 2 is no result: 'task' is missing"),
    ],
)
def test_garbage_in_the_middle_is_an_error(
    tmp_path: Path, whole: list[dict[str, Any]], garbage: bytes, message: str
) -> None:
    file = ResultFile(tmp_path)
    for line in whole[:2]:
        file.append(line)
    lines = file.path.read_bytes().split(b"\n")
    file.path.write_bytes(b"\n".join([lines[0], garbage, lines[1], b""]))
    with pytest.raises(nl.FileError, match=message):
        a_study(tmp_path, Toy(pytest.fail)).run()


def test_a_field_of_another_type_is_an_error(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    file = ResultFile(tmp_path)
    for wrong, message in (
        ({"test": "99"}, "'test' is '99'"),
        ({"history": {"train": []}}, "'train_loss' is missing"),
        ({"settings": {"epochs": 3}}, "'patience' is missing"),
        ({"test": float("nan")}, "'test' is nan"),
        ({"history": whole[0]["history"] | {"valid": 3}}, "'valid' is 3"),
        ({"history": whole[0]["history"] | {"train": ["x"]}}, r"'train' is \['x'\]"),
        (
            {"history": whole[0]["history"] | {"train_loss": [0.5]}},
            "'history' must have a number of each kind for every epoch, has {'train_loss': 1, ",
        ),
        ({"history": {name: [] for name in whole[0]["history"]}}, "'history' must have a number"),
    ):
        file.path.write_text(json.dumps(whole[0] | wrong) + "\n")
        with pytest.raises(nl.FileError, match=f"line 1 is no result: {message}"):
            file.read()


# --- the folder ----------------------------------------------------------------------------------


def test_one_study_a_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(nl.FileError, match=rf"another study \(process {os.getpid()}\) is running"),
    ):
        a_study(tmp_path, Toy(pytest.fail)).run()


def test_an_output_folder_that_cannot_be_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(nl.FileError, match="output folder cannot be written"):
        a_study(tmp_path / "file" / "out", Toy(pytest.fail)).run()


def test_a_full_disk_is_an_error_before_training(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(nl.FileError, match="must take 8 MiB: File too large"):
            a_study(tmp_path, Toy(pytest.fail)).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / ".probe").exists()


@pytest.mark.parametrize("point", [1, 2, 5])
def test_a_disk_that_fills_up_loses_nothing(
    tmp_path: Path, whole: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    writes, real = 0, os.write

    def full(file: int, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes < point:
            return real(file, data)
        if writes == point:
            return real(file, data[: len(data) // 2])  # what still fits
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(nl.FileError, match=r"No space left on device. Nothing is lost"):
            a_study(tmp_path).run()
    assert len(ResultFile(tmp_path).read()) == point - 1
    assert ResultFile(tmp_path).repair() is None, "the half line is taken back"
    a_study(tmp_path).run()
    assert numbers(ResultFile(tmp_path).read()) == numbers(whole)


# --- tasks ---------------------------------------------------------------------------------------


def test_errors_come_before_training(tmp_path: Path) -> None:
    with pytest.raises(nl.Error, match="nonsense"):
        a_study(tmp_path, Toy(pytest.fail), norms=("none", "nonsense")).run()
    with pytest.raises(nl.Error, match="denominator"):
        a_study(
            tmp_path,
            Toy(pytest.fail),
            norms=("none", "layernorm"),
            overrides=Overrides(denominator="sum_eps"),
        ).run()


def missing() -> Any:
    raise DataMissingError("mnist: nowhere")


def test_only_quick_takes_the_stand_in_and_says_so(tmp_path: Path, report: None) -> None:
    task = ImageTask(
        "mnist",
        "MNIST",
        missing,
        mean=0.13,
        std=0.31,
        standin=lambda: standin_digits(0, train=64, valid=32, test=32),
    )
    task.quick = replace(task.quick, epochs=1)
    with pytest.raises(DataMissingError, match="nowhere"):
        a_study(tmp_path, task).run()
    (line, _) = a_study(tmp_path, task, norms=("none", "layernorm"), seeds=(0,), quick=True).run()
    warning = "stand-in digits (generated), not MNIST"
    assert line["warning"] == warning and warning in line["data"]
    for name in ("table.md", "report.html", "results.jsonl"):
        assert warning in (tmp_path / name).read_text()
    assert "99.14" not in (tmp_path / "table.md").read_text(), "no number of the paper beside it"


def test_the_registry() -> None:
    for name, make in TASKS.items():
        task = make()
        assert task.name == name
        assert task.quick.epochs < task.settings.epochs
        assert task.metric and task.model
        assert task.unit or name == "translate"  # BLEU has none


# --- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "batch", "lengths"),
    [(6, 3, [3, 3]), (5, 3, [3, 2]), (7, 3, [3, 4]), (4, 3, [4]), (1, 3, [1]), (2, 1, [1, 1])],
)
def test_no_example_is_alone_in_the_last_batch(n: int, batch: int, lengths: list[int]) -> None:
    batches = list(shuffled(n, batch))
    assert [len(index) for index in batches] == lengths
    assert sorted(i for index in batches for i in index.tolist()) == list(range(n))
