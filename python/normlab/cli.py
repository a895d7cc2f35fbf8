"""The command line: normlab study, report, predict, parse, notebooks, norms, info."""

import math
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

import normlab as nl
from normlab import _output, text_io
from normlab._plain import one_line, plain

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
    "  normlab notebooks          [dim]seven of them, from first steps to C++[/dim]\n\n"
    "  normlab norms              [dim]what the variants are[/dim]\n\n"
    "  normlab study --help       [dim]the real thing[/dim]\n\n"
    "Errors are one line; [bold]--debug[/bold] or NORMLAB_DEBUG=1 shows where they arose.",
)
_INTERRUPTED = 130
_MOST_JOBS = 8  # each holds the data: some 250 MB
_MANY = ("--task", "--norm", "--seeds", "--C")
_COMMANDS = {"normlab.text_classifier": "predict", "normlab.parser": "parse"}  # by models' formats
_T = TypeVar("_T")


_EXAMPLES = {
    "normlab study --quick": (
        "Five variants on a part of MNIST, three seeds: minutes, not the paper's numbers."
    ),
    "normlab study --seeds 10 --out mnist": (
        "The paper's experiment, ten seeds. Interrupt it when you like; the same command goes on."
    ),
    "normlab study --norm layernorm adanorm --C 1 --seeds 0,3,7 --task mnist fashion_mnist": (
        "Two variants, C fixed, these three seeds, two tasks."
    ),
    "normlab study --task rt sst5 --norm paper gain_only bias_only --out text": (
        "The paper's text tasks, with the two halves of LayerNorm's parameters: which over-fits?"
    ),
    "normlab study --task parse --treebank ~/UD_German-GSD --C 1 --out german": (
        "Dependency parsers of a folder's CoNLL-U files; without --treebank, of UD English-EWT."
    ),
    "normlab study --norm all --denominator std_eps --epochs 5": (
        "Every variant with the denominator of the authors' code. Other settings in the same --out "
        "are kept apart."
    ),
}


def _examples() -> str:
    lines = (f"{command}\n\n[dim]  {what}[/dim]" for command, what in _EXAMPLES.items())
    return "\n\n".join(("[bold]Examples[/bold]", *lines))


def _flag(name: str, **more: Any) -> Any:
    """An option that takes no value, and says so in the help by not naming one."""
    return typer.Option(name, metavar="", **more)


class Device(str, Enum):
    """Where networks are."""

    cpu = "cpu"
    cuda = "cuda"


class Denominator(str, Enum):
    """Where eps goes."""

    var_eps = "var_eps"
    std_eps = "std_eps"


