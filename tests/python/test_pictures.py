"""Pictures: under any Matplotlib settings of the user's, and with all their text inside."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from test_report import FIVE, ORDER, losses, result

import normlab as nl
from normlab import viz
from normlab.report import PictureWarning, groups, plots, write_report
from normlab.report.page import page
from normlab.report.plots import (
    Theme,
    curves_figure,
    overfitting_figure,
    overfitting_panels,
    panels,
)
from normlab.study import ResultFile
from normlab.viz.figures import Picture, fit, jutting
from normlab.viz.settings import settings

# --- the user's settings --------------------------------------------------------------------------

HOSTILE = (
    "text.usetex: True\nfont.family: No Such Font\nfont.sans-serif: No Such Font\n"
    "font.size: 40\nsavefig.bbox: tight\nsavefig.dpi: 3\nfigure.dpi: 7\naxes.grid: False\n"
    "axes.prop_cycle: cycler(color=['r'])\nlines.linestyle: none\nsvg.fonttype: path\n"
    "xtick.bottom: False\nlegend.fontsize: 1\nimage.cmap: gray\naxes.formatter.use_mathtext: True\n"
    "figure.constrained_layout.use: False\nnonsense here\nno.such.key: 3\n"
)
DRAW = """
import sys
from pathlib import Path
from normlab.report import write_report
import normlab as nl
if sys.argv[2:]:
    import matplotlib.pyplot
write_report(sys.argv[1])
net = nl.nn.Sequential(nl.nn.Linear(8, 8), nl.nn.Norm("layernorm", 8))
with nl.probe(net) as probe:
    nl.sum(net(nl.ones(4, 8))).backward()
Path(sys.argv[1], "probed.png").write_bytes(nl.viz.probed(probe.records)._repr_png_())
"""
NAMES = ("table.md", "curves.png", "overfitting.png", "report.html", "probed.png")


def results_in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for line in FIVE:
        ResultFile(folder).append(line)
    return folder


def draw(
    folder: Path, *words: str, cwd: Path | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", DRAW, str(results_in(folder)), *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file, under no settings at all."""
    folder = tmp_path_factory.mktemp("usual")
    done = draw(folder, MPLCONFIGDIR=str(tmp_path_factory.mktemp("empty")))
    assert (done.returncode, done.stderr) == (0, "")
    return {name: (folder / name).read_bytes() for name in NAMES}


def hostile(tmp_path: Path, content: bytes | str = HOSTILE) -> dict[str, str]:
    home = tmp_path / "config" / "matplotlib"
    home.mkdir(parents=True)
    data = content.encode() if isinstance(content, str) else content
    (home / "matplotlibrc").write_bytes(data)
    (home / "stylelib").mkdir()
    (home / "stylelib" / "mine.mplstyle").write_bytes(b"\xff\xfe: bad\n")
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "MPLCONFIGDIR": ""}


