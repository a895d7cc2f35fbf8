"""The lint of sizes: on this tree, and on trees with long files and functions."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = ROOT / "tests" / "lint" / "sizes.py"


def check(root: Path | None, files: dict[str, str]) -> tuple[int, list[str]]:
    for name, text in files.items():
        assert root is not None
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    command = [sys.executable, str(LINT), *([str(root)] if root else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def cpp(head: str, lines: int) -> str:
    """A function of that many lines."""
    return head + " {\n" + "  step();\n" * (lines - 2) + "}\n"


def test_every_part_of_this_tree_is_small_or_a_listed_exception() -> None:
    assert check(None, {}) == (0, [])


def test_parts_at_the_limit_pass(tmp_path: Path) -> None:
    files = {
        "engine/a.cpp": cpp("void f()", 45) * 10,
        "bindings/b.h": "struct Long {\n" + "  int x;\n" * 90 + "};\n",
        "python/c.py": "def f():\n" + "    pass\n" * 44,
    }
    assert check(tmp_path, files) == (0, [])


def test_long_files_are_named(tmp_path: Path) -> None:
    said = ["engine/a.h:1: file has 451 lines; at most 450"]
    assert check(tmp_path, {"engine/a.h": "\n" * 451, "tests/b.h": "\n" * 900}) == (1, said)


def test_long_functions_of_python_are_named(tmp_path: Path) -> None:
    text = "class A:\n    @property\n    def f(self):\n" + "        pass\n" * 45
    said = ["python/a.py:3: function f has 46 lines; at most 45"]
    assert check(tmp_path, {"python/a.py": text}) == (1, said)


def test_long_functions_of_cpp_are_named(tmp_path: Path) -> None:
    kernel = (
        "template <class T>\n__global__ void __launch_bounds__(bound<T>(1), 2)\n    rows(int n)"
    )
    files = {
        "engine/a.cu": "namespace normlab {\n\n" + cpp(kernel, 46) + "}  // namespace normlab\n",
        "engine/b.cpp": cpp("[[nodiscard]] int f(int x)", 46),
        "engine/c.cpp": cpp("A::A()", 3) + "static const int k = 0;\n" + cpp("void A::h()", 50),
        "engine/d.cpp": "void g()"
        + ' {\n  m.def("x", R"doc(One.\n\nArgs:\n'
        + "}\n" * 45
        + ')doc");\n}\n',
    }
    assert check(tmp_path, files) == (
        1,
        [
            "engine/a.cu:4: function rows has 47 lines; at most 45",
            "engine/b.cpp:1: function f has 46 lines; at most 45",
            "engine/c.cpp:5: function A::h has 50 lines; at most 45",
            "engine/d.cpp:1: function g has 51 lines; at most 45",
        ],
    )
