"""normlab.torch without PyTorch: the rest of the package does not want it, the import says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, folder: Path) -> str:
    """What a Python without PyTorch prints."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", ["import normlab.torch as nlt", "normlab.torch.Norm"])
def test_the_error_says_what_to_install(code: str, tmp_path: Path) -> None:
    tried = f"""
import normlab
try:
    {code}
except ImportError as error:
    print(error)
"""
    said = run(tried, tmp_path)
    assert said.startswith("normlab.torch needs PyTorch 2.4 or newer: pip install torch (")


def test_the_package_imports_no_torch() -> None:
    code = "import sys, normlab, normlab.viz; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "normlab.torch needs PyTorch 2.4 or newer: pip install torch (module 'torch' has"),
        ("raise OSError('libcudart.so')", "the one that is there does not load (libcudart.so)"),
        ("__version__ = '2.3.1+cpu'", "2.4 or newer, got 2.3.1+cpu: pip install --upgrade torch"),
    ],
    ids=["folder", "broken", "old"],
)
def test_a_torch_that_is_none(content: str | None, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "torch"
    folder.mkdir()
    if content is not None:
        (folder / "__init__.py").write_text(content)
    code = f"""
import sys
import normlab
paths = [{str(tmp_path)!r}, *(p for p in sys.path if 'site-packages' not in p)]
sys.path[:] = paths
try:
    import normlab.torch
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said in done.stdout
