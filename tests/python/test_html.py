# ruff: noqa: RUF001  (typographic minus, dash, times)
"""What notebooks show of tensors, modules and reports."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import FIVE, result

import normlab as nl
from normlab import paper


class _Reader(HTMLParser):
    """The texts of a table's cells and of what stands around it; fails on bad nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.around = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data
        else:
            self.around += data


def read(value: Any) -> _Reader:
    html = value._repr_html_()
    # Nothing that a dark page, a strict notebook or a printer could not show.
    assert not re.search(r"<style|<script|background|(?<![-\w])color:|src=|href=", html)
    return _Reader(html)


# --- tensors -------------------------------------------------------------------------------------


def test_small_tensors_are_shown_whole() -> None:
    shown = read(nl.tensor([[1.0, -2.5], [3.25, 1e-9]]))
    assert shown.rows == [["1", "−2.5"], ["3.25", "1e−09"]]
    assert shown.around == "Tensor · 2 × 2 · float32"
    assert read(nl.arange(3)).rows == [["0", "1", "2"]]
    assert read(nl.tensor([True, False])).rows == [["True", "False"]]
    assert read(nl.tensor(3.5)).rows == [["3.5"]]
    assert "one number" in read(nl.tensor(3.5)).around


def test_bfloat16_is_shown_though_numpy_has_none() -> None:
    shown = read(nl.tensor([[1.0, -2.5, 0.1]]).to("bfloat16"))
    assert shown.rows == [["1", "−2.5", "0.1001"]]
    assert shown.around == "Tensor · 1 × 3 · bfloat16"
    large = read(nl.full((30, 30), 1.5).to("bfloat16")).around
    assert "bfloat16" in large and "least 1.5 · mean 1.5" in large


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_empty_tensors_have_a_shape(shape: tuple[int, ...]) -> None:
    shown = read(nl.zeros(shape))
    assert shown.rows == [] and " × ".join(map(str, shape)) in shown.around


def test_large_tensors_are_summarised() -> None:
    x = np.arange(200 * 64, dtype=np.float32).reshape(200, 64)
    shown = read(nl.tensor(x))
    assert [len(row) for row in shown.rows] == [9] * 9
    assert shown.rows[0] == ["0", "1", "2", "3", "…", "60", "61", "62", "63"]
    assert shown.rows[4] == ["…"] * 9
    assert shown.rows[-1][-1] == "1.28e+04", "the last element"
    assert "least 0 · mean 6400 · deviation 3695 · greatest 1.28e+04" in shown.around
    assert len(nl.randn((4096, 4096))._repr_html_()) < 15_000


def test_of_more_axes_one_plane_is_shown() -> None:
    x = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    shown = read(nl.tensor(x))
    assert "x[0, 0]" in shown.around and "2 × 3 × 2 × 2" in shown.around
    assert shown.rows == [["0", "1"], ["2", "3"]]
    assert "greatest 23" in shown.around, "of all elements"


def test_statistics_leave_out_what_is_not_finite_and_say_so() -> None:
    x = np.ones((20, 20), np.float32)
    x[0, :3] = [np.nan, np.inf, -np.inf]
    around = read(nl.tensor(x)).around
    assert "mean 1 · deviation 0" in around and "3 not finite" in around
    assert "20 not finite" in read(nl.full(20, np.nan)).around


def test_gradients_are_mentioned() -> None:
    x = nl.ones(3, requires_grad=True)
    assert read(x).around.endswith("requires a gradient")
    z = (x * 2).sum()
    assert "recorded for the backward pass" in read(z).around
    z.backward()
    assert read(x).around.endswith("requires a gradient, has one")


# --- modules -------------------------------------------------------------------------------------


