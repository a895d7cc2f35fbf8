"""The examples in the docstrings of public functions: each has one, and each is so."""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import normlab as nl

MODULES = (
    *("", ".nn", ".optim", ".text", ".language", ".parse", ".translate", ".cuda"),
    *(".data", ".study", ".report", ".viz", ".onnx"),
)


def functions() -> Iterator[tuple[str, Any]]:
    """Public functions, Python's and the engine's, and the context managers beside them."""
    for suffix in MODULES:
        module = importlib.import_module("normlab" + suffix)
        for name in getattr(module, "__all__", ()):
            if inspect.isroutine(function := getattr(module, name)):
                yield f"nl{suffix}.{name}", function
    yield from (("nl.no_grad", nl.no_grad), ("nl.matmul_precision", nl.matmul_precision))


FUNCTIONS = dict(functions())


def test_they_are_found() -> None:
    python = {"nl.data.mnist", "nl.nn.LayerNorm", "nl.viz.tree"}
    compiled = {"nl.matmul", "nl.nn.Parameter", "nl.parse.score", "nl.cuda.stream"}
    assert python | compiled <= FUNCTIONS.keys()


class Runner(doctest.DocTestRunner):
    """Lets an error pass that says that data or a GPU are not on this machine."""

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, error: Any) -> None:
        if isinstance(error[1], nl.DeviceError) and not nl.cuda.is_available():
            pytest.skip(f"no device: {nl.cuda.why_not()}")
        if isinstance(error[1], nl.data.DataMissingError):
            pytest.skip(str(error[1]).splitlines()[0])
        super().report_unexpected_exception(out, test, example, error)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_is_so(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NORMLAB_MIRROR", "http://127.0.0.1:9")  # nothing is downloaded
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    known = {"nl": nl, "np": np, "Path": Path}
    test = doctest.DocTestParser().get_doctest(
        inspect.getdoc(FUNCTIONS[name]) or "", known, name, None, None
    )
    assert test.examples, "no example"
    said: list[str] = []
    Runner().run(test, out=said.append)
    assert said == [], "".join(said)
