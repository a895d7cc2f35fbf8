"""Sphinx: the reference of what is installed, and of the C++ headers beside this folder.

pip install .[docs], and doxygen from the system's packages; then: sphinx-build -W docs OUTPUT

NORMLAB_NOTEBOOKS names a folder of notebooks that have run: the others show no outputs.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import normlab
from normlab.report import write_report
from normlab.results import ResultFile

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))

project = "normlab"
author = "the normlab authors"
copyright = author
version = release = normlab.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "breathe",
    "myst_nb",
    "variants_table",
]
exclude_patterns = ["images"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

html_theme = "furo"
html_title = f"normlab {release}"
html_static_path = ["_static"]
html_css_files = ["normlab.css"]
html_show_sphinx = False
html_copy_source = False

nb_execution_mode = "off"
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",  # links to the project's files, which GitHub follows
    "duplicate_declaration.cpp",  # every header opens namespace normlab
]

autoclass_content = "both"
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "extra_repr"}
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

breathe_default_project = "normlab"
breathe_default_members = ("members",)
breathe_show_include = False
primary_domain = "py"

# Patterns in the bindings' signatures, and their short forms for a reader.
_SHORTER = (
    (r"DTypeLike", "dtype"),
    (r"self: \w+(?:, )?", ""),
)


def _shorter(*event: Any) -> tuple[str | None, str | None]:
    """A compiled function's signature in short."""
    signature, returns = event[-2:]
    for pattern, replacement in _SHORTER:
        signature = signature and re.sub(pattern, replacement, signature)
        returns = returns and re.sub(pattern, replacement, returns)
    return signature, returns


def _bars(*event: Any) -> None:
    """Docstrings write |x| for a length, which is markup here."""
    lines = event[-1]
    lines[:] = [re.sub(r"(``.*?``)|\|", lambda m: m[1] or r"\|", line) for line in lines]


def _sentences(app: Sphinx, what: str, *event: Any) -> None:
    """Keeps napoleon from reading the words before a property's colon as its type."""
    if what in ("property", "attribute"):
        event[-1][:0] = ["..", ""]  # an empty comment


def _bases(app: Sphinx, name: str, obj: object, options: object, bases: list[type]) -> None:
    """Hides pybind11's own base class."""
    bases[:] = [object if base.__name__ == "pybind11_object" else base for base in bases]


def _overloads(*event: Any) -> None:
    """Marks the signatures of overloads as code."""
    lines = event[-1]
    if not lines or not re.match(r"1\. \w+\(", lines[0]):
        return
    for i, line in enumerate(lines):
        if re.match(r"\d+\. \w+\(", line):
            number, code = line.split(" ", 1)
            lines[i] = f"{number} ``{_shorter(code, None)[0]}``"
        elif line:
            lines[i] = "   " + line


def _doxygen(app: Sphinx) -> None:
    """Reads the headers into XML for breathe."""
    if shutil.which("doxygen") is None:
        raise ExtensionError("the C++ reference needs doxygen: apt-get install doxygen")
    output = Path(app.doctreedir) / "doxygen"
    output.mkdir(parents=True, exist_ok=True)
    settings = {
        "INPUT": _HERE.parent / "engine" / "include",
        "OUTPUT_DIRECTORY": output,
        "RECURSIVE": "YES",
        "GENERATE_HTML": "NO",
        "GENERATE_LATEX": "NO",
        "GENERATE_XML": "YES",
        "XML_PROGRAMLISTING": "NO",
        "EXTRACT_ALL": "YES",
        "EXTRACT_LOCAL_CLASSES": "NO",
        "EXCLUDE_SYMBOLS": "normlab::detail",
        "JAVADOC_AUTOBRIEF": "NO",
        "MARKDOWN_SUPPORT": "YES",
        "AUTOLINK_SUPPORT": "NO",
        "MACRO_EXPANSION": "YES",
        # Sphinx's reader of C++ knows neither C++20's designated initialisers nor long tables.
        "MAX_INITIALIZER_LINES": 0,
        "INPUT_FILTER": r"sed -E 's/(options = \{)\./\1/'",
        "QUIET": "YES",
        "WARN_IF_UNDOCUMENTED": "NO",
        "WARN_IF_INCOMPLETE_DOC": "NO",
        "WARN_AS_ERROR": "FAIL_ON_WARNINGS",
    }
    text = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
    done = subprocess.run(["doxygen", "-"], input=text, text=True, capture_output=True)
    if done.returncode:
        raise ExtensionError(f"doxygen: {done.stderr.strip()}")
    app.config.breathe_projects = {"normlab": str(output / "xml")}


def _notebooks(app: Sphinx) -> None:
    """Copies the notebooks beside the pages, since Sphinx reads nothing outside their folder."""
    clean = _HERE.parent / "notebooks"
    run = Path(os.environ.get("NORMLAB_NOTEBOOKS", clean))
    for path in clean.glob("*.ipynb"):
        with_outputs = run / path.name
        source = with_outputs if with_outputs.exists() else path
        shutil.copyfile(source, _HERE / "notebooks" / path.name)


def _reports(app: Sphinx, error: Exception | None) -> None:
    """Writes the reports of the committed studies, which results/index.md links to."""
    if error or app.builder.format != "html":
        return
    for file in sorted((_HERE / "results").glob("*/results.jsonl")):
        folder = Path(app.outdir) / "results" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        write_report(folder, ResultFile(file.parent).read())


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", _reports)
    app.connect("builder-inited", _doxygen, priority=100)
    app.connect("builder-inited", _notebooks)
    app.connect("autodoc-process-signature", _shorter)
    app.connect("autodoc-process-bases", _bases)
    app.connect("autodoc-process-docstring", _sentences, priority=80)
    app.connect("autodoc-process-docstring", _overloads, priority=90)
    app.connect("autodoc-process-docstring", _bars, priority=100)
