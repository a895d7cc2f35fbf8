#!/usr/bin/env python3
"""Checks that source files and functions stay small enough to be read at once.

    tests/lint/sizes.py [ROOT]

A C++ function is a definition at namespace scope. clang-format puts its first and its last line in
column 0 and indents its body. An exception that is no longer needed is a fault, too.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

FOLDERS = ("engine", "bindings", "python")
CPP = (".h", ".cpp", ".cu")
PYTHON = (".py", ".pyi")
MOST_LINES = {"file": 450, "function": 45}

# "path" or "path:function", and why it may be longer.
COMMANDS = "declares a command's options with their help"
EXCEPTIONS: dict[str, str] = {
    "python/normlab/cli/models.py:parse": COMMANDS,
    "python/normlab/cli/paper.py:paper": COMMANDS,
    "python/normlab/cli/training.py:study": COMMANDS,
}


class Part(NamedTuple):
    """A file or a function, its first line and its number of lines."""

    kind: str
    name: str
    line: int
    lines: int


def python_functions(text: str) -> Iterator[Part]:
    """All functions, nested ones and methods too, without their decorators."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Part("function", node.name, node.lineno, lines)


def without_raw_strings(text: str) -> str:
    """The text with the content of raw strings indented, so that column 0 holds code alone."""
    pattern = r'R"(\w*)\(.*?\)\1"'
    return re.sub(pattern, lambda found: found[0].replace("\n", "\n "), text, flags=re.DOTALL)


def cpp_name(head: str) -> str:
    """The name of the function that a definition's first lines declare."""
    plain = re.sub(r"\[\[.*?\]\]|(__launch_bounds__|__attribute__)\((?:[^()]|\(.*?\))*\)", "", head)
    found = re.search(r"(operator\W+?|[\w:~]+(?:<\w+>)?)\(", plain)
    return found[1] if found else plain.strip()


def cpp_functions(text: str) -> Iterator[Part]:
    """The functions at namespace scope."""
    lines = without_raw_strings(text).splitlines()
    start = 0
    for number, line in enumerate(lines, 1):
        if line == "}":
            name = cpp_name(" ".join(lines[start - 1 : number]))
            yield Part("function", name, start, number - start + 1)
        elif re.match(r"[\w\[]", line) and not re.match(r"(namespace|extern)\b.*\{$|\w+:$", line):
            start = number


def parts(root: Path) -> Iterator[tuple[str, Part]]:
    """Every file and function, with the file's path."""
    for file in sorted(file for folder in FOLDERS for file in (root / folder).rglob("*")):
        if file.suffix not in CPP + PYTHON:
            continue
        path, text = file.relative_to(root).as_posix(), file.read_text("utf-8")
        yield path, Part("file", "", 1, len(text.splitlines()))
        for part in cpp_functions(text) if file.suffix in CPP else python_functions(text):
            yield path, part


def check(root: Path, exceptions: Mapping[str, str]) -> list[str]:
    """Every fault of the tree, in words."""
    found, unused = [], set(exceptions)
    for path, part in parts(root):
        if part.lines <= MOST_LINES[part.kind]:
            continue
        key = f"{path}:{part.name}".rstrip(":")
        unused.discard(key)
        if key not in exceptions:
            what = f"{part.kind} {part.name}".strip()
            most = MOST_LINES[part.kind]
            found.append(f"{path}:{part.line}: {what} has {part.lines} lines; at most {most}")
    return found + [f"{key}: the exception is not needed; remove it" for key in sorted(unused)]


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    found = check(root, EXCEPTIONS if len(sys.argv) == 1 else {})
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
