"""Options that several commands take, each declared once."""

from typing import Annotated, Any

import typer

import normlab as nl

_MOST_JOBS = 8  # each holds the data: some 250 MB

Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Runs at a time, sharing the threads.", show_default="one a thread, up to 8"
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|FILE",
        help="Train on the workers of a Dask scheduler (tcp://head:8786, or its scheduler "
        "file), on many machines; instead of --jobs. Needs normlab\\[dask].",
    ),
]


def seeds_option(quick: int) -> Any:
    """--seeds of a command that takes five, or `quick` with --quick."""
    return typer.Option(
        metavar="N | LIST",
        help="How many (5: seeds 0 to 4), or which: 0,3,7.",
        show_default=f"5; {quick} with --quick",
    )


def jobs_here(jobs: int | None, scheduler: str | None, threads: int) -> int:
    """Runs at a time in this process, by the options; ArgumentError for --jobs with --scheduler."""
    if scheduler is None:
        # Runs side by side do not wait for each other: faster than one run on all threads.
        return jobs or min(threads, _MOST_JOBS)
    if jobs is not None:
        raise nl.ArgumentError("--jobs: is for this machine alone; leave out --jobs or --scheduler")
    return 1
