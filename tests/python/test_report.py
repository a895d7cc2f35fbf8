# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""Reports: statistics, groups, table, page, pictures."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import normlab as nl
from normlab import paper
from normlab.report import Group, groups, plots, told_apart, write_report
from normlab.report.overfitting import overfitting, pairs
from normlab.report.page import page
from normlab.report.plots import (
    colour,
    curves,
    curves_figure,
    overfitting_figure,
    pair_curves,
    panels,
)
from normlab.report.stats import Estimate, estimate, paired_difference
from normlab.report.table import (
    authors,
    columns,
    difference,
    markdown,
    notes,
    number,
    overfitting_columns,
    overfitting_notes,
)
from normlab.study import ResultFile

ORDER = nl.norm_variants()


def result(
    norm: str = "layernorm", seed: int = 0, test: float = 99.0, **more: Any
) -> dict[str, Any]:
    """A line as a study writes it."""
    settings = {
        "epochs": 20,
        "patience": 5,
        "batch": 32,
        "lr": 1e-3,
        "denominator": "var_eps",
        "eps": 1e-5,
        "k": 0.1,
        "train_items": None,
        **more.pop("settings", {}),
    }
    line = {
        "id": f"{norm}-{seed}-{more}-{settings}",
        "task": "mnist",
        "title": "MNIST",
        "norm": norm,
        "seed": seed,
        "C": None,
        "candidate": False,
        "epochs": 3,
        "valid": 99.1,
        "test": test,
        "seconds": 10.0,
        "data": "NORMLAB_DATA (/data/mnist)",
        "version": "0.1.0",
        "best_epoch": 2,
        "stopped_early": False,
        "diverged": False,
        "metric": "accuracy",
        "unit": "%",
        "warning": "",
        "train_items": 55_000,
        "fingerprint": "f",
        "threads": 2,
        "isa": "avx2",
        "finished": "2025-01-01T00:00:00+00:00",
        "settings": settings,
        "history": {
            "train_loss": [0.3, 0.1, 0.05],
            "train": [90.0, 98.0, 99.0],
            "valid_loss": [0.1, 0.05, 0.06],
            "valid": [97.0, 99.1, 99.0],
        },
    }
    return line | more


FIVE = [
    result(norm, seed, 99.0 + 0.01 * i + 0.02 * seed)
    for i, norm in enumerate(paper.NORMS)
    for seed in range(3)
]


# --- statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [
        (1, 12.7062047364),
        (2, 4.3026527297),
        (3, 3.1824463053),
        (4, 2.7764451052),
        (5, 2.5705818356),
        (9, 2.2621571628),
        (30, 2.0422724563),
        (1000, 1.9623390808),
    ],
)
def test_an_interval_has_students_quantile(freedom: int, expected: float) -> None:
    values = list(np.random.default_rng(0).normal(size=freedom + 1))
    half = expected * np.std(values, ddof=1) / len(values) ** 0.5
    assert estimate(values).half == pytest.approx(half, rel=1e-9)


