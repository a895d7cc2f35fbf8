"""normlab paper."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

import normlab as nl
from normlab import _output
from normlab.results import Result, reference_results

from . import values
from .console import INTERRUPTED, examples, flag, say_error, show, show_markdown
from .options import Jobs, Scheduler, Seeds, jobs_here, seeds_here

PAPER_EXAMPLES = examples(
    "normlab paper --quick\n\n"
    "[dim]  The whole table in minutes: few passes over a part of the data, generated data where "
    "there are none; everything says so.[/dim]",
    "normlab paper --seeds 10 --out paper\n\n"
    "[dim]  The real thing, for a night. Interrupt it when you like: it leaves the table of what "
    "is finished, and the same command goes on.[/dim]",
    "normlab paper --no-training --out paper\n\n"
    "[dim]  The table of what is finished, while another process trains.[/dim]",
    "normlab paper --reference\n\n"
    "[dim]  The table of normlab's own studies, of which the README speaks, in a moment.[/dim]",
)


def paper(
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="For results.jsonl, paper.md, paper.html, paper.pdf, and the report of normlab "
            "study.",
        ),
    ] = "normlab-paper",
    seeds: Seeds = None,
    quick: Annotated[
        bool,
        flag(
            "--quick",
            help="Some minutes on two cores: few epochs, a part of the data, small networks for "
            "text, C = 1; where data are missing, generated ones, and everything says so.",
        ),
    ] = False,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    no_training: Annotated[
        bool, flag("--no-training", help="Only write the table of what is finished.")
    ] = False,
    reference: Annotated[
        bool,
        flag("--reference", help="Only write the table of normlab's own studies; trains nothing."),
    ] = False,
) -> None:
    """Fill the paper's whole table, ours beside the authors', with a verdict on each claim."""
    from normlab.study.paper import PaperStudy, untasked

    _output.need_no_output()
    folder = values.path("--out", out)
    jobs_now = jobs_here(jobs, scheduler, nl.num_threads())
    if no_training or reference:
        _write(folder, untasked(), _reference() if reference else None)
        return
    plan = PaperStudy(
        out=folder,
        seeds=seeds_here(seeds, quick),
        quick=quick,
        jobs=jobs_now,
        scheduler=scheduler,
    )
    try:
        reasons = plan.run()
    except KeyboardInterrupt as interrupted:
        _finish_early(folder, str(interrupted))
        raise typer.Exit(INTERRUPTED) from None
    _write(folder, reasons)


def _finish_early(folder: Path, progress: str) -> None:
    """Writes the table of what is finished, and tells how to go on."""
    from normlab.study.paper import untasked

    command = shlex.join(["normlab", *sys.argv[1:]])
    said = f" in this column: {progress}" if progress else ""
    say_error(f"Interrupted{said}. Nothing is lost; to go on: {command}")
    try:
        _write(folder, untasked())
    except nl.FileError as error:  # nothing is finished
        say_error(str(error))


def _reference() -> list[Result]:
    """The lines of normlab's own studies."""
    found = [line for lines in reference_results().values() for line in lines]
    if not found:
        raise nl.FileError("--reference: this installation lacks normlab's own studies")
    return found


def _write(folder: Path, reasons: dict[str, str], results: list[Result] | None = None) -> None:
    from normlab.report.paper import write_paper

    folder.mkdir(parents=True, exist_ok=True)
    paths, text = write_paper(folder, reasons, results)
    show_markdown(text)
    show(f"Table, intervals, curves and verdicts: {', '.join(map(str, paths))}")