def _version(wanted: bool) -> None:
    if wanted:
        print(nl.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, _flag("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass  # --version has its callback


@app.command(epilog=_examples())
def study(
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="mnist, fashion_mnist, rt, sst5, parse; several: --task a b.",
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
    norm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="paper (its five), all, or names from [bold]normlab norms[/bold].",
            show_default="paper",
        ),
    ] = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N | LIST",
            help="How many (5: seeds 0 to 4), or which: 0,3,7.",
            show_default="5; 3 with --quick",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", help="For results.jsonl, table.md, the pictures, report.html."
        ),
    ] = "normlab-study",
    quick: Annotated[
        bool,
        _flag(
            "--quick",
            help="A try of some minutes: fewer epochs, and only a part of the images; without "
            "MNIST at hand, on generated digits, and everything says so.",
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
            help="Examples a step; tokens, for text.",
            show_default="the task's: 32, text 4096",
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(min=0.0, help="Learning rate.", show_default="the task's")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="The numbers are the same for any.", show_default="all cores"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs at a time, sharing the threads.",
            show_default="one a thread, up to 8; 1 on a GPU",
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(help="Where to train and test: the CPU, or an NVIDIA GPU."),
    ] = Device.cpu,
    save: Annotated[
        bool,
        _flag(
            "--save",
            help="Keep the model of the run that is best on validation as model.safetensors.",
        ),
    ] = False,
) -> None:
    """Train every variant over several seeds: means, 95 % intervals, paired differences."""
    from normlab.study import Overrides, ResultFile, Study

    _output.need_no_output()
    folder = _path("--out", out)
    plan = Study(
        tasks=_tasks(task or ["mnist"], treebank),
        norms=_norms(norm or ["paper"]),
        seeds=_seeds(seeds or (["3"] if quick else ["5"])),
        out=folder,
        overrides=Overrides(
            epochs, patience, batch, _finite("--lr", lr), denominator and denominator.value
        ),
        quick=quick,
        threads=threads,
        # Runs side by side wait for nobody: faster than one run on all threads.
        jobs=jobs or (1 if device is Device.cuda else min(threads or nl.num_threads(), _MOST_JOBS)),
        scales=_positive("--C", scales) if scales else None,
        save=save,
        device=device.value,
    )
    try:
        plan.run()
    except KeyboardInterrupt as interrupted:
        command = shlex.join(["normlab", *sys.argv[1:]])
        said = (
            f"Interrupted{str(interrupted) and f': {interrupted}'}. Nothing is lost; to go on: "
            f"{command}"
        )
        if any(not result["candidate"] for result in ResultFile(folder).read()):
            said += f"\nA report on what is finished: normlab report {shlex.quote(out)}"
        _say_error(said)
        raise typer.Exit(_INTERRUPTED) from None
    _show_table(folder)


@app.command()
def report(
    folder: Annotated[str, typer.Argument(help="A study's --out.")] = "normlab-study",
) -> None:
    """Write table.md, the pictures and report.html anew from results.jsonl, also while it grows."""
    from normlab.report import write_report

    _output.need_no_output()
    path = _path("FOLDER", folder)
    write_report(path)
    _show_table(path)


_Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="Read one after the other, packed with gzip or not; - is standard input.",
        show_default="standard input",
    ),
]
_Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Written whole or not at all: after an error the old file is as it was.",
        show_default="standard output",
    ),
]


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "normlab study --task rt --norm adanorm --seeds 1 --save --out rt\n\n"
    "echo 'a quiet , moving film .' | normlab predict rt/model.safetensors\n\n"
    "normlab predict rt/model.safetensors reviews.txt --probabilities -o labels.tsv"
)
def predict(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (rt, sst5).")],
    files: _Files = None,
    output: _Out = None,
    logits: Annotated[
        bool, _flag("--logits", help="Print the logits between label and line.")
    ] = False,
    probabilities: Annotated[
        bool,
        _flag(
            "--probabilities",
            help="Print a table divided by tabs, with a header: label, the probability of each "
            "label, line.",
        ),
    ] = False,
    skip_bad: Annotated[
        bool,
        _flag(
            "--skip-bad",
            help="Leave out lines that are no text: each is a line on standard error, with their "
            "number at the end. The exit code is 2 if none was left.",
        ),
    ] = False,
) -> None:
    """Label each line of files or of standard input as it comes: label, tab, line."""
    from normlab import filters
    from normlab.text import load_model

    if logits and probabilities:
        raise nl.ArgumentError("--logits, --probabilities: one or the other")
    with _filtering(files, output) as out:
        loaded = _loaded(load_model, _path("MODEL", model), "predict")
        code = filters.predict(
            loaded,
            files or [],
            out,
            logits=logits,
            probabilities=probabilities,
            skip_bad=skip_bad,
        )
    if code:
        raise typer.Exit(code)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "normlab study --task parse --norm layernorm --seeds 1 --save --out parser\n\n"
    "echo 'The dog sleeps.' | normlab parse parser/model.safetensors\n\n"
    "normlab parse parser/model.safetensors --conllu < given.conllu > parsed.conllu\n\n"
    "normlab parse parser/model.safetensors a.txt b.txt.gz --skip-bad -o parsed.conllu"
)
def parse(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (parse).")],
    files: _Files = None,
    output: _Out = None,
    tokenized: Annotated[
        bool, _flag("--tokenized", help="White space divides the words of a line.")
    ] = False,
    conllu: Annotated[
        bool,
        _flag(
            "--conllu",
            help="The input is CoNLL-U (or CoNLL-X): its tags are used, those that are _ are "
            "found; all but these, HEAD and DEPREL comes out as it went in.",
        ),
    ] = False,
    raw: Annotated[
        bool,
        _flag(
            "--raw",
            help="The input is text. Without any of these three, what begins as CoNLL-U is read "
            "as such, which standard error says, and all else is text.",
        ),
    ] = False,
    retag: Annotated[bool, _flag("--retag", help="With --conllu: find all tags anew.")] = False,
    skip_bad: Annotated[
        bool,
        _flag(
            "--skip-bad",
            help="Leave out sentences that are broken: each is a line on standard error, with "
            "their number at the end. The exit code is 2 if none was left.",
        ),
    ] = False,
) -> None:
    """Parse files or standard input as it comes, a sentence a line: trees as CoNLL-U."""
    from normlab import filters
    from normlab.parse import load_model

    kinds = {"--tokenized": tokenized, "--conllu": conllu, "--raw": raw}
    if len(given := [name for name, is_given in kinds.items() if is_given]) > 1:
        raise nl.ArgumentError(f"{', '.join(given)}: the input is one or the other")
    if retag and not conllu:
        raise nl.ArgumentError("--retag: needs --conllu; other input has no tags")
    with _filtering(files, output) as out:
        code = filters.parse(
            _loaded(load_model, _path("MODEL", model), "parse"),
            model,
            files or [],
            out,
            format=given[0].removeprefix("--") if given else None,
            retag=retag,
            skip_bad=skip_bad,
        )
    if code:
        raise typer.Exit(code)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "normlab notebooks\n\n"
    "normlab notebooks lessons --no-browser\n\n"
    "NORMLAB_PREFIX=~/engine normlab notebooks   [dim]the last one then compiles C++[/dim]"
)
def notebooks(
    folder: Annotated[str, typer.Argument(help="Where the copies go.")] = "normlab-notebooks",
    force: Annotated[
        bool,
        _flag("--force", help="Overwrite notebooks that were changed there, outputs too."),
    ] = False,
    no_browser: Annotated[
        bool, _flag("--no-browser", help="Start JupyterLab and print its address only.")
    ] = False,
    copy_only: Annotated[bool, _flag("--copy-only", help="Do not start JupyterLab.")] = False,
) -> None:
    """Copy the notebooks into a folder and open JupyterLab there; changed ones are kept."""
    from normlab.notebooks import copy, lab_command, open_lab

    _output.need_no_output()
    path = _path("FOLDER", folder)
    command = None if copy_only else lab_command(path, browser=not no_browser)
    copied = copy(path, force=force)
    _print(f"{folder}: {len(copied.written)} notebooks written")
    if copied.kept:
        _print(f"Changed and left as they are (--force overwrites): {', '.join(copied.kept)}")
    if command:
        open_lab(command)


@app.command()
def norms() -> None:
    """The variants: what each computes, and which derivatives its backward pass keeps."""
    from normlab.norm_formulas import norms_table

    _print(norms_table(sys.stdout.encoding))


@app.command()
def info() -> None:
    """This build, this machine, and where data would come from."""
    from normlab.system_info import info_table

    _print(info_table(sys.stdout.encoding))


def _loaded(load: Callable[[Path], _T], path: Path, command: str) -> _T:
    """A model; where it is another command's, the error names that."""
    try:
        return load(path)
    except nl.FileError as error:
        try:
            _, notes = nl.load_with_metadata(path)
        except nl.Error:
            raise error from None
        other = _COMMANDS.get(notes.get("format", ""), command)
        if other == command:
            raise
        raise nl.FileError(f"{error}; it is a model for normlab {other}") from error


