# ruff: noqa: RUF001  (typographic minus)
"""normlab paper: which runs fill the paper's table, its verdicts, its page and its PDF."""

import errno
import io
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from test_cli import normlab
from test_report import _Balance, result
from test_study import Toy

import normlab as nl
from normlab import paper, study
from normlab.cli.paper import paper as command
from normlab.data import DataMissingError
from normlab.paper import CLAIMS, RESULTS, VARIANTS, Filler, PaperTask
from normlab.report import stats
from normlab.report.paper import columns, findings, write_paper
from normlab.report.paper.columns import Column
from normlab.report.paper.page import page
from normlab.report.paper.pdf import pdf
from normlab.report.paper.verdicts import Finding
from normlab.report.paper.words import markdown, notes, repeat, verdict
from normlab.results import locked
from normlab.study import ResultFile
from normlab.study.paper import NO_TASK, PaperStudy, Shortened, known_tasks, untasked
from normlab.study.run import Run, Trainer
from normlab.study.standins import STANDINS

SIMPLE, ADANORM = CLAIMS[1], CLAIMS[4]


def lines(
    norm: str, tests: Sequence[float], task: str = "mnist", first: int = 0, **more: Any
) -> list[dict[str, Any]]:
    """A variant's runs of seeds first, first + 1, ..."""
    title = {
        "mnist": "MNIST",
        "rt": "RT",
        "sst5": "SST5",
        "parse": "UD English-EWT",
        "translate": "Multi30k En-De",
        "translate_multi30k_de_en": "Multi30k De-En",
        "en_vi": "IWSLT15 En-Vi",
    }[task]
    return [
        result(norm, seed, test, task=task, title=title, **more)
        for seed, test in enumerate(tests, first)
    ]


