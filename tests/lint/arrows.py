#!/usr/bin/env python3
"""Checks that includes and imports run down through the layers, and that no modules form a circle.

    tests/lint/arrows.py [ROOT]

The tables below are the one place that states the order. An arrow may run to a lower layer or
within its own.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

# Lowest first: the folders of engine/src, then the bindings.
CPP_LAYERS = (
    *("cpu", "core", "cuda", "ops", "nn", "optim"),
    *("models", "models/text", "models/language", "models/parse", "models/translate", "bindings"),
)
# Every public header belongs to the layer that implements it.
HEADERS = {
    "cpu": "bfloat16 error scalar threads",
    "core": "autograd cuda info io matmul_precision random tensor",
    "ops": "norm norm_passes ops",
    "nn": "nn probe",
    "optim": "optim",
    "models/text": "text",
    "models/language": "language",
    "models/parse": "parse",
    "models/translate": "subwords translate",
    "bindings": "normlab",
}
# Lowest first: modules and packages of python/normlab; "normlab" is its __init__.py.
PYTHON_LAYERS = (
    "_core _libraries",
    "_output _plain _signatures _templates _text_format machine paper progress settings",
    "_arrays _attach _extras _grad _hints _html _misuse _pickling _precision _torch_file "
    "cuda language nn optim parse text translate",
    "normlab",
    "data",
    "filters norm_formulas notebooks results system_info text_io torch viz",
    "report",
    "study",
    "onnx",
    "cli",
    "__main__",
)


class Arrow(NamedTuple):
    """An include or import. The names are files or modules."""

    file: Path
    line: int
    source: str
    target: str


# --- C++ -----------------------------------------------------------------------------------------


def includes(root: Path) -> Iterator[Arrow]:
    """The includes of the engine's and the bindings' own files."""
    bases = {"engine/src": "", "engine/include": "", "bindings": "bindings/"}
    for base, prefix in bases.items():
        for file in sorted((root / base).rglob("*")):
            if file.suffix not in (".h", ".cpp", ".cu"):
                continue
            source = prefix + file.relative_to(root / base).as_posix()
            for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
                if found := re.match(r'\s*#\s*include\s*(?:"|<(?=normlab/))([\w./]+)[">]', line):
                    target = found[1] if "/" in found[1] else f"{prefix}{found[1]}"
                    yield Arrow(file, number, source, target)


def cpp_layer(name: str) -> str | None:
    """The layer of a file, by its folder or, for a public header, by the table."""
    folder, _, stem = name.removesuffix(".h").rpartition("/")
    if folder.startswith("normlab/"):  # "normlab/parse" belongs to parse.h
        folder, stem = folder.split("/")
    if folder == "normlab":
        return next((layer for layer, names in HEADERS.items() if stem in names.split()), None)
    return folder if folder in CPP_LAYERS else None


# --- Python --------------------------------------------------------------------------------------


def module_name(file: Path, root: Path) -> str:
    """The name by which a file of the package is imported."""
    parts = file.relative_to(root / "python").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nodes_at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`, which load nothing."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from (other, *nodes_at_run_time(other))
        else:
            yield from (node, *nodes_at_run_time(node))


def targets(node: ast.AST, source: str, package: bool, known: set[str]) -> Iterator[str]:
    """The modules of normlab that a node imports."""
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name.split(".")[0] == "normlab")
    if not isinstance(node, ast.ImportFrom):
        return
    parts = source.split(".")
    above = parts[: len(parts) - node.level + package] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    if base.split(".")[0] == "normlab":
        for name in node.names:
            full = f"{base}.{name.name}"
            yield full if full in known else base


def imports(root: Path) -> Iterator[Arrow]:
    """The imports within the package, those in functions too."""
    files = sorted((root / "python" / "normlab").rglob("*.py"))
    known = {module_name(file, root) for file in files} | {"normlab._core"}
    for file in files:
        source = module_name(file, root)
        for node in nodes_at_run_time(ast.parse(file.read_text("utf-8"))):
            for target in targets(node, source, file.name == "__init__.py", known):
                yield Arrow(file, node.lineno, source, target)  # type: ignore[attr-defined]


def python_layer(name: str) -> str | None:
    """The layer of a module, by its first name below normlab."""
    first = [*name.split("."), "normlab"][1]
    return next((layer for layer in PYTHON_LAYERS if first in layer.split()), None)


def circle(arrows: Sequence[Arrow]) -> list[str]:
    """The modules of a circle, the first again at the end; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for arrow in arrows:
        if arrow.source != arrow.target:
            graph.setdefault(arrow.source, set()).add(arrow.target)
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


# --- both ----------------------------------------------------------------------------------------


def faults(
    arrows: Sequence[Arrow], layers: Mapping[str, str | None], order: Sequence[str], root: Path
) -> Iterator[str]:
    """A line for each arrow that runs up, and for each end that the tables do not have."""
    for file, line, source, target in arrows:
        place = f"{file.relative_to(root)}:{line}: {source} -> {target}"
        low, high = layers[target], layers[source]
        if low is None or high is None:
            unknown = target if low is None else source
            yield f"{place}: the tables of {Path(__file__).name} have no layer for {unknown}"
        elif order.index(low) > order.index(high):
            yield f"{place}: the arrow runs up, from '{high}' to '{low}'"


def check(root: Path) -> list[str]:
    """Every fault of the tree, in words."""
    cpp, python = list(includes(root)), list(imports(root))
    of_cpp = {name: cpp_layer(name) for arrow in cpp for name in arrow[2:]}
    of_python = {name: python_layer(name) for arrow in python for name in arrow[2:]}
    found = [
        *faults(cpp, of_cpp, CPP_LAYERS, root),
        *faults(python, of_python, PYTHON_LAYERS, root),
    ]
    if around := circle(python):
        places = {arrow[2:]: f"{arrow.file.relative_to(root)}:{arrow.line}" for arrow in python}
        steps = "; ".join(f"{places[step]}: {' -> '.join(step)}" for step in pairwise(around))
        found.append(f"a circle of modules: {steps}")
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    found = check(root)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