@contextmanager
def _filtering(files: list[str] | None, output: str | None) -> Iterator[text_io.Output]:
    """Where results go, once all that is read and written can be."""
    text_io.check_open(reads="-" in (files or ["-"]), writes=output is None or output == "-")
    text_io.check_files(files or [])
    if output not in (None, "-"):
        _output.need_no_output()
    try:
        with text_io.Output(output) as out:
            yield out
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _path(name: str, given: str) -> Path:
    """An empty name would stand for the current folder."""
    if not given:
        raise nl.ArgumentError(f"{name}: must be a path, is empty")
    return Path(given)


def _tasks(words: list[str], treebank: str | None) -> list[Any]:
    from normlab.study import TASKS

    names = _known("--task", words, list(TASKS))
    if treebank is not None and "parse" not in names:
        raise nl.ArgumentError("--treebank: needs --task parse")
    given = {"parse": {"treebank": treebank}} if treebank is not None else {}
    return [TASKS[name](**given.get(name, {})) for name in names]


def _norms(words: list[str]) -> list[str]:
    from normlab.paper import NORMS

    sets = {"all": list(nl.norm_variants()), "paper": list(NORMS)}
    names = _known("--norm", words, [*sets, *sets["all"]])
    return list(dict.fromkeys(each for name in names for each in sets.get(name, [name])))


def _items(words: list[str]) -> list[str]:
    """Values that came apart, with commas, or both; each once."""
    return list(dict.fromkeys(item for word in words for item in word.split(",") if item))


def _known(option: str, words: list[str], known: list[str]) -> list[str]:
    """The names among those that are known, in whatever case they were typed."""
    for name in (names := [item.lower() for item in _items(words)]):
        if name not in known:
            raise nl.ArgumentError(f"{option}: must be of {', '.join(known)}; is {name!r}")
    return names


def _positive(option: str, words: list[str]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(item) for item in _items(words))
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError
    except ValueError:
        raise nl.ArgumentError(
            f"{option}: must be positive numbers, are {' '.join(words)!r}"
        ) from None
    return numbers


def _finite(option: str, number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise nl.ArgumentError(f"{option}: must be a finite number, is {number}")
    return number


def _seeds(words: list[str]) -> list[int]:
    listed = len(words) > 1 or "," in words[0]
    try:
        numbers = [int(item) for item in _items(words)]
        if not numbers or min(numbers) < (0 if listed else 1):
            raise ValueError
    except ValueError:
        raise nl.ArgumentError(
            f"--seeds: must be how many (1 or more) or a list such as 0,3,7; is {' '.join(words)!r}"
        ) from None
    return numbers if listed else list(range(numbers[0]))


def _show_table(folder: Path) -> None:
    text = (folder / "table.md").read_text("utf-8")
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        _print(Markdown(plain(text, sys.stdout.encoding)))
    else:
        _print(text)
    _print(f"Pictures and all numbers: {folder / 'report.html'}")


def _print(what: Any) -> None:
    from rich.console import Console

    Console(soft_wrap=isinstance(what, str)).print(what, markup=False, highlight=False)


def _say_error(text: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False, style="red")


def _say_warning(message: Any, *_: Any, **__: Any) -> None:
    """Python's warnings, as a line."""
    print(f"warning: {one_line(str(message))}", file=sys.stderr, flush=True)


def spread(words: list[str]) -> list[str]:
    """Lets list options take several values at once: `--norm a b` becomes `--norm a --norm b`."""
    result: list[str] = []
    option = None
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("-"):
            option = name if (name := word.partition("=")[0]) in _MANY else None
        elif option and before != option:
            result.append(option)
        result.append(word)
    return result


def main() -> None:
    """The console command: normlab's errors are one line and exit code 2, unless debugging."""
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
        _say_error(f"error: {one_line(str(error))}")
        code = 2
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The command's exit code."""
    try:
        app(args=spread(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
