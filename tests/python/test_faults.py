"""A share of the fault harness, which `tests/run faults` runs in full: see tests/faults."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).resolve().parents[1] / "faults" / "harness.py"


@pytest.mark.skipif(sys.platform != "linux", reason="the library to preload is written for Linux")
@pytest.mark.skipif(not shutil.which(os.environ.get("CC", "gcc")), reason="no C compiler")
@pytest.mark.parametrize(
    "task",
    [
        *("study images", "study text", "study parse", "study text, resumed"),
        *("study charlm", "study translate"),
        *("predict", "parse", "parse --conllu", "files"),
        *("generate --prompt the --length 12", "translate --beam 2"),
    ],
)
def test_faults_end_in_words_and_a_repeat_comes_to_the_same_end(task: str) -> None:
    command = [sys.executable, str(HARNESS), "--most", "2", task]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    kinds = [line.removeprefix(f"{task}: ").partition(":")[0] for line in ran.stdout.splitlines()]
    assert kinds == ["kill", "full", "read", "memory"]
