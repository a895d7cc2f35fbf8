"""The reference documentation: it builds without a warning, and what it says is so."""

import copy
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from test_hints import things

import normlab as nl

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


# --- the committed studies ------------------------------------------------------------------------


def test_tables_of_results_are_what_the_results_say() -> None:
    sys.path.insert(0, str(DOCS / "results"))
    try:
        import tables
    finally:
        sys.path.remove(str(DOCS / "results"))
    texts = tables.texts()
    assert {path.name for path in texts} == {"table.md", "paper.md", "README.md"}
    assert (ROOT / "README.md").read_text("utf-8").count("| cannot be told |") > 0
    for path, text in texts.items():
        assert path.read_text("utf-8") == text, f"{path}: run python docs/results/tables.py"


# --- the tables of "From PyTorch" ----------------------------------------------------------------


def table_rows(text: str) -> list[tuple[str, str, str]]:
    """The three cells of every row of every table of a Markdown page."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]
    assert all(len(row) == 3 for row in cells), "a bar in a cell?"
    return [row for row in cells if row[0] not in ("PyTorch", "---")]  # type: ignore[misc]


ROWS = table_rows((DOCS / "from_pytorch.md").read_text("utf-8"))


def test_the_tables_are_found() -> None:
    assert len(ROWS) > 100
    assert len({ours for _, ours, _ in ROWS}) > 100


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_our_side_of_a_row_works(row: tuple[str, str, str]) -> None:
    _, ours, note = row
    (code,) = re.findall("^`(.+)`$", ours)
    on_gpu = "cuda" in code and "available" not in code
    if on_gpu and not nl.cuda.is_available():
        pytest.skip(f"no device: {nl.cuda.why_not()}")
    exec(code, {"copy": copy, **things()})
    for name in re.findall(r"`(nl\.[\w.]+)", note):
        eval(name, things())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_for_a_name_that_we_lack_is_told_by_the_error_too(row: tuple[str, str, str]) -> None:
    """Whoever types PyTorch's name gets the name or a hint, never Python's bare error."""
    theirs = row[0].strip("`")
    owners: dict[str, Any] = {
        r"(?:torch)\.(\w+)": nl,
        r"nn\.(\w+)": nl.nn,
        r"optim\.(\w+)": nl.optim,
        r"F\.(\w+)": nl.nn.functional,
        r"x\.(\w+)": things()["x"],
        r"net\.(\w+)": things()["net"],
        r"optimizer\.(\w+)": things()["optimizer"],
        r"(DataLoader|lr_scheduler)": nl.data if "DataLoader" in theirs else nl.optim,
    }
    for pattern, owner in owners.items():
        if found := re.match(pattern, theirs):
            try:
                getattr(owner, found[1])
            except AttributeError as error:
                assert f"has no {found[1]}; " in str(error)
            return
    forms = (
        r"[x(]|net[\[(]|next|with |import |from |a forward hook|sum|torchvision|"
        r"(np|layer|p|copy)\."
    )
    assert re.match(forms, theirs), "a form of its own"


# --- examples ------------------------------------------------------------------------------------


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


PAGES_WITH_CPP = ("cpp.md", "../README.md")


def test_the_python_of_the_first_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in blocks("index.md", "python"):
        exec(code, names)
    assert names["x"].grad.shape == (32, 128)
    assert len(names["probe"].records) == 10
    assert set(nl.load("model.safetensors")) == set(names["net"].state())


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = blocks("../README.md", "python")
    assert examples
    for code in examples:
        exec(code, names)
    assert set(nl.load("model.safetensors")) == set(names["net"].state())


@pytest.mark.skipif("NORMLAB_PREFIX" not in os.environ, reason="no installed engine is named")
@pytest.mark.parametrize("page", [page for page in PAGES_WITH_CPP if blocks(page, "cpp")])
def test_the_cpp_examples_compile_and_learn(page: str, tmp_path: Path) -> None:
    (code,) = blocks(page, "cpp")
    lines, _ = blocks("cpp.md", "cmake")  # the second has a test in test_package.py
    (tmp_path / "main.cpp").write_text(code)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(app CXX)\nadd_executable(app main.cpp)\n"
        + lines
    )
    prefix = f"-DCMAKE_PREFIX_PATH={os.environ['NORMLAB_PREFIX']}"
    for command in (["cmake", "-S", ".", "-B", "b", prefix], ["cmake", "--build", "b"], ["b/app"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    losses = [float(x) for x in re.findall(r"loss ([\d.e-]+)", done.stdout)]
    assert len(losses) == 5 and losses[-1] < losses[0] / 5
    assert set(nl.load(tmp_path / "model.safetensors")) >= {"0.weight", "2.bias"}


# --- the built pages -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built as the README says."""
    if shutil.which("doxygen") is None:
        pytest.skip("doxygen is not installed: the C++ reference cannot be built")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(folder / "trees"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder / "html"


SUBMODULES = (
    *("nn", "optim", "text", "language", "parse", "translate", "cuda"),
    *("data", "study", "report", "viz", "onnx"),
)


def described(built: Path) -> dict[str, set[str]]:
    """By language, the names that have an entry: those that other projects may link to."""
    packed = (built / "objects.inv").read_bytes().split(b"\n", 4)[4]
    found: dict[str, set[str]] = {"py": set(), "cpp": set()}
    for line in zlib.decompress(packed).decode().splitlines():
        name, language = re.match(r"(.+?) (\w+):\w+ -?\d+ ", line).groups()  # type: ignore[union-attr]
        found.setdefault(language, set()).add(name)
    return found


def test_every_public_name_of_python_is_in_the_reference(built: Path) -> None:
    names = described(built)["py"]
    missing = [
        f"{module.__name__}.{name}"
        for module in (nl, *(getattr(nl, name) for name in SUBMODULES))
        for name in module.__all__
        if not name.startswith("__")
        and type(getattr(module, name)).__name__ not in ("module", "GenericAlias")
        and f"{module.__name__}.{name}" not in names
    ]
    assert missing == []
    assert {"normlab.Tensor.backward", "normlab.nn.Norm.gain"} <= names


def test_every_public_class_of_cpp_is_in_the_reference(built: Path) -> None:
    names = {name.rpartition("::")[2] for name in described(built)["cpp"]}
    headers = list((ROOT / "engine" / "include" / "normlab").rglob("*.h"))
    assert len(headers) > 10
    for header in headers:
        text = header.read_text("utf-8")
        classes = re.findall(r"^(?:class|struct|enum class) (\w+)(?=[ :{]+[^;]*$)", text, re.M)
        assert [name for name in classes if name not in names] == [], header.name


def test_the_variants_page_has_a_row_for_each_variant(built: Path) -> None:
    html = (built / "variants.html").read_text("utf-8")
    for name in nl.norm_variants():
        assert f">{name}</span></code></p></td>" in html, name
    row = html[html.index(">adanorm<") :]
    assert "φ" in row[: row.index("</tr>")] and "(G − mean G − y·mean Gy)/σ" in row  # noqa: RUF001
    assert html.count("<tr") == 1 + len(nl.norm_variants())


def test_the_site_has_the_notebooks_and_the_results(built: Path) -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        html = (built / "notebooks" / f"{notebook.stem}.html").read_text("utf-8")
        assert re.search("highlight-i?python", html), "cells"
        assert "math notranslate" in html or "$\\" not in notebook.read_text("utf-8"), "formulas"
    page = (built / "results" / "index.html").read_text("utf-8")
    links = set(re.findall(r'href="([\w/]+\.html)"', page))
    studies = {path.parent.name for path in (DOCS / "results").glob("*/results.jsonl")}
    assert {f"{study}/{kind}.html" for study in studies for kind in ("table", "report")} <= links
    assert all((built / "results" / link).exists() for link in links)
    assert re.search(r'<img [^>]*src="_images/face.png"', (built / "index.html").read_text("utf-8"))


def test_signatures_are_readable(built: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in built.rglob("*.html"))
    assert "SupportsFloat" not in text and "_core." not in text and "pybind11_object" not in text
    plain = re.sub(r"<[^>]+>", "", text)
    assert "transpose(x: Tensor, *args)" in plain, "the overloads are there"
