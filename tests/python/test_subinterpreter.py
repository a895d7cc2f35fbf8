"""In a sub-interpreter the import fails at once, in words, and the main interpreter goes on."""

import subprocess
import sys
import textwrap

import pytest

# The module's name and what makes an interpreter, from CPython 3.10 to 3.14.
MAKE = """
try:
    import _interpreters as interpreters  # from 3.13 on
except ImportError:
    import _xxsubinterpreters as interpreters

def make(kind):
    if kind == "isolated":
        return interpreters.create()
    try:
        return interpreters.create("legacy")  # from 3.13 on
    except (TypeError, ValueError):
        return interpreters.create(isolated=False)

def run(interpreter, code):
    failed = interpreters.run_string(interpreter, code)  # an exception before 3.13
    assert failed is None, failed
"""

INSIDE = """
for _ in range(2):
    for name in ("normlab", "normlab._core", "normlab.nn"):
        try:
            __import__(name)
        except ImportError as error:
            assert "main interpreter" in str(error) or "subinterpreters" in str(error), error
            print("refused", flush=True)
        else:
            print("imported", flush=True)
"""


def ran(code: str) -> str:
    program = MAKE + f"INSIDE = {INSIDE!r}\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_the_import_is_refused_at_once(kind: str) -> None:
    out = ran(f"""
        run(make({kind!r}), INSIDE)
        import normlab as nl
        print(nl.ones(2).sum().item())
    """)
    assert out.split() == ["refused"] * 6 + ["2.0"]


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_beside_a_main_interpreter_that_has_it(kind: str) -> None:
    out = ran(f"""
        import normlab as nl
        x = nl.ones(2, requires_grad=True)
        for _ in range(2):
            run(make({kind!r}), INSIDE)
        (x * 2).sum().backward()
        print(x.grad.tolist())
    """)
    assert out.split() == [*["refused"] * 12, "[2.0,", "2.0]"]
