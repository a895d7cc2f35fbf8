"""Options that several commands take, each declared once."""

from typing import Annotated

import typer

import normlab as nl

from . import values

_SEEDS, _QUICK_SEEDS = "5", "3"
_MOST_JOBS = 8  # each holds the data: some 250 MB

Seeds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N | LIST",
        help="How many (5: seeds 0 to 4), or which: 0,3,7.",
        show_default=f"{_SEEDS}; {_QUICK_SEEDS} with --quick",
    ),
]

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


def seeds_here(seeds: list[str] | None, quick: bool) -> list[int]:
    """The seeds by the options."""
    return values.seeds(seeds or [_QUICK_SEEDS if quick else _SEEDS])


def jobs_here(jobs: int | None, scheduler: str | None, threads: int) -> int:
    """Runs at a time in this process, by the options; ArgumentError for --jobs with --scheduler."""
    values.counts(jobs=jobs)
    if scheduler is None:
        # Runs side by side do not wait for each other: faster than one run on all threads.
        return jobs or min(threads, _MOST_JOBS)
    if jobs is not None:
        raise nl.ArgumentError("--jobs: is for this machine alone; leave out --jobs or --scheduler")
    return 1
