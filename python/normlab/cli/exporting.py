"""normlab export: trained models for other programs."""

from typing import Annotated

import typer

import normlab as nl

from .console import examples, show
from .values import path

EXPORT_EXAMPLES = examples(
    "normlab export rt/model.safetensors -o rt.onnx",
    "normlab export mnist/model.safetensors --opset 23",
)


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A study's model.safetensors (mnist, fashion_mnist, rt, sst5, charlm)."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Written whole or not at all.",
            show_default="MODEL with the suffix .onnx",
        ),
    ] = None,
    opset: Annotated[
        int,
        typer.Option(
            metavar="N", help="17 to 23. From 23 on, RMSNorm is the operator RMSNormalization."
        ),
    ] = 17,
) -> None:
    r"""Write a model as ONNX, and compare it with ONNX Runtime. Needs normlab\[onnx]."""
    try:
        from normlab import onnx
    except ImportError as error:
        raise nl.ArgumentError(str(error)) from error

    given = path("MODEL", model)
    to = path("--output", output) if output is not None else given.with_suffix(".onnx")
    done = onnx.export(given, to, opset=opset)
    show(f"{to}: opset {done.opset}, {to.stat().st_size / 1e6:.1f} MB")
    if done.difference is None:
        show("not run: ONNX Runtime is not installed")
    else:
        show(
            f"greatest difference from ONNX Runtime over {done.results} results: "
            f"{done.difference:.1e}"
        )