@pytest.mark.parametrize(
    "case",
    [
        *("settings", "not utf-8", "backend", "file named", "in the current folder", "loaded"),
        *("home cannot be written", "no home"),
    ],
)
def test_no_setting_of_the_users_changes_a_picture(
    tmp_path: Path, usual: dict[str, bytes], case: str
) -> None:
    cwd, words = None, []
    environment: dict[str, str] = {}
    if case in ("settings", "loaded"):
        environment = hostile(tmp_path)
        if case == "loaded":  # before ours, by somebody who could load it
            words = ["pyplot"]
            (tmp_path / "config" / "matplotlib" / "stylelib" / "mine.mplstyle").unlink()
    elif case == "not utf-8":
        environment = hostile(tmp_path, b"font.size: \xff\xfe\n")
    elif case == "backend":
        environment = {"MPLBACKEND": "no-such-backend"}
    elif case == "file named":
        (tmp_path / "rc").write_text(HOSTILE)
        environment = {"MATPLOTLIBRC": str(tmp_path / "rc")}
    elif case == "in the current folder":
        cwd = tmp_path
        (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    elif case == "home cannot be written":
        environment = {"HOME": "/proc/none", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    else:
        environment = {"HOME": "", "XDG_CONFIG_HOME": "/dev/null/x", "XDG_CACHE_HOME": "/dev/null"}
    done = draw(tmp_path / "out", *words, cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    if case != "loaded":  # what the user loads says what it likes
        assert done.stderr == ""
    for name in NAMES:
        assert (tmp_path / "out" / name).read_bytes() == usual[name], name


def test_the_users_settings_stay_as_they_are() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"text.usetex": True, "font.family": ["No Such Font"]}):
        inside = dict(matplotlib.rcParams)
        figure = curves_figure(groups(FIVE, ORDER))
        figure.file("png", dpi=20)
        page(groups(FIVE, ORDER))
        assert dict(matplotlib.rcParams) == inside
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(RuntimeError), settings():
        matplotlib.rcParams["font.size"] = 99
        raise RuntimeError
    assert dict(matplotlib.rcParams) == before


def test_a_picture_is_drawn_under_its_own_settings_by_whoever_draws_it() -> None:
    import io

    import matplotlib

    with settings():
        figure = Picture((2, 1))
        figure.subplots().set_title("title")
    files = []
    for given in ({}, {"text.usetex": True, "font.sans-serif": ["No Such Font"], "font.size": 30}):
        with matplotlib.rc_context({"savefig.dpi": 50, **given}):
            out = io.BytesIO()
            figure.savefig(out)
            files.append(out.getvalue())
    assert files[0] == files[1]
    assert figure._repr_png_().startswith(b"\x89PNG")


# --- pictures that fail ---------------------------------------------------------------------------


def fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no picture\nto be had")


def test_a_picture_that_fails_costs_a_warning_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results_in(tmp_path / "out")
    (folder / "curves.png").write_bytes(b"of other results")
    monkeypatch.setattr(plots, "curves_figure", fails)
    with pytest.warns(PictureWarning, match=r"pictures \(curves.png\): no picture") as said:
        written = write_report(folder)
    assert len(said) == 1
    assert [path.name for path in written] == ["table.md", "overfitting.png", "report.html"]
    assert not (folder / "curves.png").exists()


def test_without_matplotlib_there_are_all_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results_in(tmp_path / "out")
    monkeypatch.setattr("normlab.viz.settings._imported", fails)
    with pytest.warns(PictureWarning, match="overfitting.png and 7 more\\): no picture") as said:
        written = write_report(folder)
    assert len(said) == 1
    assert [path.name for path in written] == ["table.md", "report.html"]
    html = (folder / "report.html").read_text("utf-8")
    assert html.count("could not be drawn") == 7 and "99.02 ± 0.05" in html


def test_a_picture_that_cannot_be_written_costs_a_line(tmp_path: Path) -> None:
    folder = results_in(tmp_path / "out")
    (folder / "curves.png").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "normlab", "report", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "| layernorm |" in done.stdout
    assert done.stderr == (
        f"warning: {folder}: without pictures (curves.png): Is a directory. All numbers are there; "
        f"`normlab report {folder}` draws anew\n"
    )
    assert not list(folder.glob(".*"))


def test_the_table_is_there_before_any_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results_in(tmp_path / "out")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "curves_figure", killed)
    with pytest.raises(KeyboardInterrupt):
        write_report(folder)
    assert "99.02 ± 0.05" in (folder / "table.md").read_text("utf-8")


# --- text that fits -------------------------------------------------------------------------------

LONG = "A treebank whose name nobody has thought of making any shorter than it is, second edition"


def _long(**more: Any) -> list[dict[str, Any]]:
    """A study whose every name is long."""
    given = {"title": LONG, "task": "x", "metric": "labelled attachment score", "unit": "points"}
    lines = [
        losses(norm, seed, [0.6, 0.4, 0.2, 0.1], [0.7, 0.6, 0.65, 0.8])
        | {"test": 99 + 0.001 * seed + 0.1 * i, "settings": {**FIVE[0]["settings"], **more}}
        | given
        for i, norm in enumerate(ORDER)
        for seed in range(2)
    ]
    search = {"C": 1.23457e-05, "C_candidates": {"1.23457e-05": 99.0}}
    return [line | (search if line["norm"] == "adanorm" and line["seed"] else {}) for line in lines]