def two(ours: Sequence[float], base: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    """LayerNorm-simple and LayerNorm."""
    return [*lines("layernorm_simple", ours, **more), *lines("layernorm", base, **more)]


def found(results: list[dict[str, Any]], claim: Any = SIMPLE) -> Finding:
    return next(each for each in findings(columns(results, {})) if each.claim is claim)


def column(results: list[dict[str, Any]], name: str = "mnist") -> Column:
    return next(each for each in columns(results, {}) if each.name == name)


def cell(results: list[dict[str, Any]], name: str = "mnist", claim: Any = SIMPLE) -> Any:
    (one,) = [x for x in found(results, claim).comparisons if x.column.name == name]
    return one


# --- statistics ----------------------------------------------------------------------------------


def test_p_value_is_that_of_the_paired_t_test() -> None:
    a, b = np.random.default_rng(0).normal(0, 1, (2, 7))
    expected = scipy_stats.ttest_rel(a, b).pvalue
    assert stats.p_value(list(a - b)) == pytest.approx(expected)
    assert stats.p_value([1.0]) is None and stats.p_value([1.0, 1.0]) is None


def test_sign_test_is_the_binomial_one() -> None:
    assert stats.sign_test(7, 1) == pytest.approx(2 * 9 / 256), "8 over 1 and 8 over 0"
    assert stats.sign_test(3, 0) == pytest.approx(0.25)
    assert stats.sign_test(0, 0) is None


def test_holm_as_in_closed_form() -> None:
    assert stats.holm([0.01, None, 0.04, 0.03]) == [
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0] and stats.holm([None]) == [None]


def test_stouffers_test_of_one_sample_is_its_t_test() -> None:
    sample = [0.3, 0.5, 0.1, 0.4]
    p, sign = stats.combined([sample, [1.0]]) or (0, 0)
    assert (p, sign) == (pytest.approx(stats.p_value(sample)), 1)
    assert stats.combined([[-x for x in sample]]) == (pytest.approx(p), -1)
    both, _ = stats.combined([sample, [-x for x in sample]]) or (0, 0)
    assert both == pytest.approx(1.0)
    assert stats.combined([[1.0], []]) is None


@pytest.mark.parametrize(("effect", "n"), [(0.5, 10), (1.0, 5), (0.3, 90)])
def test_power_is_that_of_the_noncentral_t(effect: float, n: int) -> None:
    bound = scipy_stats.t.ppf(0.975, n - 1)
    shift = effect * math.sqrt(n)
    nct = scipy_stats.nct
    expected = nct.sf(bound, n - 1, shift) + nct.cdf(-bound, n - 1, shift)
    assert stats.power(-2 * effect, 2.0, n) == pytest.approx(expected, rel=1e-6)


def test_seeds_needed_is_the_least_with_that_power() -> None:
    assert stats.seeds_needed(0.5, 1.0) == 34, "as tables of power have it"
    n = stats.seeds_needed(-0.3, 1.0)
    assert n and stats.power(0.3, 1.0, n) >= 0.8 > stats.power(0.3, 1.0, n - 1)
    assert stats.seeds_needed(0.001, 1.0) is None and stats.seeds_needed(0.0, 1.0) is None
    assert stats.seeds_needed(9.0, 0.01) == 2


# --- verdicts ------------------------------------------------------------------------------------


def test_words_of_one_task() -> None:
    base = [99.0, 99.1, 99.2]
    up, down = [99.5, 99.61, 99.69], [98.5, 98.61, 98.69]
    assert cell(two(up, base)).word == "better"
    assert cell(two(down, base)).word == "worse"
    unsure = cell(two([99.2, 98.9, 99.4], base))
    assert (unsure.word, unsure.why) == ("undecided", "")
    assert unsure.more_seeds == f"about {stats.seeds_needed(0.2 / 3, 0.2309401) - 3}"
    assert cell(two(up, base)).more_seeds == "", "it is decided"


def test_less_is_better_where_the_metric_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = replace(RESULTS["mnist"], higher_is_better=False)
    monkeypatch.setattr(sys.modules["normlab.report.paper.columns"], "RESULTS", {"mnist": turned})
    one = cell(two([1.0, 1.01, 0.99], [1.1, 1.12, 1.1]))
    assert (one.word, one.direction) == ("better", 1) and one.relative > 0
    assert one.authors == "better", "99.09 < 99.13"


def test_words_where_nothing_can_be_said() -> None:
    one_seed = cell(two([99.5], [99.0]))
    assert (one_seed.word, one_seed.why) == ("undecided", "one seed: no interval")
    apart = lines("layernorm_simple", [99.0]) + lines("layernorm", [99.0], first=5)
    assert (cell(apart).word, cell(apart).why) == ("not measured", "no seed in common")
    alone = cell(lines("layernorm", [99.0]))
    assert (alone.word, alone.why) == ("not measured", "no run of LayerNorm-simple")
    equal = cell(two([99.5, 99.5], [99.0, 99.0]))
    assert (equal.word, equal.why) == ("undecided", "no spread over the seeds")
    assert cell(two([99.0], [99.0]), "rt").why == "not run"


def test_a_variant_that_diverges_is_worse_and_one_run_is_left_out() -> None:
    base = lines("layernorm", [99.0, 99.1, 99.2])
    lost = lines("layernorm_simple", [9.8, 9.8, 9.8], diverged=True)
    one = cell(lost + base)
    assert (one.word, one.why, one.direction) == ("worse", "LayerNorm-simple diverges", -1)
    assert cell(lost + lines("layernorm", [9.8], diverged=True)).word == "undecided"
    some = [*lines("layernorm_simple", [99.5, 99.61]), lost[2], *base]
    assert cell(some).differences == pytest.approx([0.5, 0.51])
    assert "1 diverged and left out" in cell(some).why
    table = markdown(columns(lost + base, {}), findings(columns(lost + base, {})))
    assert "diverges [99.09]" in table
    assert "(1 of 3 diverged) [99.09]" in markdown(columns(some, {}), [])


def test_the_authors_own_numbers_give_their_counts() -> None:
    assert found(two([99.0], [99.0]), ADANORM).authors == (7, 8)
    assert found(two([99.0], [99.0])).authors == (4, 8)
    assert found(two([99.0], [99.0]), CLAIMS[0]).authors == (6, 8)
    assert found(two([99.0], [99.0]), CLAIMS[2]).authors == (0, 0)


def many(shift: float) -> list[dict[str, Any]]:
    noise = [0.01, -0.02, 0.03, 0.0, -0.01]
    tasks = ("rt", "sst5", "mnist", "parse")
    return [
        line
        for i, task in enumerate(tasks)
        for line in two([90 + i + shift + x for x in noise], [90 + i - x for x in noise], task=task)
    ]


def test_the_verdict_over_all_tasks() -> None:
    one = found(many(0.5))
    assert (one.number("better"), one.signs, one.verdict) == (4, (4, 0), "holds")
    differences = [0.52, 0.46, 0.56, 0.5, 0.48]
    z = scipy_stats.norm.isf(scipy_stats.ttest_1samp(differences, 0, alternative="greater").pvalue)
    expected = 2 * scipy_stats.norm.sf(2 * z)  # four equal samples
    assert one.combined_p == pytest.approx(expected, rel=1e-4)
    assert one.signs_p == pytest.approx(0.125)
    relative = [100 * 0.504 / (90 + i - 0.002) for i in range(4)]
    assert one.pooled and one.pooled.mean == pytest.approx(np.mean(relative))
    assert found(many(-0.5)).verdict == "is contradicted"
    assert found(many(0.0)).verdict == "undecided"
    assert "The claim holds here." in verdict(one)
    assert "better on 4, worse on 0, undecided on 0 (95 %)" in verdict(one)
    assert "By the authors' single numbers it is better on 4 of 8." in verdict(one)
    assert verdict(found(many(0.5), ADANORM)).startswith("Not measured.")


def test_p_values_are_corrected_for_all_comparisons_of_the_page() -> None:
    one = found(many(0.5))
    ps = [each.p for each in one.comparisons]
    assert [each.holm for each in one.comparisons] == stats.holm(ps)
    assert [one.signs_holm, one.combined_holm] == stats.holm([one.signs_p, one.combined_p])


# --- which runs fill a column --------------------------------------------------------------------


def test_every_column_has_variants_a_filler_and_a_name() -> None:
    assert len(RESULTS) == 8 and set(VARIANTS) <= set(nl.norm_variants()) & set(paper.NAMES)
    assert all(each.fillers for each in RESULTS.values())
    assert paper.COUNTERPARTS["parse"] == "ptb"
    tasks = [filler.task for each in RESULTS.values() for filler in each.fillers]
    assert len(set(tasks)) == len(tasks), "a task fills one column"
    assert set(STANDINS) <= set(tasks) & set(known_tasks())
    for name, make in known_tasks().items():
        assert make().name == name


def test_data_in_place_of_the_papers_are_labelled_everywhere() -> None:
    generated = "stand-in digits (generated), not MNIST"
    results = [*two([99.1, 99.2], [99.0, 99.1], warning=generated), *many(0.1)[-10:]]
    found_columns, judged = columns(results, {}), findings(columns(results, {}))
    for text in (page(found_columns, judged), markdown(found_columns, judged)):
        assert f"{generated}, in place of MNIST" in text
        assert "UD English-EWT, in place of PTB" in text
    only = two([99.1, 99.2], [99.0, 99.1], warning=generated)
    assert found(only).verdict == "only stand-ins were measured"
    assert verdict(found(only)).startswith("No verdict: only stand-ins were measured.")
    assert column(results).label and not column(many(0.1), "rt").label


def test_a_column_prefers_real_data_then_the_whole_experiment_and_names_the_rest() -> None:
    said = {"warning": "stand-in digits (generated), not MNIST", "fingerprint": "g"}
    generated = two([50.0, 51.0], [50.0, 51.0], **said)
    part = two([60.0, 61.0], [60.0, 61.0], settings={"train_items": 100})
    whole = two([99.0, 99.1], [99.0, 99.1])
    one = column([*generated, *part, *whole])
    assert one.mean("layernorm") == stats.estimate([99.0, 99.1]) and len(one.others) == 2
    assert any("first 100 of 55,000" in note for note in notes([one]))
    assert column([*generated, *part]).mean("layernorm") == stats.estimate([60.0, 61.0])


def test_columns_without_runs_say_why() -> None:
    reasons = untasked()
    assert reasons == {}, "every column has a task"
    said = {"en_vi": "no data: no talks", "rt": "no data: gone"}
    text = markdown(columns(two([99.0], [99.0]), said), [])
    assert "En-Vi, BLEU, no data: no talks" in text and "RT, accuracy, %, no data: gone" in text
    assert "PTB, UAS, %, not run" in text and "– [31.60]" in text


def test_a_long_reason_is_cut_in_the_table_and_whole_in_the_notes() -> None:
    long = f"no data: train.en is not on this machine and could not {'be downloaded ' * 20}"
    found_columns = columns(two([99.0], [99.0]), {"en_vi": long, "rt": "no data: gone"})
    text = markdown(found_columns, findings(found_columns))
    assert "En-Vi, BLEU, no data: train.en is not on this machine and could not be … |" in text
    assert long not in text and "RT, accuracy, %, no data: gone" in text
    assert [note for note in notes(found_columns) if "no data" in note] == [f"En-Vi: {long}"]


def test_both_directions_and_other_languages_share_a_folder(tmp_path: Path) -> None:
    """Each column has its own lines, also of older versions, which had no direction of a metric."""
    bleu = {"metric": "BLEU", "unit": "", "fingerprint": "multi30k"}
    tasks = {"translate": 38.0, "translate_multi30k_de_en": 42.0, "en_vi": 27.0}
    for task, mean in tasks.items():
        for line in two([mean, mean + 0.2], [mean - 0.1, mean], task=task, **bleu):
            ResultFile(tmp_path).append(line)
    results = ResultFile(tmp_path).read()
    found_columns, judged = columns(results, {}), findings(columns(results, {}))
    text = markdown(found_columns, judged)
    for name, task in (("en_de", "translate"), ("de_en", "translate_multi30k_de_en")):
        one = column(results, name)
        assert one.mean("layernorm_simple") == stats.estimate([tasks[task], tasks[task] + 0.2])
        assert one.others == [] and one.label.endswith(f"in place of {RESULTS[name].title}")
    assert "Multi30k En-De, in place of En-De" in text
    assert "Multi30k De-En, in place of De-En" in text
    assert column(results, "en_vi").label == "", "the paper's own data"
    for shown in (text, page(found_columns, judged, _no_picture)):
        assert all(number in shown for number in ("38.10", "42.10", "27.10"))
    untrained = [line for line in results if line["task"] != "translate_multi30k_de_en"]
    assert column(untrained, "de_en").group is None, "the other direction does not stand in"


def test_runs_of_several_versions_are_said() -> None:
    results = [*lines("layernorm", [99.0], version="0.0.9"), *lines("none", [99.0])]
    assert any("several versions of normlab (0.0.9, 0.1.0)" in x for x in notes([column(results)]))


def test_each_column_tells_how_to_repeat_it() -> None:
    group = column(two([99.0, 99.1], [99.0, 99.1])).group
    assert group and repeat(group) == (
        "normlab study --task mnist --norm layernorm layernorm_simple --seeds 0,1, --epochs 20 "
        "--patience 5 --batch 32 --lr 0.001 --denominator var_eps"
    )
    part = column(two([99.0], [99.0], settings={"train_items": 100})).group
    assert part and " --quick --epochs 20 " in repeat(part)
    (short,) = (filler.quick for filler in RESULTS["mnist"].fillers)
    settings = {**short, "patience": short["epochs"]}
    quick = column(two([99.0], [99.0], settings=settings))
    assert quick.group and repeat(quick.group) == "normlab paper --quick --seeds 0,"
    assert "the short settings of --quick" in quick.limits


# --- files ---------------------------------------------------------------------------------------


def test_a_page_escapes_what_it_is_given() -> None:
    assert "&lt;b&gt;" in page(columns(lines("layernorm", [99.0], data="<b>"), {}), [], _no_picture)


def _no_picture(name: str, draw: Any) -> None:
    """An attempt that fails at once."""


def test_pdf_has_the_numbers_of_the_table_and_is_the_same_again() -> None:
    pypdf = pytest.importorskip("pypdf")
    results = two([99.12, 99.34], [98.76, 98.9])
    found_columns, judged = columns(results, {"rt": "no data"}), findings(columns(results, {}))
    data = pdf(found_columns, judged)
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    text = "\n".join(each.extract_text() for each in pages)
    for number in ("99.23 ±", "98.83 ±", "[99.13]", "[77.21]", "[diverges]", "0.1.0", "Claim 3"):
        assert number in text
    assert "normlab study --task mnist" in text
    assert pdf(found_columns, judged) == data


def test_nothing_leaves_the_pages_of_the_pdf() -> None:
    from normlab.report.paper.pdf import _blank, _pages
    from normlab.report.plots import Theme
    from normlab.viz.figures import jutting
    from normlab.viz.settings import settings

    generated = "stand-in digits (generated), not MNIST"
    results = [*two([99.1, 99.2], [99.0, 99.1], warning=generated), *many(0.1)[-10:]]
    reasons = {"en_vi": f"no data: {'a place that has none, ' * 30}"}
    theme = Theme()
    with settings(**theme.look):
        for draw in _pages(columns(results, reasons), findings(columns(results, {}))):
            figure = _blank(theme)
            draw(figure)
            assert [text.get_text() for text, _ in jutting(figure)] == []


def test_results_cut_at_any_byte_lose_no_whole_line(tmp_path: Path) -> None:
    file = ResultFile(tmp_path)
    for line in two([99.0], [99.1]):
        file.append(line)
    data = file.path.read_bytes()
    first = data.index(b"\n") + 1
    for end in range(first, len(data), 7):
        file.path.write_bytes(data[:end])
        assert column(file.read()).mean("layernorm_simple") == stats.estimate([99.0])
        assert file.path.read_bytes() == data[:end], "reading changes nothing"
    file.path.write_bytes(data[: first - 9])
    with pytest.raises(nl.FileError, match="no finished results for the paper's table"):
        write_paper(tmp_path)
    file.path.write_bytes(data.replace(b'"test": 99.1', b'"test": NaN'))
    with pytest.raises(nl.FileError, match="line 2 is no result: 'test' is nan"):
        write_paper(tmp_path)


def test_write_paper_writes_both_files_also_where_no_picture_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(nl.FileError, match="nowhere: has no finished results"):
        write_paper(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    file = ResultFile(tmp_path)
    for line in lines("layernorm", [99.0]):
        file.append(line)
    paths, text = write_paper(tmp_path)
    assert [path.name for path in paths] == ["paper.md", "paper.html", "paper.pdf"]
    assert "99.00 [99.13]" in text and paths[0].read_text("utf-8").startswith(text)
    assert paths[2].read_bytes().startswith(b"%PDF")

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("normlab.report.page._svg", fails)
    monkeypatch.setattr("normlab.report.paper.pdf._pages", fails)
    with pytest.warns(UserWarning, match="no fonts"):
        paths, _ = write_paper(tmp_path)
    assert [path.name for path in paths] == ["paper.md", "paper.html"]
    assert "could not be drawn" in paths[1].read_text("utf-8")
    assert not (tmp_path / "paper.pdf").exists(), "an old one would not show these results"


def test_a_full_disk_loses_neither_results_nor_the_page_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in lines("layernorm", [99.0]):
        ResultFile(tmp_path).append(line)
    for name in ("paper.md", "paper.html", "paper.pdf"):
        (tmp_path / name).write_text("old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("normlab.report.paper.page.figures", lambda *_: [])  # they take seconds
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(nl.FileError, match=r"No space left on device. The results are safe; make"):
        write_paper(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# --- training ------------------------------------------------------------------------------------


class Lacking(Toy):
    """A task without data."""

    def load(self, *, quick: bool = False) -> Any:
        raise DataMissingError("toy: nowhere")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paper of three columns: a toy's, one whose data are missing, one without a task."""
    numbers = RESULTS["rt"].results
    fillers = {
        "toy": Filler("toy", quick={"epochs": 2, "train_items": 32}),
        "lacking": Filler("lacking"),
        "none": None,
    }
    paper_of_toys = {
        name: PaperTask(name.title(), "accuracy, %", numbers, (filler,) if filler else ())
        for name, filler in fillers.items()
    }
    for module in ("normlab.study.paper", "normlab.report.paper.columns"):
        monkeypatch.setattr(sys.modules[module], "RESULTS", paper_of_toys)
    monkeypatch.setattr("normlab.study.TASKS", {"toy": Toy, "lacking": Lacking})
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def test_a_study_of_the_paper_goes_on_where_it_was_stopped(tmp_path: Path, toys: None) -> None:
    plan = PaperStudy(tmp_path, [0], quick=True)
    assert plan.run() == {"lacking": "no data: toy: nowhere", "none": NO_TASK}
    file = ResultFile(tmp_path)
    whole = file.path.read_bytes()
    results = file.read()
    assert {r["norm"] for r in results} == set(VARIANTS)
    assert all(r["settings"]["train_items"] == 32 and r["epochs"] <= 2 for r in results)
    assert {r["C"] for r in results} == {None, 1.0}
    plan.run()
    assert file.path.read_bytes() == whole, "nothing is trained again"
    file.path.write_bytes(whole[: len(whole) // 2])
    plan.run()
    assert sorted(r["id"] for r in file.read()) == sorted(r["id"] for r in results)
    PaperStudy(tmp_path, [0, 1], quick=True).run()
    assert column(file.read(), "toy").group.seeds == [0, 1]


def test_one_paper_or_study_a_folder(tmp_path: Path, toys: None) -> None:
    with (
        locked(tmp_path),
        pytest.raises(nl.FileError, match=rf"another study \(process {os.getpid()}\) is running"),
    ):
        PaperStudy(tmp_path, [0], quick=True).run()
    assert not ResultFile(tmp_path).path.exists()


def test_without_data_a_quick_one_takes_stand_ins(
    tmp_path: Path, toys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normlab.study.paper.STANDINS", {"lacking": Toy})
    assert PaperStudy(tmp_path, [0], quick=True).run() == {"none": NO_TASK}
    assert "lacking" in PaperStudy(tmp_path / "real", [0]).run(), "only a quick one"


@pytest.mark.parametrize(("name", "more_than"), [("rt", 60), ("sst5", 35), ("parse", 90)])
def test_quick_settings_learn_from_stand_ins_which_say_so(
    tmp_path: Path, name: str, more_than: float
) -> None:
    (filler,) = (x for each in RESULTS.values() for x in each.fillers if x.task == name)
    task = Shortened(STANDINS[name](), filler)
    data = task.load(quick=True)
    assert task.name == name and "generated" in data.warning and data.origin.startswith("stand-in")
    run = Run(name, "layernorm", 0, task.quick, data.fingerprint)
    assert (
        Trainer(task, data, run, tmp_path / "checkpoint").finish(lambda _: None)["test"] > more_than
    )


@pytest.mark.parametrize(("name", "title"), [("en_de", "En-De"), ("de_en", "De-En")])
def test_quick_settings_learn_to_translate_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, title: str
) -> None:
    _without_corpora(monkeypatch)
    pytest.importorskip("sacrebleu")
    pytest.importorskip("sentencepiece")
    quick, real = PaperStudy(tmp_path, [0], quick=True), PaperStudy(tmp_path, [0])
    task = next(iter(quick._tasks(RESULTS[name])))
    data = task.load(quick=True)
    assert data.warning == f"stand-in pairs {title} (generated)"
    assert data.origin.startswith(data.warning) and len(data.subwords) == task.quick.subwords
    run = Run(task.name, "layernorm", 0, task.quick, data.fingerprint)
    result = Trainer(task, data, run, tmp_path / "checkpoint").finish(lambda _: None)
    assert result["test"] > 20
    found = column([result | {"candidate": False}], name)
    assert found.generated and found.label == f"{data.warning}, in place of {title}"
    for each in real._tasks(RESULTS[name]):
        with pytest.raises(DataMissingError):
            each.load()


def test_what_is_missing_of_english_and_vietnamese_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_corpora(monkeypatch)
    for quick in (False, True):
        plan = PaperStudy(tmp_path, [0], quick=quick)
        assert plan._fill(RESULTS["en_vi"], None) == "no data: iwslt15: nowhere"


def _without_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    from normlab.study import translating

    def missing(name: str) -> Any:
        def read(source: str, target: str) -> Any:
            raise DataMissingError(f"{name}: nowhere")

        return read

    corpora = {name: (missing(name), *words) for name, (_, *words) in translating._CORPORA.items()}
    monkeypatch.setattr(translating, "_CORPORA", corpora)


def test_every_stand_in_is_tested() -> None:
    assert set(STANDINS) == {"rt", "sst5", "parse"}


def test_a_shortened_task_is_pickled_with_its_settings() -> None:
    import pickle

    short = Shortened(study.TASKS["rt"](), Filler("rt", quick={"epochs": 3, "layers": 1}))
    again = pickle.loads(pickle.dumps(short))
    assert (again.quick, again.name) == (short.quick, "rt")
    assert (again.quick.epochs, again.quick.patience, again.quick.layers) == (3, 3, 1)
    assert "1 × (norm" in again.model, "the network is that of the settings"
    assert study.TASKS["rt"]().settings.layers == 4, "the task itself is as it was"


# --- command -------------------------------------------------------------------------------------


def test_help_and_errors(tmp_path: Path) -> None:
    text = normlab("paper", "--help").stdout
    for option in (
        "--out",
        "--seeds",
        "--quick",
        "--jobs",
        "--scheduler",
        "--no-training",
        "--reference",
    ):
        assert option in text
    assert "Examples" in text and "normlab paper --quick" in normlab("--help").stdout
    done = normlab("paper", "--no-training", "--out", str(tmp_path / "nowhere"))
    assert done.returncode == 2 and "has no finished results" in done.stderr
    assert normlab("paper", "--seeds", "x").stderr.startswith("error: --seeds: must be how many")
    assert normlab("paper", "--out", "").stderr == "error: --out: must be a path, is empty\n"


def test_the_command_prints_table_and_verdicts(tmp_path: Path) -> None:
    file = ResultFile(tmp_path)
    for line in two([99.0, 99.2], [99.1, 99.1]):
        file.append(line)
    done = normlab("paper", "--no-training", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Claim 3: AdaNorm is better than LayerNorm" in done.stdout
    assert "paper.html" in done.stdout and "paper.pdf" in done.stdout


def test_the_reference_is_the_committed_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def write(*arguments: Any) -> Any:
        asked.extend(arguments)
        return [], "the table"

    monkeypatch.setattr("normlab.report.paper.write_paper", write)
    command(out=str(tmp_path / "new"), reference=True)
    folder, reasons, results = asked
    assert (folder, reasons) == (tmp_path / "new", untasked()) and folder.is_dir()
    assert {line["task"] for line in results} >= {"rt", "sst5", "parse"}
    assert "the table" in capsys.readouterr().out
    monkeypatch.setattr(sys.modules["normlab.cli.paper"], "reference_results", dict)
    with pytest.raises(nl.FileError, match="lacks normlab's own studies"):
        command(out=str(tmp_path), reference=True)


# --- browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page, whose pictures take seconds."""
    path = tmp_path_factory.mktemp("page") / "paper.html"
    results = many(0.1)
    path.write_text(page(columns(results, untasked()), findings(columns(results, {}))), "utf-8")
    return path


def test_page_is_one_well_formed_file(drawn: Path) -> None:
    html = drawn.read_text("utf-8")
    parser = _Balance()
    parser.feed(html)
    assert parser.open == [] and "<script" not in html and "url(http" not in html
    assert html.count("<svg") == 4 * 5
    assert "<small>77.21</small>" in html and "The claim holds here." in html


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_fits_in_a_browser(
    browser: Any, drawn: Path, output_folder: Path, width: int
) -> None:
    from test_report_layout import JUTTING, opened

    path = shutil.copy(drawn, output_folder)
    shown = opened(browser, Path(path), width)
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate(JUTTING) == []
    shown.close()
