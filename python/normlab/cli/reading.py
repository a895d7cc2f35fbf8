"""normlab notebooks, norms and info."""

import sys
from typing import Annotated

import typer

from normlab import _output

from .console import examples, flag, show
from .values import path

NOTEBOOKS_EXAMPLES = examples(
    "normlab notebooks",
    "normlab notebooks lessons --no-browser",
    "NORMLAB_PREFIX=~/engine normlab notebooks   [dim]the last one then compiles C++[/dim]",
)


def notebooks(
    folder: Annotated[str, typer.Argument(help="Where the copies go.")] = "normlab-notebooks",
    force: Annotated[
        bool,
        flag("--force", help="Overwrite notebooks that were changed there, outputs too."),
    ] = False,
    no_browser: Annotated[
        bool, flag("--no-browser", help="Start JupyterLab and print its address only.")
    ] = False,
    copy_only: Annotated[bool, flag("--copy-only", help="Do not start JupyterLab.")] = False,
) -> None:
    """Copy the notebooks into a folder and open JupyterLab there; changed ones are kept."""
    from normlab.notebooks import copy, lab_command, open_lab

    _output.need_no_output()
    target = path("FOLDER", folder)
    command = None if copy_only else lab_command(target, browser=not no_browser)
    copied = copy(target, force=force)
    show(f"{folder}: {len(copied.written)} notebooks written")
    if copied.kept:
        show(f"Changed and left as they are (--force overwrites): {', '.join(copied.kept)}")
    if command:
        open_lab(command)


def norms() -> None:
    """The variants: what each computes, and which derivatives its backward pass keeps."""
    from normlab.norm_formulas import norms_table

    show(norms_table(sys.stdout.encoding))


def info() -> None:
    """This build, this machine, and where data would come from."""
    from normlab.system_info import info_table

    show(info_table(sys.stdout.encoding))