class _Net(nl.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nl.nn.Sequential(
            nl.nn.Linear(4, 3, activation="relu"), nl.nn.Norm("adanorm", 3)
        )
        self.scale = nl.nn.Parameter(nl.ones(3))


def test_a_module_has_a_line_for_each_part() -> None:
    shown = read(_Net())
    assert shown.around == "_Net · 18 parameters · training"
    assert shown.rows == [
        ["part", "layer", "parameters", "count"],
        ["itself", "_Net", "scale 3", "3"],
        ["body", "Sequential", "", ""],
        ["    0", "Linear(4, 3, activation=relu)", "weight 3 × 4, bias 3", "15"],
        ["    1", "Norm('adanorm', 3)", "", ""],
    ]
    assert "evaluation" in read(_Net().eval()).around
    assert read(nl.nn.Linear(2, 3)).rows[1][0] == "itself"
    assert read(nl.nn.ReLU()).rows[1][:2] == ["itself", "ReLU"]


def test_long_modules_are_cut() -> None:
    net = nl.nn.Sequential(*[nl.nn.Linear(1, 1, bias=False) for _ in range(100)])
    shown = read(net)
    assert len(shown.rows) == 1 + 40 + 1 and shown.rows[-1][1] == "60 more"
    assert "100 parameters" in shown.around


def test_foreign_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    net = _Net()
    net.register_module(evil, nl.nn.ReLU())
    net.register_parameter(evil + "&", nl.ones(2))
    Evil = type(evil, (nl.nn.Module,), {"extra_repr": lambda self: evil})  # noqa: N806
    net.inner = Evil()
    shown = read(net)
    assert any(row[0] == evil for row in shown.rows)
    assert [evil, f"{evil}({evil})"] == [shown.rows[-2][0], shown.rows[-1][1]]
    assert evil + "& 2" in shown.rows[1][2]


def test_an_optimizer_says_what_it_updates() -> None:
    optimizer = nl.optim.AdamW(nl.nn.Linear(100, 20).parameters(), lr=0.002)
    assert repr(optimizer) == "AdamW(lr=0.002, 2,020 parameters)"


# --- reports -------------------------------------------------------------------------------------


def test_a_summary_is_the_reports_table() -> None:
    summary = nl.report.summary(FIVE)
    shown = read(summary)
    assert [row[0] for row in shown.rows[1:]] == [n for n in nl.norm_variants() if n in paper.NORMS]
    assert shown.rows[0][1] == "test accuracy, %"
    assert shown.rows[1][1] == "99.02 ± 0.05"
    assert shown.around.startswith("MNIST · 3 seeds")
    assert "± is half of the 95 % interval" in shown.around
    assert str(summary).startswith("# MNIST\n") and repr(summary) == str(summary)
    best = summary.groups[0].best.name
    assert re.search(rf"font-weight:600[^>]*>{best}</td>", summary._repr_html_())
    assert read(summary.groups[0]).rows == shown.rows


def test_a_summary_says_what_limits_it() -> None:
    warning = "stand-in digits (generated), not MNIST"
    lines = [result(norm, warning=warning) for norm in ("none", "layernorm")]
    assert read(nl.report.summary(lines)).around.startswith(f"{warning} · one seed")
    lines = [result(norm, settings={"train_items": 1_000}) for norm in ("none", "layernorm")]
    assert "MNIST · first 1,000 of 55,000" in read(nl.report.summary(lines)).around


def test_a_summary_of_a_folder(tmp_path: Path) -> None:
    from normlab.study import ResultFile

    with pytest.raises(nl.FileError, match="no finished results"):
        nl.report.summary(tmp_path)
    with pytest.raises(nl.FileError, match="no finished results"):
        nl.report.summary([])
    for line in FIVE:
        ResultFile(tmp_path).append(line)
    assert str(nl.report.summary(str(tmp_path))) == str(nl.report.summary(FIVE))


def test_a_summary_escapes_what_it_is_given() -> None:
    evil = "<script>alert(1)</script>"
    lines = [result(norm, data=evil, title=evil, task="x") for norm in ("layernorm", evil)]
    shown = read(nl.report.summary(lines))
    assert shown.rows[2][0] == evil and shown.around.count(evil) == 2


def test_the_import_stays_light() -> None:
    code = (
        "import sys, normlab; print(*(m for m in ('html', 'jinja2', 'matplotlib', 'normlab._html', "
        "'normlab._hints', 'normlab.report', 'IPython') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_probe_is_a_table_of_its_layers() -> None:
    net = nl.nn.Sequential(nl.nn.Linear(3, 4), nl.nn.Norm("layernorm", 4), nl.nn.Linear(4, 2))
    with nl.probe(net) as probe:
        z = net(nl.randn((5, 3)))
        assert "no gradient yet" in probe._repr_html_()
        z.sum().backward()
        probe.next_step()
    html = probe._repr_html_()
    assert "step 1 · 1 records" in html
    assert "row variance of dz" in html and ">layernorm</td>" in html
