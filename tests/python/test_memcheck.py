"""Which of memcheck's errors `tests/run memcheck` counts."""

import xml.etree.ElementTree as ET
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

LOADER = SourceFileLoader("memcheck", str(Path(__file__).resolve().parents[1] / "memcheck"))
memcheck = module_from_spec(spec_from_loader("memcheck", LOADER))  # type: ignore[arg-type]
LOADER.exec_module(memcheck)

OURS = "<frame><obj>/site/normlab/_core.so</obj></frame>"
PYTHON = "<frame><obj>/lib/libpython.so</obj><fn>Py_INCREF</fn></frame>"
LOOP = "<frame><obj>/lib/libpython.so</obj><fn>_PyEval_EvalFrameDefault</fn></frame>"
LIBRARY = "<frame><obj>/lib/libc.so</obj><fn>memcpy</fn></frame>"


@pytest.mark.parametrize(
    ("stacks", "is_ours"),
    [
        ((LIBRARY + OURS + LOOP,), True),
        ((PYTHON + OURS + LOOP,), True),  # given to Python's API
        ((PYTHON + LOOP, LIBRARY + OURS + LOOP), True),  # used by Python, made by us
        ((PYTHON + LOOP + OURS + LOOP,), False),  # Python code that we called
        ((PYTHON + LOOP, PYTHON + LOOP + OURS), False),
        ((LIBRARY,), False),
    ],
)
def test_errors_of_ours_are_told_from_those_of_python(
    stacks: tuple[str, ...], is_ours: bool
) -> None:
    inside = "".join(f"<stack>{stack}</stack>" for stack in stacks)
    assert memcheck.is_ours(ET.fromstring(f"<error>{inside}</error>")) == is_ours
