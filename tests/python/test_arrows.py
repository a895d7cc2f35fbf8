"""The lint of layers: on this tree, and on trees whose arrows run up."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOOD = {
    "engine/src/cpu/simd.h": "",
    "engine/src/ops/norm.cpp": '#include "cpu/simd.h"\n#include "normlab/norm.h"\n',
    "python/normlab/__init__.py": "",
    "python/normlab/viz/__init__.py": "from .looks import look\n",
    "python/normlab/viz/looks.py": "look = None\n",
    "python/normlab/report/__init__.py": "def draw():\n    from ..viz import look\n",
}


def check(root: Path, files: dict[str, str]) -> tuple[int, str]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    command = [sys.executable, str(ROOT / "tests/lint/arrows.py"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_all_arrows_of_this_tree_run_down() -> None:
    assert check(ROOT, {}) == (0, "")


def test_arrows_that_run_up_are_told_with_file_and_line(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == (0, "")
    bad = {
        "engine/src/cpu/simd.h": '#pragma once\n#include "ops/norm.h"\n',
        "engine/include/normlab/tensor.h": '#include "normlab/nn.h"\n',
        "python/normlab/viz/looks.py": "def f():\n    from .. import report\n",
    }
    code, said = check(tmp_path, bad)
    assert code == 1
    assert said.splitlines() == [
        "engine/src/cpu/simd.h:2: cpu/simd.h -> ops/norm.h: the arrow runs up, from 'cpu' to 'ops'",
        "engine/include/normlab/tensor.h:1: normlab/tensor.h -> normlab/nn.h: "
        "the arrow runs up, from 'core' to 'nn'",
        "python/normlab/viz/looks.py:2: normlab.viz.looks -> normlab.report: the arrow runs up, "
        "from 'filters norm_formulas notebooks results system_info text_io torch viz' to 'report'",
        "a circle of modules: python/normlab/report/__init__.py:2: normlab.report -> normlab.viz; "
        "python/normlab/viz/__init__.py:1: normlab.viz -> normlab.viz.looks; "
        "python/normlab/viz/looks.py:2: normlab.viz.looks -> normlab.report",
    ]


def test_what_has_no_layer_is_told(tmp_path: Path) -> None:
    code, said = check(tmp_path, {**GOOD, "python/normlab/new.py": "from .viz import look\n"})
    assert code == 1
    assert said == (
        "python/normlab/new.py:1: normlab.new -> normlab.viz: "
        "the tables of arrows.py have no layer for normlab.new\n"
    )


def test_imports_for_types_alone_are_no_arrows(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .. import report\n"
    assert check(tmp_path, {**GOOD, "python/normlab/viz/looks.py": text + "look = 1\n"}) == (0, "")
