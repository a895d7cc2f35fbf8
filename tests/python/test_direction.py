# ruff: noqa: RUF001  (typographic minus)
"""A metric in which less is better: every choice, table, page and verdict follows it."""

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_report import result
from test_study import Toy, a_study

import normlab as nl
from normlab import paper
from normlab.paper import CLAIMS, RESULTS
from normlab.report import groups
from normlab.report.page import page
from normlab.report.paper import columns, findings
from normlab.report.paper.words import ours
from normlab.report.plots import differences
from normlab.report.plots import tests as draw_tests
from normlab.report.summary import summary
from normlab.report.table import markdown
from normlab.results import ResultFile
from normlab.study import TASKS, Overrides, Score
from normlab.study.display import line


class Bits(Toy):
    """The toy with a metric in which less is better; `curve` replaces what it measures."""

    metric, unit, higher_is_better = "bits a character", "bits", False

    def __init__(self, curve: Sequence[float] = ()):
        super().__init__()
        self.curve = curve
        self.passes = 0

    def evaluate(self, model: nl.nn.Module, data: Any, split: str) -> Score:
        found = super().evaluate(model, data, split)
        self.passes += split == "valid"
        metric = self.curve[self.passes - 1] if self.curve else found.loss / math.log(2)
        return replace(found, metric=metric)


class Right(Bits):
    """The same numbers as if more were better."""

    higher_is_better = True


CURVE = (3.0, 2.0, 2.5, 2.6)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than the toy's training."""
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


# --- choices -------------------------------------------------------------------------------------


def test_the_epoch_with_the_least_is_tested(tmp_path: Path) -> None:
    (bits,) = a_study(tmp_path / "bits", Bits(CURVE), norms=("none",), seeds=(0,)).run()
    assert (bits["best_epoch"], bits["valid"], bits["higher_is_better"]) == (2, 2.0, False)
    (right,) = a_study(tmp_path / "right", Right(CURVE), norms=("none",), seeds=(0,)).run()
    assert (right["best_epoch"], right["valid"], right["higher_is_better"]) == (1, 3.0, True)


def test_training_stops_when_the_number_no_longer_falls(tmp_path: Path) -> None:
    short = Overrides(patience=1)
    given: dict[str, Any] = {"norms": ("none",), "seeds": (0,), "overrides": short}
    (bits,) = a_study(tmp_path / "bits", Bits(CURVE), **given).run()
    assert (bits["epochs"], bits["stopped_early"]) == (3, True)
    (right,) = a_study(tmp_path / "right", Right(CURVE), **given).run()
    assert (right["epochs"], right["stopped_early"]) == (2, True)


def test_c_is_that_of_the_least_number(tmp_path: Path) -> None:
    for chosen in a_study(tmp_path, Bits(), norms=("adanorm",), scales=(0.5, 1.0, 2.0)).run():
        tried = [
            each
            for each in ResultFile(tmp_path).read()
            if each["candidate"] and each["seed"] == chosen["seed"]
        ]
        assert len({each["valid"] for each in tried}) == 3
        best = min(tried, key=lambda each: each["valid"])
        assert (chosen["C"], chosen["test"]) == (best["C"], best["test"])


class Saved(Bits):
    """Saves its network."""

    def save(self, path: Path, model: nl.nn.Module, data: Any, notes: Any) -> None:
        nl.save(path, model.state(), {f"note.{name}": text for name, text in notes.items()})


def test_the_saved_model_is_that_of_the_least_number(tmp_path: Path) -> None:
    runs = a_study(tmp_path, Saved(), norms=("none", "layernorm"), save=True).run()
    best = min(runs, key=lambda each: each["valid"])
    assert len({each["valid"] for each in runs}) == len(runs)
    assert nl.load_with_metadata(tmp_path / "model.safetensors")[1]["note.run"] == best["id"]


# --- reports -------------------------------------------------------------------------------------