def test_interval_covers_the_true_mean_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, (4_000, 4))
    hits = [abs(e.mean - 3.0) <= (e.half or 0) for e in (estimate(list(row)) for row in samples)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


def test_estimate_and_difference() -> None:
    value = estimate([1.0, 2.0, 3.0])
    assert value.mean == 2.0
    assert value.half == pytest.approx(4.3026527297 / 3**0.5)
    assert estimate([5.0]) == Estimate(5.0, None, 1)
    paired = paired_difference({0: 2.0, 1: 4.0, 7: 9.0}, {0: 1.0, 1: 2.0, 2: 0.0})
    assert paired is not None and (paired.mean, paired.n) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


def test_difference_in_words() -> None:
    assert difference(Estimate(0.1, 0.05, 3)) == "▲ +0.10 ± 0.05"
    assert difference(Estimate(-0.1, 0.05, 3)) == "▼ −0.10 ± 0.05"
    assert difference(Estimate(-0.1, 0.2, 3)) == "≈ −0.10 ± 0.20"
    assert difference(Estimate(0.1, None, 1)) == "+0.10"
    assert difference(estimate([0.1, 0.1])) == "+0.10 ± 0.00", "no spread, no verdict"
    assert difference(estimate([0.0, 0.0])) == "≈ 0.00 ± 0.00"
    assert difference(None) == "–"
    assert difference(Estimate(-0.1234, 0.05, 3), 3) == "▼ −0.123 ± 0.050"
    assert number(Estimate(-0.1234, 0.05, 3), 3) == "−0.123 ± 0.050"


# --- the authors' numbers ------------------------------------------------------------------------


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert difference(Estimate(-0.0004, 0.1, 3), 3) == "≈ 0.000 ± 0.100"
    assert difference(Estimate(0.0004, 0.1, 3), 3) == "≈ 0.000 ± 0.100"
    assert difference(Estimate(-0.0006, 0.1, 3), 3) == "≈ −0.001 ± 0.100"


def test_paper_table() -> None:
    assert paper.result("mnist", "adanorm") == 99.35
    assert paper.result("ptb", "detachnorm") == 89.79
    assert authors(paper.result("en_de", "none")) == "diverges"
    assert paper.result("fashion_mnist", "none") is None
    assert paper.result("mnist", "rmsnorm") is None
    assert all(set(task.results) == set(paper.NORMS) for task in paper.RESULTS.values())


# --- groups and table ----------------------------------------------------------------------------


def cells(lines: list[dict[str, Any]], heading: str) -> list[str]:
    (group,) = groups(lines, ORDER)
    return next(list(c.cells) for c in columns(group) if c.heading.startswith(heading))


def test_table_has_means_differences_and_the_authors_numbers() -> None:
    assert cells(FIVE, "variant") == [n for n in ORDER if n in paper.NORMS], "the engine's order"
    assert cells(FIVE, "test accuracy, %")[0] == "99.02 ± 0.05"
    assert cells(FIVE, "difference to layernorm")[1] == "–"
    assert cells(FIVE, "difference to layernorm")[0] == "−0.01 ± 0.00"
    assert cells(FIVE, "authors")[:2] == ["99.14", "99.13"]
    text = markdown(groups(FIVE, ORDER))
    assert text.startswith("# MNIST\n")
    assert "NORMLAB_DATA (/data/mnist)" in text
    assert "**99." in text, "the highest mean is bold"


def test_one_seed_has_no_interval() -> None:
    (group,) = groups([result("none"), result()], ORDER)
    assert cells([result("none"), result()], "test") == ["99.00", "99.00"]
    assert any("one seed: no interval" in note for note in notes(group))


def test_of_one_seed_no_row_is_marked_as_best() -> None:
    lines = [result("none", test=99.5), result()]
    assert "**" not in markdown(groups(lines, ORDER)) and '"best"' not in page(groups(lines, ORDER))
    (group,) = groups(lines, ORDER)
    assert 'font-weight:600">99.5' not in group._repr_html_()
    more = groups([*lines, result("none", 1, 99.6), result(seed=1)], ORDER)
    assert "**99.55" in markdown(more) and page(more).count('<tr class="best">') == 1


def test_one_epoch_is_one() -> None:
    (group,) = groups([result(settings={"epochs": 1})], ORDER)
    assert any(note.startswith("At most 1 epoch;") for note in notes(group))


def test_other_settings_data_and_tasks_are_kept_apart() -> None:
    lines = [
        result(),
        result(settings={"denominator": "std_eps"}),
        result(fingerprint="g"),
        result(task="fashion_mnist", title="Fashion-MNIST"),
    ]
    found = groups(lines, ORDER)
    assert [group.title for group in found] == ["MNIST", "MNIST, std_eps", "MNIST", "Fashion-MNIST"]
    assert not found[3].has_authors


def test_candidates_are_no_results() -> None:
    search = {"C_candidates": {"1": 99.0, "2": 99.2}, "search_seconds": 20.0}
    lines = [
        result("adanorm", C=1.0, candidate=True),
        result("adanorm", C=2.0, **search),
        result("adanorm", 1, C=1.0, **search),
    ]
    assert cells(lines, "C chosen") == ["1 (1×), 2 (1×)"]
    assert cells(lines, "seeds") == ["2"]
    fixed = result("adanorm", C=1.5, C_candidates={"1.5": 99.0})
    assert cells([*lines, fixed], "variant") == ["adanorm", "adanorm (C = 1.5)"]
    assert cells([*lines, fixed], "C chosen") == ["1 (1×), 2 (1×)", "–"]
    assert "C chosen" not in markdown(groups([fixed], ORDER)), "nothing was chosen"
    (group,) = groups([*lines, fixed], ORDER)
    assert len({colour(row, group) for row in group.rows}) == 2


def test_a_part_of_the_data_is_said_everywhere() -> None:
    lines = [
        result(norm, seed, settings={"train_items": 1_000, "epochs": 2})
        for norm in ("none", "layernorm")
        for seed in (0, 1)
    ]
    limits = "first 1,000 of 55,000 training examples, at most 2 epochs"
    (group,) = groups(lines, ORDER)
    assert group.title == f"MNIST, {limits}"
    assert limits in markdown([group])
    assert limits.split(",")[0] in page([group])
    assert limits in _texts(curves_figure([group]))
    lines += [result("adanorm", seed, settings=lines[0]["settings"]) for seed in (0, 1)]
    (group,) = groups(lines, ORDER)
    assert limits in _texts(overfitting_figure([group])).replace("\n", " ")
    assert f"## Over-fitting ({limits.replace(', at', '; at')})" in markdown([group])
    assert "authors (their full setting)" in markdown([group])


def test_stand_in_digits_are_said_everywhere_and_stand_beside_no_paper_number() -> None:
    warning = "stand-in digits (generated), not MNIST"
    lines = [result(norm, seed, warning=warning) for norm in paper.NORMS for seed in (0, 1)]
    found = groups(lines, ORDER)
    html = page(found)
    assert markdown(found).startswith(f"# {warning}")
    assert "authors" not in {column.heading for column in columns(found[0])}
    assert re.search(f"<h1>.*{re.escape(warning)}", html)
    assert all(warning in heading for heading in re.findall(r"<h3.*?>(.*?)</h3>", html))
    assert warning in _texts(curves_figure(found))
    assert warning in _texts(overfitting_figure(found))


def _texts(figure: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


# --- over-fitting --------------------------------------------------------------------------------


def losses(
    norm: str, seed: int, train: list[float | None], valid: list[float | None], **more: Any
) -> dict[str, Any]:
    """A line with these losses by epoch."""
    accuracy = [90.0] * len(valid)
    history = {"train_loss": train, "train": accuracy, "valid_loss": valid, "valid": accuracy}
    return result(norm, seed, history=history, epochs=len(valid)) | more


TWO = [
    losses("layernorm", 0, [0.6, 0.4, 0.2, 0.1], [0.7, 0.6, 0.65, 0.8]),
    losses("layernorm", 1, [0.6, 0.5, 0.3], [0.7, 0.62, 0.73]),
    losses("layernorm_simple", 0, [0.7, 0.5, 0.35], [0.72, 0.64, 0.66]),
    losses("layernorm_simple", 1, [0.7, 0.5, 0.4, 0.3], [0.74, 0.66, 0.64, 0.68]),
]


def one(lines: list[dict[str, Any]]) -> Group:
    (group,) = groups(lines, ORDER)
    return group


def overfitting_row(lines: list[dict[str, Any]], i: int) -> list[str]:
    found = overfitting(one(lines))
    assert found is not None
    return [column.cells[i] for column in overfitting_columns(found)]


def test_losses_are_compared_at_the_last_epoch_that_every_run_reached() -> None:
    found = overfitting(one(TWO))
    assert found is not None and found.epoch == 3
    assert "gap at epoch 3" in [column.heading for column in overfitting_columns(found)]
    # Lowest 0.60 and 0.62, both in epoch 2; gaps 0.45 and 0.43, so ± 12.706 * 0.01.
    assert overfitting_row(TWO, 0) == [
        *("layernorm", "0.610", "2.0", "0.450", "0.690", "0.250", "0.440 ± 0.127", "–"),
    ]
    # Lowest 0.64 in epochs 2 and 3; gaps 0.31 and 0.24; less layernorm's -0.14 and -0.19.
    assert overfitting_row(TWO, 1) == [
        *("layernorm_simple", "0.640", "2.5", "0.450", "0.650", "0.375"),
        *("0.275 ± 0.445", "≈ −0.165 ± 0.318"),
    ]


def test_which_variant_over_fits_less_is_marked() -> None:
    lines = [losses("layernorm", s, [0.5, 0.25], [0.6, 0.75]) for s in range(3)]
    lines += [losses("bias_only", s, [0.5, 0.25], [0.6, 0.65 - 0.01 * s]) for s in range(3)]
    lines += [losses("gain_only", s, [0.5, 0.25], [0.6, 0.85 + 0.01 * s]) for s in range(3)]
    # Differences 0.10, 0.11, 0.12: ± 4.3027 * 0.01 / sqrt(3).
    assert overfitting_row(lines, 1)[-1] == "▲ +0.110 ± 0.025"
    assert overfitting_row(lines, 2)[-1] == "▼ −0.110 ± 0.025"
    html = page([one(lines)])
    assert "at epoch 2: gain_only ▲ +0.110 ± 0.025; bias_only ▼ −0.110 ± 0.025." in html
    assert '<td class="down">▲ +0.110' in html, "a greater gap is the worse one"
    text = markdown([one(lines)])
    assert "compared at the same epoch, 2," in text and "the parameter left out" in text
    assert "the parameter left out" not in markdown([one(TWO)])


def test_runs_that_diverged_are_left_out_of_the_losses_and_counted() -> None:
    bad = losses("layernorm_simple", 2, [0.7, None], [0.7, None], diverged=True)
    lines = [*TWO, bad, losses("none", 0, [None], [None], diverged=True)]
    found = overfitting(one(lines))
    assert found is not None and found.epoch == 3, "not the epoch of divergence"
    assert overfitting_row(lines, 0) == ["none", *["–"] * 5, "– (1 diverged)", "–"]
    assert overfitting_row(lines, 2)[-2:] == ["0.275 ± 0.445 (1 diverged)", "≈ −0.165 ± 0.318"]
    assert "Runs that diverged are left out" in overfitting_notes(found)[-1]
    assert pairs(one(lines))[0].seeds == [0, 1]


def test_gaps_of_one_seed_or_without_another_variant_tell_nothing_apart() -> None:
    for lines in (TWO[:2], TWO[::2], [*TWO[:2], TWO[3]]):
        html = page([one(lines)])
        assert "Nothing is told apart from layernorm by the gap" in html
        assert "in the gap" not in html


def test_small_losses_have_more_digits() -> None:
    assert overfitting_row(FIVE, 1)[1:] == [
        *("0.0500", "2.0", "0.1000", "0.0600", "0.0500", "0.0100 ± 0.0000", "–")
    ]


def test_without_layernorm_or_a_rise_nothing_is_said_of_over_fitting() -> None:
    without = one([line for line in TWO if line["norm"] != "layernorm"])
    assert overfitting(without) is None and pairs(without) == []
    assert overfitting_figure([without]) is None
    assert "Over-fitting" not in markdown([without]) + page([without])
    falls = one([losses(norm, 0, [0.5, 0.4], [0.6, 0.5]) for norm in ("layernorm", "adanorm")])
    assert overfitting(falls) is None and "Over-fitting" not in markdown([falls])
    assert "Over-fitting: layernorm and adanorm" in page([falls]), "the curves are there"
    other = one([losses(norm, 0, [0.5, 0.4], [0.6, 0.7]) for norm in ("layernorm", "rmsnorm")])
    assert pairs(other) == [] and "## Over-fitting" in markdown([other])
    nothing = losses("layernorm", 0, [None], [None], diverged=True)
    assert overfitting(one([nothing, *TWO[2:]])) is None
    assert pairs(one([nothing, *TWO[2:]])) == []


def test_pairs_are_layernorm_and_what_over_fitting_is_asked_of() -> None:
    names = [pair.row.norm for pair in pairs(one([result(norm) for norm in ORDER]))]
    assert names == ["layernorm_simple", "adanorm", "gain_only", "bias_only"]
    fixed = [result("adanorm", C=C, C_candidates={str(C): 99.0}) for C in (1, 2)]
    (first, second) = pairs(one([result(), *fixed]))
    assert second.name == "layernorm and adanorm (C = 2)" and first.averaged == "one seed"
    assert pairs(one([result(seed=0), result("adanorm", 1)])) == [], "no seed in common"


def test_a_pairs_curves_are_means_over_the_same_seeds_as_far_as_all_of_them_go() -> None:
    from matplotlib.figure import Figure

    group = one([*TWO, losses("layernorm", 7, [9.0], [9.0])])
    (pair,) = pairs(group)
    ax = Figure().subplots()
    pair_curves(ax, group, pair, ["train_loss", "valid_loss"])
    drawn = {line.get_label(): line for line in ax.lines}
    expected = {
        "layernorm, training": [0.6, 0.45, 0.25],
        "layernorm, validation": [0.7, 0.61, 0.69],
        "layernorm_simple, training": [0.7, 0.5, 0.375],
        "layernorm_simple, validation": [0.73, 0.65, 0.65],
    }
    assert drawn.keys() == expected.keys()
    for name, means in expected.items():
        assert list(drawn[name].get_xdata()) == [1, 2, 3]
        assert list(drawn[name].get_ydata()) == pytest.approx(means)
        assert drawn[name].get_linestyle() == ("--" if "training" in name else "-")
        assert drawn[name].get_color() == colour(group.rows["simple" in name], group)
    assert ax.get_xlabel() == "epoch (mean of 2 seeds)"


def test_the_picture_has_training_left_and_validation_right_for_each_pair() -> None:
    figure = overfitting_figure([one(FIVE), one(TWO)])
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["training loss", "validation loss"] * 3
    assert [len(ax.lines) for ax in figure.axes] == [2] * 6
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim(), "pairs are read side by side"


# --- page and pictures ---------------------------------------------------------------------------


class _Balance(HTMLParser):
    """Fails on a tag that is not closed in order."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_one_well_formed_file_without_links() -> None:
    html = page(groups(FIVE, ORDER))
    parser = _Balance()
    parser.feed(html)
    assert parser.open == []
    assert not re.search(r'(src|href)="(?!#)', html), "nothing is loaded from elsewhere"
    assert "url(http" not in html and "@import" not in html and "<script" not in html
    assert html.count("<svg") == 5 + 2
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in html, "pictures follow the page's colours"
    assert "#010203" not in html and "#040506" not in html
    assert html.count("<style") == 1, "a sheet in a picture would rule the whole page"
    assert html.count("stroke-linejoin: round; stroke-linecap: butt") == 5 + 2


def test_page_escapes_what_it_is_given() -> None:
    evil = "<script>alert(1)</script>"
    lines = [
        result(norm, data=evil, title=evil, task="x", version=evil) for norm in ("layernorm", evil)
    ]
    html = page(groups(lines, ORDER))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_page_says_what_the_numbers_say() -> None:
    clear = [result("layernorm", s, 99.0 + 0.01 * s) for s in range(3)]
    clear += [result("adanorm", s, 99.5 + 0.011 * s) for s in range(3)]
    assert "Told apart from layernorm: adanorm ▲ +0.50" in page(groups(clear, ORDER))
    same = [result(n, s, 99.0 + 0.01 * s) for n in ("layernorm", "none") for s in range(3)]
    assert "No variant differs from layernorm" in page(groups(same, ORDER))
    assert "One seed cannot tell" in page(groups([result(), result("none")], ORDER))


def test_every_variant_has_a_colour_and_curves_survive_divergence() -> None:
    lines = [result(norm) for norm in ORDER]
    lines[0] |= {
        "diverged": True,
        "history": {"train_loss": [None], "train": [9.8], "valid_loss": [None], "valid": [9.8]},
    }
    (group,) = groups(lines, ORDER)
    assert "(1 diverged)" in markdown([group])
    assert page([group]).count("<svg") == 5 + 4
    assert set(ORDER) <= set(_texts(curves_figure([group])).split("\n"))


def test_who_is_told_apart_is_no_stronger_than_the_numbers() -> None:
    clear, unclear = estimate([-1.5, -1.6, -1.7]), estimate([0.1, -0.1, 0.2])
    assert told_apart({"detachnorm": clear, "adanorm": unclear, "none": None}) == (
        "Told apart from layernorm: detachnorm ▼ −1.60 ± 0.25."
    )
    assert told_apart({"detachnorm": clear}, digits=3).endswith("−1.600 ± 0.248.")
    assert told_apart({"adanorm": unclear}).startswith("No variant differs from layernorm by more")
    for nothing in ({}, {"none": None}, {"none": estimate([1.0])}):
        assert told_apart(nothing) == "One seed cannot tell the variants apart."


def test_write_report_takes_a_path_as_text(tmp_path: Path) -> None:
    with pytest.raises(nl.FileError, match="nope: has no finished results"):
        write_report(str(tmp_path / "nope"))
    ResultFile(str(tmp_path)).append(result())
    assert tmp_path / "table.md" in write_report(str(tmp_path))


def test_write_report(tmp_path: Path) -> None:
    with pytest.raises(nl.FileError, match="no finished results"):
        write_report(tmp_path)
    file = ResultFile(tmp_path)
    for line in FIVE:
        file.append(line)
    paths = write_report(tmp_path)
    names = ["table.md", "curves.png", "overfitting.png", "report.html"]
    assert [path.name for path in paths] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:3])
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_report(tmp_path)] == before, "same in, same out"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["results.jsonl", *(path.name for path in paths)]
    )


def test_write_report_draws_over_fitting_only_where_there_is_a_pair(tmp_path: Path) -> None:
    paths = write_report(tmp_path, [result(), result("none")])
    assert [path.name for path in paths] == ["table.md", "curves.png", "report.html"]
    assert not (tmp_path / "overfitting.png").exists()


def test_write_report_names_the_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(nl.FileError, match="the report cannot be written: Is a directory"):
        write_report(tmp_path, FIVE)


RESULTS = Path(__file__).parents[2] / "docs" / "results"
REPORTED = sorted(file.parent for file in RESULTS.glob("*/results.jsonl"))


@pytest.mark.parametrize("folder", REPORTED, ids=lambda folder: folder.name)
def test_the_reports_that_normlab_brings_are_as_it_writes_them(folder: Path) -> None:
    found = groups(ResultFile(folder).read(), ORDER)
    assert (folder / "table.md").read_text("utf-8") == markdown(found)

    assert "<dt>Device</dt><dd>CPU</dd>" in page(found)


def test_page_names_the_hardware_as_far_as_it_is_known() -> None:
    html = page([one([result()])])
    assert "<dt>Hardware</dt><dd>2 threads a run, avx2 kernels</dd>" in html
    assert "<dt>Memory</dt>" not in html
    lines = [
        result(processor="Some <CPU>, 8 cores", threads=1, peak_memory_mib=300.4),
        result(seed=1, processor="Some <CPU>, 8 cores", threads=2, peak_memory_mib=1298.9),
    ]
    html = page([one(lines)])
    assert "<dd>Some &lt;CPU&gt;, 8 cores, 1 or 2 threads a run, avx2 kernels</dd>" in html
    assert "<dt>Memory</dt><dd>at most 1,299 MiB a process</dd>" in html


def test_lines_and_marks_tell_variants_apart_without_colours() -> None:
    from matplotlib.figure import Figure

    group = one([result(norm) for norm in ORDER])
    ax = Figure().subplots()
    curves(ax, group, "valid")
    styles = [(line.get_linestyle(), line.get_marker(), line._dash_pattern) for line in ax.lines]
    assert len(set(map(str, styles))) == len(ORDER)
    given = [result("adanorm", C=C, C_candidates={str(C): 99.0}) for C in (1, 2)]
    ax = Figure().subplots()
    plots.tests(ax, one([result(), *given]))
    marks = [line.get_marker() for line in ax.lines if line.get_marker() not in ("|", "None")]
    assert len(marks) == len(set(marks)) == 3


def test_titles_keep_their_capitals() -> None:
    titles = [panel.title for panel in panels(one([result(metric="UAS")]))]
    assert titles == ["Test UAS", "Training loss", "Validation loss", "Validation UAS"]
