"""The command line: normlab study, report, paper, predict, parse, generate and others."""

import os
import sys
import warnings
from typing import Annotated, Any

import typer

import normlab as nl
from normlab import _output
from normlab._plain import one_line

from .console import flag, say_error
from .exporting import EXPORT_EXAMPLES, export
from .generation import GENERATE_EXAMPLES, generate
from .models import (
    PARSE_EXAMPLES,
    PREDICT_EXAMPLES,
    TRANSLATE_EXAMPLES,
    parse,
    predict,
    translate,
)
from .paper import PAPER_EXAMPLES, paper
from .reading import NOTEBOOKS_EXAMPLES, info, norms, notebooks
from .training import STUDY_EXAMPLES, report, study
from .values import spread

__all__ = ["main"]

app = typer.Typer(
    name="normlab",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Normalisation layers, trained and compared: [bold]Understanding and Improving Layer "
    "Normalization[/bold] (NeurIPS 2019) on your own machine.",
    epilog="[bold]Start here[/bold]\n\n"
    "  normlab study --quick      [dim]five variants, three seeds, some minutes[/dim]\n\n"
    "  normlab paper --quick      [dim]the paper's whole table, ten minutes[/dim]\n\n"
    "  normlab notebooks          [dim]nine of them, from first steps to C++[/dim]\n\n"
    "  normlab norms              [dim]what the variants are[/dim]\n\n"
    "  normlab study --help       [dim]the real thing[/dim]\n\n"
    "Errors are one line; [bold]--debug[/bold] or NORMLAB_DEBUG=1 shows where they arose.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(nl.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, flag("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass  # --version has its callback


app.command(epilog=STUDY_EXAMPLES)(study)
app.command()(report)
app.command(epilog=PAPER_EXAMPLES)(paper)
app.command(epilog=PREDICT_EXAMPLES)(predict)
app.command(epilog=PARSE_EXAMPLES)(parse)
app.command(epilog=GENERATE_EXAMPLES)(generate)
app.command(epilog=TRANSLATE_EXAMPLES)(translate)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=NOTEBOOKS_EXAMPLES)(notebooks)
app.command()(norms)
app.command()(info)


def _say_warning(message: Any, *_: Any, **__: Any) -> None:
    """Prints one of Python's warnings in one line."""
    print(f"warning: {one_line(str(message))}", file=sys.stderr, flush=True)


def main() -> None:
    """The console command. Errors of normlab are one line and exit code 2, unless debugging."""
    _output.guard()
    warnings.showwarning = _say_warning
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1 or os.environ.get("NORMLAB_DEBUG") == "1"
    try:
        code = _run(arguments)
        if failure := _output.failure():
            raise nl.FileError(failure)
    except nl.Error as error:
        if debug:
            raise
        say_error(f"error: {one_line(str(error))}")
        code = 2
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    try:
        app(args=spread(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
