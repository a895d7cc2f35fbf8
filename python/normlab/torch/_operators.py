"""The kernels as operators of PyTorch's: `normlab::norm` and `normlab::norm_backward`.

A compiler sees them whole, and fuses nothing into them.
"""

import math
from typing import Any

import torch
from torch import Tensor

from . import _passes
from ._formula import groups_of
from ._once import SECOND
from ._settings import Settings, Tensors

_HOW = (
    "str variant, int axes, float eps, str denominator, float C, float k, int groups, "
    "float momentum, float topk_share, bool training"
)
_TENSORS = "Tensor? gain, Tensor? bias, Tensor? alpha, Tensor? running_mean, Tensor? running_var"
_FORWARD = f"(Tensor x, {_TENSORS}, {_HOW}, bool moments) -> (Tensor, Tensor, Tensor, Tensor)"
_BACKWARD = (
    f"(Tensor dz, Tensor x, Tensor statistics, Tensor extremes, {_TENSORS}, {_HOW}, "
    "bool[] needs) -> (Tensor, Tensor, Tensor, Tensor)"
)


def normalized(
    x: Tensor, s: Settings, t: Tensors, training: bool, moments: bool
) -> tuple[Tensor, Tensor]:
    """The pair z and moments."""
    z, _, _, found = torch.ops.normlab.norm(x, *t, *s, training, moments)
    return z, found


def _split(arguments: tuple[Any, ...]) -> tuple[Tensors, Settings, bool]:
    """The tensors, the settings and `training`, from an operator's arguments behind x."""
    return Tensors(*arguments[:5]), Settings(*arguments[5:14]), arguments[14]


def _whole(results: tuple[Any, ...], x: Tensor) -> tuple[Tensor, ...]:
    """Operators return no None: tensors without elements stand for it."""
    return tuple(x.new_empty((0,)) if r is None else r for r in results)


def _or_none(x: Tensor) -> Tensor | None:
    return x if x.numel() else None


def _rows(x: Tensor, s: Settings, given: bool) -> int:
    """How many rows have statistics of their own."""
    group = s.traits.group
    if group == "batch" or (group == "channel" and given):
        return x.shape[1]  # type: ignore[no-any-return, unused-ignore]
    if group == "row":
        return math.prod(x.shape[: x.dim() - s.axes])  # Size.numel() would fix a dynamic batch
    groups = groups_of(s, x) if group == "channels" else x.shape[1]
    return x.shape[0] * groups  # type: ignore[no-any-return, unused-ignore]


@torch.library.custom_op("normlab::norm", mutates_args=(), device_types="cpu", schema=_FORWARD)
def _norm(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    t, s, training = _split(arguments)
    return _whole(_passes.forward(x, t, s, training, arguments[15]), x)


@_norm.register_fake
def _(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    t, s, training = _split(arguments)
    given = t.running_mean is not None and not training
    rows = _rows(x, s, given)
    H = x.numel() // max(rows, 1)  # noqa: N806 (the length of a row)
    statistics = extremes = moments = None
    if s.traits.scale in ("std", "rms", "l2"):
        statistics = x.new_empty((5, rows))
        if arguments[15] and not given:
            moments = x.new_empty((rows, 2), dtype=torch.float64)
    if s.traits.clamp and int(s.topk_share * H) > 1:
        extremes = x.new_empty((rows, 2), dtype=torch.int32)
    z = torch.empty_like(x, memory_format=torch.contiguous_format)
    return _whole((z, statistics, extremes, moments), x)


@torch.library.custom_op(
    "normlab::norm_backward", mutates_args=(), device_types="cpu", schema=_BACKWARD
)
def _norm_backward(dz: Tensor, x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    statistics, extremes, *rest = arguments
    t, s, training = _split(tuple(rest))
    saved = (_or_none(statistics), _or_none(extremes))
    return _whole(_passes.backward(dz.contiguous(), x, saved, t, s, training, tuple(rest[15])), x)


@_norm_backward.register_fake
def _(dz: Tensor, x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    t, needs = Tensors(*arguments[2:7]), arguments[17]
    likes = (x, t.gain, t.bias, t.alpha)
    grads = (
        torch.empty_like(like, memory_format=torch.contiguous_format) if needed else None
        for like, needed in zip(likes, needs, strict=True)
    )
    return _whole(tuple(grads), x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, *arguments = inputs
    t, s, training = _split(tuple(arguments))
    _, statistics, extremes, moments = output
    running = (None, None) if training else t[3:]  # they change in training
    ctx.save_for_backward(x, *t[:3], *running, statistics, extremes)
    ctx.how = (s, training)
    ctx.mark_non_differentiable(statistics, extremes, moments)


def _differentiate(ctx: Any, dz: Tensor, *_: Any) -> tuple[Any, ...]:
    x, *tensors, statistics, extremes = ctx.saved_tensors
    s, training = ctx.how
    needs = list(ctx.needs_input_grad[:4])
    found = torch.ops.normlab.norm_backward(
        dz, x, statistics, extremes, *tensors, *s, training, needs
    )
    grads = (g if needed else None for g, needed in zip(found, needs, strict=True))
    return (*grads, *(None,) * 13)


def _refuse(*_: Any) -> Any:
    raise RuntimeError(SECOND)


_norm.register_autograd(_differentiate, setup_context=_keep)
_norm_backward.register_autograd(_refuse)
