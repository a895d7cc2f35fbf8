"""The Markdown pages: their links lead somewhere, and they name the layers as the lint does."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures that are files, without anchors."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    found = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [target for target in found if target and "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_the_readme_and_the_index_lead_to_every_page() -> None:
    names = {page.name for page in PAGES[1:]} - {"index.md"}
    # The C++ reference is only readable when Sphinx has built it.
    assert names - {"cpp.md"} <= {Path(target).name for target in links(PAGES[0])}
    (tree,) = re.findall(r"```{toctree}\n(.*?)```", (ROOT / "docs/index.md").read_text(), re.DOTALL)
    assert {Path(name).stem for name in names} <= set(tree.split())


def test_the_layers_are_those_of_the_lint() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text[text.index("| layer |") :].split("\n\n")[0]
    lint = (ROOT / "tests" / "lint" / "arrows.py").read_text("utf-8")
    (layers,) = re.findall(r"^CPP_LAYERS = (\(.*?^\))$", lint, re.M | re.DOTALL)
    assert (*re.findall(r"^\| `(.+?)` \|", table, re.M), "bindings") == eval_tuple(layers)


def eval_tuple(text: str) -> tuple[str, ...]:
    """The strings of a tuple's text, in order."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(str(node.value) for node in nodes)
