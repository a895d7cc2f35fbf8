"""normlab generate: a language model writes on."""

import os
from itertools import islice
from typing import Annotated

import typer

import normlab as nl
from normlab import _output, text_io

from .console import INTERRUPTED, examples
from .models import Out, check_kept, load_for
from .values import MOST_COUNT, MOST_SEED, at_most, finite, path

GENERATE_EXAMPLES = examples(
    "normlab study --task charlm --norm layernorm --seeds 1 --save --out shakespeare",
    "normlab generate shakespeare/model.safetensors --prompt 'ROMEO:' --length 500",
    "normlab generate shakespeare/model.safetensors --prompt 'ROMEO:' --temperature 0\n\n"
    "[dim]  Always the likeliest character.[/dim]",
)


def generate(
    model: Annotated[str, typer.Argument(help="A study's model.safetensors (charlm).")],
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model continues, one character or more.")
    ],
    length: Annotated[int, typer.Option(min=0, help="Characters to write.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, help="Same seed, same characters, with any number of threads.")
    ] = 0,
    temperature: Annotated[
        float,
        typer.Option(min=0.0, help="Below 1 the likely is likelier; 0: always the likeliest."),
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Draw among so many likeliest characters.", show_default="all"),
    ] = None,
    output: Out = None,
) -> None:
    """Continue a text, character by character; the prompt comes first.

    Where the model's context is full, it slides on: the older half of it is forgotten.
    """
    from normlab import language

    _check_numbers(length, seed, temperature, top_k)
    check_kept(model, output)
    text_io.check_open(reads=False, writes=output in (None, "-"))
    if output not in (None, "-"):
        _output.need_no_output()
    found = load_for(language.load_model, path("MODEL", model), "generate")
    prompt = _as_utf8(prompt)
    try:
        writer = language.Writer(found, prompt, temperature=temperature, top_k=top_k, seed=seed)
    except nl.ArgumentError as error:
        raise nl.ArgumentError(f"--prompt: {error}") from error
    try:
        with text_io.Output(output) as out:
            out.write(prompt.encode())
            for character in islice(writer, length):
                out.write(character.encode())
            out.write(b"\n")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _check_numbers(length: int, seed: int, temperature: float, top_k: int | None) -> None:
    at_most("--length", length, MOST_COUNT)
    at_most("--seed", seed, MOST_SEED)
    at_most("--top-k", top_k, MOST_COUNT)
    finite("--temperature", temperature)


def _as_utf8(text: str) -> str:
    """A word of the command line, whose bytes are UTF-8 whatever the locale says."""
    try:
        return os.fsencode(text).decode() if any("\ud800" <= c <= "\udfff" for c in text) else text
    except UnicodeError as error:
        raise nl.ArgumentError("--prompt: must be UTF-8 text") from error
