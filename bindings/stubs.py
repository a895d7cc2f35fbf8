"""Writes the type stubs of the extension in folder argv[1] under folder argv[2]."""

import importlib
import inspect
import re
import sys
import types
from pathlib import Path

import pybind11_stubgen

# What type checkers want and docstrings cannot say.
POLISH = [
    (r"\*args\b(?!:)", "*args: typing.Any"),
    (r"\*\*kwargs\b(?!:)", "**kwargs: typing.Any"),
    (r"os\.PathLike\b(?!\[)", "os.PathLike[str]"),
    (r"(def __(?:eq|ne)__\(.*)$", r"\1  # type: ignore[override]"),
    (r"^__all__: list =", "__all__: list[str] ="),
    # As people write numbers.
    (r"typing\.Supports(Int|Float) \| typing\.SupportsIndex", lambda m: m[1].lower()),
    # In the class body Tensor.numpy would stand for the module.
    (r"^import numpy$", "import numpy as np"),
    (r"^import numpy\.typing$", "import numpy as np\nimport numpy.typing as npt"),
    (r"\bnumpy\.typing\.", "npt."),
    (r"\bnumpy\.(dtype|ndarray)\b", r"np.\1"),
]


def load(extension_dir: str) -> None:
    """Imports the extension alone, without the package around it."""
    package = types.ModuleType("normlab")
    package.__path__ = [extension_dir]
    sys.modules["normlab"] = package
    core = importlib.import_module("normlab._core")
    # Users see "normlab.Tensor"; in the stubs a name must be where it is defined.
    for module in (core, core.nn, core.optim, core.text, core.language, core.cuda, core.parse):
        for value in vars(module).values():
            if isinstance(value, type) or inspect.isroutine(value):
                value.__module__ = module.__name__


def main(extension_dir: str, output_dir: str) -> None:
    """Runs pybind11-stubgen and polishes what it wrote."""
    load(extension_dir)
    sys.argv = ["pybind11-stubgen", "--exit-code", "-o", output_dir, "normlab._core"]
    pybind11_stubgen.main()
    for stub in (Path(output_dir) / "normlab" / "_core").glob("*.pyi"):
        text = stub.read_text(encoding="utf-8")
        for pattern, replacement in POLISH:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        stub.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
