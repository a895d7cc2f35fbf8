"""A share of the mutated input for the readers that are Python: see tests/fuzz."""

import subprocess
import sys
from pathlib import Path

import pytest

READERS = Path(__file__).resolve().parents[1] / "fuzz" / "python_readers.py"


@pytest.mark.parametrize(
    "reader", ["idx", "packed", "trees", "results", "torch_file", "torch_pickle"]
)
def test_mutated_input_is_taken_or_refused_in_words(reader: str, tmp_path: Path) -> None:
    command = [sys.executable, str(READERS), "--inputs", "300", reader]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith(f"{reader}: 300 inputs")
