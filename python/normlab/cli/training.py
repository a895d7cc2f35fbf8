"""normlab study and report."""

import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import normlab as nl
from normlab import _output

from . import values
from .console import INTERRUPTED, examples, flag, say_error, show_table
from .options import Jobs, Scheduler, Seeds, jobs_here, seeds_here

STUDY_EXAMPLES = examples(
    "normlab study --quick\n\n"
    "[dim]  Five variants on a part of MNIST, three seeds: minutes, not the paper's numbers.[/dim]",
    "normlab study --seeds 10 --out mnist\n\n"
    "[dim]  The paper's experiment, ten seeds. Interrupt it when you like; the same command goes "
    "on.[/dim]",
    "normlab study --norm layernorm adanorm --C 1 --seeds 0,3,7 --task mnist fashion_mnist\n\n"
    "[dim]  Two variants, C fixed, these three seeds, two tasks.[/dim]",
    "normlab study --task rt sst5 --norm paper gain_only bias_only --out text\n\n"
    "[dim]  The paper's text tasks, with the two halves of LayerNorm's parameters: which "
    "over-fits?[/dim]",
    "normlab study --task parse --treebank ~/UD_German-GSD --C 1 --out german\n\n"
    "[dim]  Dependency parsers of a folder's CoNLL-U files; without --treebank, of UD "
    "English-EWT.[/dim]",
    "normlab study --task charlm --text novel.txt --norm layernorm --seeds 1 --save --out novel\n\n"
    "[dim]  A language model of a book's characters, which [bold]normlab generate[/bold] lets "
    "write.[/dim]",
    "normlab study --task translate --source en --target fr --norm layernorm --out french\n\n"
    "[dim]  Translators of Multi30k's captions; BLEU of its test set.[/dim]",
    "normlab study --task rt --seeds 20 --scheduler tcp://head:8786 --out rt\n\n"
    "[dim]  On many machines: `dask scheduler` on head, `dask worker tcp://head:8786 --nthreads 1 "
    "--nworkers 4` on each.[/dim]",
    "normlab study --norm all --denominator std_eps --epochs 5\n\n"
    "[dim]  Every variant with the denominator of the authors' code. Other settings in the same "
    "--out are kept apart.[/dim]",
)


class Device(str, Enum):
    """Where networks are."""

    cpu = "cpu"
    cuda = "cuda"


class Denominator(str, Enum):
    """Where eps goes."""

    var_eps = "var_eps"
    std_eps = "std_eps"


