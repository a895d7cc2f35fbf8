"""normlab predict, parse and translate: trained models on files and standard input."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

import normlab as nl
from normlab import _output, text_io

from .console import INTERRUPTED, examples, flag
from .values import finite, path

PREDICT_EXAMPLES = examples(
    "normlab study --task rt --norm adanorm --seeds 1 --save --out rt",
    "echo 'a quiet , moving film .' | normlab predict rt/model.safetensors",
    "normlab predict rt/model.safetensors reviews.txt --probabilities -o labels.tsv",
)
PARSE_EXAMPLES = examples(
    "normlab study --task parse --norm layernorm --seeds 1 --save --out parser",
    "echo 'The dog sleeps.' | normlab parse parser/model.safetensors",
    "normlab parse parser/model.safetensors --conllu < given.conllu > parsed.conllu",
    "normlab parse parser/model.safetensors a.txt b.txt.gz --skip-bad -o parsed.conllu",
)
TRANSLATE_EXAMPLES = examples(
    "normlab study --task translate --norm layernorm --seeds 1 --save --out english-german",
    "echo 'Two dogs run on the grass.' | normlab translate english-german/model.safetensors",
    "normlab translate english-german/model.safetensors captions.txt --beam 1 -o german.txt",
)
_COMMANDS = {
    "normlab.language_model": "generate",
    "normlab.text_classifier": "predict",
    "normlab.parser": "parse",
    "normlab.translator": "translate",
}  # by models' formats
_T = TypeVar("_T")

_Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="Read one after the other, packed with gzip or not; - is standard input.",
        show_default="standard input",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Written whole or not at all: after an error the old file is as it was.",
        show_default="standard output",
    ),
]


def predict(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (rt, sst5).")],
    files: _Files = None,
    output: Out = None,
    logits: Annotated[
        bool, flag("--logits", help="Print the logits between label and line.")
    ] = False,
    probabilities: Annotated[
        bool,
        flag(
            "--probabilities",
            help="Print a table divided by tabs, with a header: label, the probability of each "
            "label, line.",
        ),
    ] = False,
    skip_bad: Annotated[
        bool,
        flag(
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
    with _filtering(model, files, output) as out:
        loaded = load_for(load_model, path("MODEL", model), "predict")
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


def parse(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (parse).")],
    files: _Files = None,
    output: Out = None,
    tokenized: Annotated[
        bool, flag("--tokenized", help="White space divides the words of a line.")
    ] = False,
    conllu: Annotated[
        bool,
        flag(
            "--conllu",
            help="The input is CoNLL-U (or CoNLL-X): its tags are used, those that are _ are "
            "found; all but these, HEAD and DEPREL comes out as it went in.",
        ),
    ] = False,
    raw: Annotated[
        bool,
        flag(
            "--raw",
            help="The input is text. Without any of these three, what begins as CoNLL-U is read "
            "as such, which standard error says, and all else is text.",
        ),
    ] = False,
    retag: Annotated[bool, flag("--retag", help="With --conllu: find all tags anew.")] = False,
    skip_bad: Annotated[
        bool,
        flag(
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
    with _filtering(model, files, output) as out:
        code = filters.parse(
            load_for(load_model, path("MODEL", model), "parse"),
            model,
            files or [],
            out,
            format=given[0].removeprefix("--") if given else None,
            retag=retag,
            skip_bad=skip_bad,
        )
    if code:
        raise typer.Exit(code)


def translate(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (translate).")],
    files: _Files = None,
    output: Out = None,
    beam: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Beginnings that the search keeps; 1: always the likeliest."
        ),
    ] = 5,
    alpha: Annotated[
        float, typer.Option(help="Exponent of the length penalty: more favours longer lines.")
    ] = 1.0,
    skip_bad: Annotated[
        bool,
        flag(
            "--skip-bad",
            help="Leave out lines that are too long: each is a line on standard error, with their "
            "number at the end. The exit code is 2 if none was left.",
        ),
    ] = False,
) -> None:
    """Translate each line of files or of standard input as it comes."""
    from normlab import filters
    from normlab.translate import load_model

    finite("--alpha", alpha)
    with _filtering(model, files, output) as out:
        loaded = load_for(load_model, path("MODEL", model), "translate")
        code = filters.translate(
            loaded, files or [], out, beam=beam, alpha=alpha, skip_bad=skip_bad
        )
    if code:
        raise typer.Exit(code)


def load_for(load: Callable[[Path], _T], path: Path, command: str) -> _T:
    """Loads a model; the error for a model of another command names that command."""
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


def check_kept(model: str, output: str | None) -> None:
    """ArgumentError if the output would take the model's place."""
    if output not in (None, "-") and os.path.realpath(output) == os.path.realpath(model):
        raise nl.ArgumentError(f"--output: {output} is the model, which would be overwritten")


@contextmanager
def _filtering(model: str, files: list[str] | None, output: str | None) -> Iterator[text_io.Output]:
    """The output, opened after a check that all inputs and the output can be opened."""
    check_kept(model, output)
    text_io.check_open(reads="-" in (files or ["-"]), writes=output is None or output == "-")
    text_io.check_files(files or [])
    if output not in (None, "-"):
        _output.need_no_output()
    try:
        with text_io.Output(output) as out:
            yield out
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