FEW = ("layernorm", "layernorm_simple", "adanorm")
STUDIES = {
    "five variants": FIVE,
    "one variant": [result()],
    "one epoch": [losses(norm, seed, [0.6 + seed], [0.7]) for norm in FEW for seed in range(2)],
    "all variants": [result(norm, seed, 99 + 0.01 * seed) for norm in ORDER for seed in range(3)],
    "stand-in": [
        result(norm, s, warning="stand-in digits (generated), not MNIST", train_items=100_000)
        | {"settings": {**FIVE[0]["settings"], "train_items": 1_000, "epochs": 2}}
        for norm in FEW
        for s in (0, 1)
    ],
    "long names": _long(),
    "several tasks": [*FIVE, *[result(norm, task="fashion_mnist") for norm in FEW]],
    "formulas": [result(norm, title="a $\\frac$ b", metric="$", unit="$x_$") for norm in FEW],
    "wide numbers": [
        result(norm, seed, 1e9 * (seed - 1.5) + i, metric="perplexity", unit="nats")
        for i, norm in enumerate(FEW)
        for seed in range(3)
    ],
}
REPORTED = sorted((Path(__file__).parents[2] / "docs" / "results").glob("*/results.jsonl"))
STUDIES |= {file.parent.name: ResultFile(file.parent).read() for file in REPORTED}


def pictures(lines: list[dict[str, Any]]) -> Iterator[tuple[str, Picture]]:
    """All that a report has."""
    found = groups(lines, ORDER)
    yield "curves.png", curves_figure(found)
    if comparison := overfitting_figure(found):
        yield "overfitting.png", comparison
    for group in found:
        for panel in [*panels(group), *overfitting_panels(group)]:
            yield panel.title, plots.panel_figure(panel, Theme())


def overlapping(figure: Picture) -> list[tuple[str, str]]:
    """Texts that lie on each other."""
    from normlab.viz.figures import _shown

    boxes = [(text.get_text(), text.get_window_extent()) for text in _shown(figure)]
    return [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 3
    ]


@pytest.mark.parametrize("name", STUDIES)
def test_no_text_of_a_report_leaves_its_picture(name: str) -> None:
    for title, figure in pictures(STUDIES[name]):
        with settings(**Theme().look):
            assert [text.get_text() for text, _ in jutting(figure)] == [], title
            assert overlapping(figure) == [], title


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("layers", [1, 12])
def test_no_text_of_a_probe_leaves_its_picture(steps: int, layers: int) -> None:
    class Named(nl.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for i in range(layers):
                name = f"the_{'very_' * 20}long_$name$_of_layer_{i}" if i % 2 else f"l{i}"
                setattr(self, name, nl.nn.Norm("layernorm", 8))

        def forward(self, x: nl.Tensor) -> nl.Tensor:
            for _, module in self.named_modules():
                if isinstance(module, nl.nn.Norm):
                    x = module(x)
            return x

    net = Named()
    with nl.probe(net) as probe:
        for _ in range(steps):
            nl.sum(net(nl.randn(16, 8, requires_grad=True))).backward()
            probe.next_step()
    figure = viz.probed(probe.records)
    with settings():
        assert [text.get_text() for text, _ in jutting(figure)] == []
        assert overlapping(figure) == []


def test_what_leaves_a_picture_is_found_and_broken() -> None:
    with settings():
        figure = Picture((2, 2), layout="constrained")
        ax = figure.subplots()
        ax.set_xlabel("a label of several words that is wider than its picture is")
        figure.text(0.5, 2, "above")
        (first, room), (above, whole) = sorted(jutting(figure), key=lambda found: found[1])
        assert first is ax.xaxis.label and 0.2 < room < 0.9
        assert above.get_text() == "above" and whole == 1
        fit(figure)
        assert ax.get_xlabel().count("\n") >= 1
        assert [text.get_text() for text, _ in jutting(figure)] == ["above"]