class Precision(str, Enum):
    """What products round their inputs to."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def study(
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="mnist, fashion_mnist, rt, sst5, parse, charlm, translate; several: --task a b.",
            show_default="mnist",
        ),
    ] = None,
    treebank: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="Of Universal Dependencies by its name, or a folder with train, dev and test as "
            "CoNLL-U or CoNLL-X, in parts or whole; a tenth of train stands for dev or test that "
            "is missing; for parse.",
            show_default="en_ewt",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|FOLDER",
            help="tinyshakespeare, warandpeace, enwik8 or text8, or plain UTF-8 text: a file, or a "
            "folder of .txt; for charlm.",
            show_default="tinyshakespeare",
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="multi30k, iwslt14 or iwslt15, or a folder with train, valid and test in two "
            "languages (train.en, train.de, ...); for translate.",
            show_default="multi30k",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="LANGUAGE",
            help="To translate from, as files end: en; for translate.",
            show_default="the corpus's",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="LANGUAGE",
            help="To translate into: de; for translate.",
            show_default="the corpus's",
        ),
    ] = None,
    paper_size: Annotated[
        bool,
        flag("--paper", help="The authors' network and training of De-En; for translate."),
    ] = False,
    lower: Annotated[
        bool,
        flag(
            "--lower",
            help="Train in lower case, in which papers score Multi30k; for translate.",
        ),
    ] = False,
    norm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="paper (its five), all, or names from [bold]normlab norms[/bold].",
            show_default="paper",
        ),
    ] = None,
    seeds: Seeds = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", help="For results.jsonl, table.md, the pictures, report.html."
        ),
    ] = "normlab-study",
    quick: Annotated[
        bool,
        flag(
            "--quick",
            help="A try of some minutes: fewer epochs, and only a part of the data; without "
            "MNIST, a named text or Multi30k at hand, on generated data, and everything says so.",
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many passes.", show_default="the task's"),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop when validation has not improved for so many epochs.",
            show_default="the task's",
        ),
    ] = None,
    scales: Annotated[
        list[str] | None,
        typer.Option(
            "--C",
            metavar="C...",
            help="Candidates for adanorm's C; with several, the validation set chooses for each "
            "seed.",
            show_default="the task's: 0.8 1 1.5 2, text 0.5 1 1.5 2",
        ),
    ] = None,
    denominator: Annotated[
        Denominator | None,
        typer.Option(
            help="Where eps goes: sqrt(var + eps), or std + eps as in the authors' code.",
            show_default="var_eps",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Examples a step; tokens, for sentences; crops, for charlm.",
            show_default="the task's: 32, sentences 4096",
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(min=0.0, help="Learning rate.", show_default="the task's")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="The numbers are the same for any.", show_default="all cores"),
    ] = None,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    device: Annotated[
        Device,
        typer.Option(
            help="Where to train and test: the CPU, or an NVIDIA GPU, there one run at a time "
            "unless --jobs says more."
        ),
    ] = Device.cpu,
    precision: Annotated[
        Precision,
        typer.Option(
            help="What the CPU's products round their inputs to. Sums, norms and weights stay "
            "float32.",
        ),
    ] = Precision.float32,
    save: Annotated[
        bool,
        flag(
            "--save",
            help="Keep the model of the run that is best on validation as model.safetensors.",
        ),
    ] = False,
) -> None:
    """Train every variant over several seeds: means, 95 % intervals, paired differences."""
    from normlab.study import Overrides, Study

    _output.need_no_output()
    folder = values.path("--out", out)
    values.counts(epochs=epochs, patience=patience, batch=batch, threads=threads)
    shared = (threads or nl.num_threads()) if device is Device.cpu else 1
    jobs_now = jobs_here(jobs, scheduler, shared)
    plan = Study(
        tasks=values.tasks(
            task or ["mnist"],
            parse={"treebank": treebank},
            charlm={"text": text},
            translate={
                "corpus": corpus,
                "source": source,
                "target": target,
                "paper": paper_size or None,
                "lower": lower or None,
            },
        ),
        norms=values.norms(norm or ["paper"]),
        seeds=seeds_here(seeds, quick),
        out=folder,
        overrides=Overrides(
            epochs, patience, batch, values.finite("--lr", lr), denominator and denominator.value
        ),
        quick=quick,
        threads=threads,
        jobs=jobs_now,
        scales=values.positive("--C", scales) if scales else None,
        save=save,
        device=device.value,
        precision=precision.value,
        scheduler=scheduler,
    )
    try:
        plan.run()
    except KeyboardInterrupt as interrupted:
        _say_interrupted(folder, str(interrupted))
        raise typer.Exit(INTERRUPTED) from None
    show_table(folder)


def _say_interrupted(folder: Path, progress: str) -> None:
    """Tells how to go on and, if some runs are finished, how to report them."""
    from normlab.study import ResultFile

    command = shlex.join(["normlab", *sys.argv[1:]])
    text = f"Interrupted{progress and f': {progress}'}. Nothing is lost; to go on: {command}"
    if any(not result["candidate"] for result in ResultFile(folder).read()):
        text += f"\nA report on what is finished: normlab report {shlex.quote(str(folder))}"
    say_error(text)


def report(
    folder: Annotated[str, typer.Argument(help="A study's --out.")] = "normlab-study",
) -> None:
    """Write table.md, the pictures and report.html anew from results.jsonl, also while it grows."""
    from normlab.report import write_report

    _output.need_no_output()
    path = values.path("FOLDER", folder)
    write_report(path)
    show_table(path)