def bits(norm: str, tests: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    """Lines of a variant's runs."""
    kind = {"metric": "bits a character", "unit": "bits", "higher_is_better": False}
    return [result(norm, seed, test, **kind, **more) for seed, test in enumerate(tests)]


LINES = [
    *bits("none", (2.612, 2.621, 2.615)),
    *bits("layernorm", (2.512, 2.524, 2.518)),
    *bits("adanorm", (2.4, 2.413, 2.405)),
]


def test_the_least_mean_is_the_best_row() -> None:
    (group,) = groups(LINES, paper.NORMS)
    assert group.best.norm == "adanorm"
    text = markdown([group])
    assert "| test bits a character (less is better) |" in text
    assert "| adanorm | **2.406 ± 0.016** | ▼ −0.112 ± 0.002 |" in text
    assert "| none | 2.616 ± 0.011 | ▲ +0.098 ± 0.004 |" in text
    assert "Less is better: a variant marked ▼ is better than layernorm" in text


def test_the_page_names_the_lowest_mean_and_colours_a_fall_as_better() -> None:
    html = page(groups(LINES, paper.NORMS))
    assert "adanorm has the lowest mean on the test set, 2.406 ± 0.016 bits." in html
    assert '<td class="up">▼ −0.112 ± 0.002</td>' in html
    assert '<td class="down">▲ +0.098 ± 0.004</td>' in html
    assert html.count('<tr class="best"><th scope="row"') == 1
    best = html[html.index('<tr class="best">') :]
    assert best[: best.index("</th>")].endswith("adanorm")
    assert "<td>2.612</td>" in html  # every run
    assert "points" not in html and "%</td>" not in html


def test_a_notebook_marks_the_least_mean() -> None:
    html = summary(LINES)._repr_html_()
    assert "less is better" in html
    cells = [cell.partition("</td>")[0] for cell in html.split("<td")[1:]]
    marked = [cell.rpartition(">")[2] for cell in cells if "font-weight:600" in cell]
    assert marked == ["adanorm", "2.406 ± 0.016"]


def test_pictures_have_the_unit_and_the_direction() -> None:
    from matplotlib.figure import Figure

    (group,) = groups(LINES, paper.NORMS)
    ax = Figure().subplots()
    differences(ax, group)
    assert ax.get_xlabel() == "difference to layernorm, paired by seed (bits)"
    ax = Figure().subplots()
    draw_tests(ax, group)
    assert "less is better" in ax.get_xlabel()


def test_a_finished_run_in_a_line(tmp_path: Path) -> None:
    study = a_study(tmp_path, Bits(CURVE), norms=("none",), seeds=(0,))
    (found,) = study.run()
    run = study._plan({"toy": (study.tasks[0], Toy().load())})[0].runs[0]
    assert f"test {found['test']:.3f} bits  valid 2.000 bits" in line(run, found)


def test_of_the_paper_a_fall_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    column = RESULTS["enwiki8"]
    filler = replace(column.fillers[-1], task="mnist")
    ours_alone = {"enwiki8": replace(column, fillers=(filler,))}
    monkeypatch.setattr(sys.modules["normlab.report.paper.columns"], "RESULTS", ours_alone)
    found = columns(LINES, {})
    (filled,) = found
    assert ours(filled, "adanorm") == "2.406 ± 0.016"
    claim = next(each for each in findings(found) if each.claim is CLAIMS[4])
    (one,) = claim.counted
    assert one.word == "better" and one.estimate and one.estimate.mean == pytest.approx(0.112)


def test_tasks_and_columns_of_the_paper_agree() -> None:
    for column in RESULTS.values():
        for filler in column.fillers:
            if filler.task in TASKS:
                assert TASKS[filler.task]().higher_is_better == column.higher_is_better


# --- lines ---------------------------------------------------------------------------------------


def test_a_line_without_direction_is_of_a_metric_in_which_more_is_better(tmp_path: Path) -> None:
    old = result("none", 0, 99.0)
    assert "higher_is_better" not in old
    file = ResultFile(tmp_path)
    file.append(old)
    (group,) = groups(file.read(), paper.NORMS)
    assert group.higher_is_better
    file.append(result("none", 1, 99.0, higher_is_better="yes"))
    with pytest.raises(nl.FileError, match="line 2 is no result: 'higher_is_better' is 'yes'"):
        file.read()
