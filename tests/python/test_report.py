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
from normlab.report import groups, write_report
from normlab.report.page import page
from normlab.report.plots import colour, curves_figure
from normlab.report.stats import Estimate, estimate, paired_difference, t_quantile
from normlab.report.table import authors, columns, difference, markdown, notes
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
def test_t_quantile(freedom: int, expected: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=1e-8)


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
    assert difference(estimate([0.0, 0.0])) == "≈ +0.00 ± 0.00"
    assert difference(None) == "–"


# --- the authors' numbers ------------------------------------------------------------------------


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
    assert "authors (their full setting)" in markdown([group])


def test_stand_in_digits_are_said_everywhere_and_stand_beside_no_paper_number() -> None:
    warning = "stand-in digits (generated), not MNIST"
    lines = [result(norm, seed, warning=warning) for norm in paper.NORMS for seed in (0, 1)]
    found = groups(lines, ORDER)
    html = page(found)
    assert markdown(found).startswith(f"# {warning}")
    assert "authors" not in {column.heading for column in columns(found[0])}
    assert re.search(f"<h1>.*{re.escape(warning)}", html)
    assert all(warning in heading for heading in re.findall(r"<h3>(.*?)</h3>", html))
    assert warning in _texts(curves_figure(found))


def _texts(figure: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


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
    assert html.count("<svg") == 5
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in html, "pictures follow the page's colours"
    assert "#010203" not in html and "#040506" not in html


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
    assert page([group]).count("<svg") == 5
    assert set(ORDER) <= set(_texts(curves_figure([group])).split("\n"))


def test_write_report(tmp_path: Path) -> None:
    with pytest.raises(nl.FileError, match="no finished results"):
        write_report(tmp_path)
    file = ResultFile(tmp_path)
    for line in FIVE:
        file.append(line)
    paths = write_report(tmp_path)
    assert [path.name for path in paths] == ["table.md", "curves.png", "report.html"]
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_report(tmp_path)] == before, "same in, same out"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["results.jsonl", *(path.name for path in paths)]
    )


def test_write_report_names_the_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(nl.FileError, match="the report cannot be written: Is a directory"):
        write_report(tmp_path, FIVE)
