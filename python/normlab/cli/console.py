"""Shared by commands: options, examples in the help, console output."""

import sys
from pathlib import Path
from typing import Any

import typer

from normlab._plain import plain

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def flag(name: str, **more: Any) -> Any:
    """An option without a value."""
    return typer.Option(name, metavar="", **more)


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(("[bold]Examples[/bold]", *commands))


def show_table(folder: Path) -> None:
    """Prints a report's table.md, laid out if a person reads it, and names report.html."""
    show_markdown((folder / "table.md").read_text("utf-8"))
    show(f"Pictures and all numbers: {folder / 'report.html'}")


def show_markdown(text: str) -> None:
    """Prints Markdown, laid out if a person reads it."""
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        show(Markdown(plain(text, sys.stdout.encoding)))
    else:
        show(text)


def show(what: Any) -> None:
    """Prints text or one of Rich's tables."""
    from rich.console import Console

    Console(soft_wrap=isinstance(what, str)).print(what, markup=False, highlight=False)


def say_error(text: str) -> None:
    """Prints an error, red if a person reads it."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False, style="red")
