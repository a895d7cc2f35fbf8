"""The notebooks: clean files, in the package, copied by the command line, run to their end."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from normlab import notebooks

SOURCE = Path(__file__).parents[2] / "notebooks"
FILES = sorted(SOURCE.glob("*.ipynb"))
LIMIT = 600  # seconds a cell: only one that hangs takes so long

each = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def run(notebook: Any, folder: Path) -> list[Any]:
    """Runs all cells in that folder; their outputs."""
    client = NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def texts(outputs: list[Any]) -> str:
    """Everything that was printed or shown as text."""
    shown = [output.get("text", "") for output in outputs]
    shown += [output.get("data", {}).get("text/plain", "") for output in outputs]
    shown += [output.get("data", {}).get("text/markdown", "") for output in outputs]
    return "\n".join(shown)


def pictures(outputs: list[Any]) -> int:
    """How many of them are drawn."""
    shown = [output.get("data", {}) for output in outputs]
    return sum("image/png" in data or "<svg" in data.get("text/html", "") for data in shown)


# --- the files ------------------------------------------------------------------------------------


def test_they_are_numbered() -> None:
    numbers = [int(path.name[:2]) for path in FILES]
    assert numbers == list(range(1, len(FILES) + 1))
    assert all(path.name[2] == "_" for path in FILES)


@each
def test_is_committed_without_outputs(path: Path) -> None:
    raw = json.loads(path.read_text("utf-8"))
    nbformat.validate(raw)
    assert raw["metadata"]["kernelspec"]["name"] == "python3"
    assert set(raw["metadata"]) <= {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in raw["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in raw["cells"]:
        assert not cell["metadata"].keys() - {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@each
def test_needs_no_ipywidgets(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code" and "import ipywidgets" in cell.source:
            assert "except ImportError" in cell.source or "find_spec" in cell.source


# --- `normlab notebooks` --------------------------------------------------------------------------


def normlab(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "NORMLAB_DEBUG": "0"} | environment,
    )


def test_the_package_has_all_of_them() -> None:
    assert notebooks.available() == {path.name: path.read_bytes() for path in FILES}


def test_copies_and_keeps_what_was_changed(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "mine"
    first = normlab("notebooks", str(folder), "--copy-only")
    assert first.returncode == 0 and f"{len(FILES)} notebooks written" in first.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == notebooks.available()

    changed, gone = folder / FILES[0].name, folder / FILES[1].name
    changed.write_text("mine")
    gone.unlink()
    second = normlab("notebooks", str(folder), "--copy-only")
    assert "1 notebooks written" in second.stdout
    assert f"left as they are (--force overwrites): {changed.name}" in second.stdout
    assert changed.read_text() == "mine" and gone.exists()

    third = normlab("notebooks", str(folder), "--copy-only", "--force")
    assert "1 notebooks written" in third.stdout and "left" not in third.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == notebooks.available()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = normlab("notebooks", str(tmp_path / "file"), "--copy-only")
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*/file: cannot be written: File exists\n", done.stderr)


def without(module: str, folder: Path) -> dict[str, str]:
    """Environment in which that module is not to be found."""
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_without_jupyterlab_the_error_says_what_to_type(tmp_path: Path) -> None:
    hidden = without("jupyterlab", tmp_path)
    done = normlab("notebooks", str(tmp_path / "copies"), **hidden)
    assert done.returncode == 2 and not (tmp_path / "copies").exists()
    assert "pip install normlab[notebooks]" in done.stderr and "--copy-only" in done.stderr
    assert normlab("notebooks", str(tmp_path / "copies"), "--copy-only", **hidden).returncode == 0


# --- running them ---------------------------------------------------------------------------------


@each
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path, output_folder: Path) -> None:
    if "pytorch" in path.name and not importlib.util.find_spec("torch"):
        pytest.skip("PyTorch is not installed (tests/run torch does it)")
    notebook = nbformat.read(path, 4)
    try:
        outputs = run(notebook, tmp_path)
    finally:
        nbformat.write(notebook, output_folder / path.name)
    warnings = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not warnings
    assert pictures(outputs) >= 1
    if path.name.startswith("07_") and os.environ.get("NORMLAB_PREFIX"):
        assert "the same in C++ as in Python, bit for bit" in texts(outputs)


@pytest.mark.parametrize("widgets", [True, False], ids=["ipywidgets", "no ipywidgets"])
def test_studies_show_a_bar(widgets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not widgets:
        for name, value in without("ipywidgets", tmp_path).items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("NORMLAB_DATA", "")
    cell = (
        "from dataclasses import replace\nfrom pathlib import Path\nimport normlab as nl\n"
        "from normlab.study.images import ImageTask\n"
        "nl.data.cache_folder()\n"
        "read = lambda: nl.data.standin_digits(train=64, valid=32, test=32)\n"
        "task = ImageTask('toy', 'Toy', read, 0.1, 0.3)\n"
        "settings = nl.study.Overrides(epochs=2)\n"
        "nl.study.Study([task], ['none'], [0], Path('out'), overrides=settings).run();"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    outputs = run(notebook, tmp_path)
    assert "toy  none, seed 0" in texts(outputs)
    if widgets:
        states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
        bars = [s.state for s in states.values() if s.model_name == "FloatProgressModel"]
        assert [(bar["value"], bar["max"]) for bar in bars] == [(2.0, 2.0)]
    else:
        assert "2.0/2 epochs" in texts(outputs)
        assert "Warning" not in texts(outputs)
