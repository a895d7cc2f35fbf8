"""The engine's passes of a norm on PyTorch's tensors, by DLPack without a copy."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from .._core import _NormPass
from ._settings import Settings, Tensors

_EXCHANGES = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")  # in C, without a call of Python


@cache
def _pass(s: Settings, axes: int) -> _NormPass:
    return _NormPass(s.variant, axes, **s.engine_arguments())


def _pass_for(x: Tensor, s: Settings) -> _NormPass:
    return _pass(s, x.dim() - 1 if s.by_channel else s.axes)


def _given(*tensors: Any) -> tuple[Any, ...]:
    """As arguments: older versions of PyTorch lend only what requires no gradient."""
    if _EXCHANGES:
        return tensors
    return tuple(None if t is None else t.detach() for t in tensors)


def _taken(*results: Any) -> tuple[Any, ...]:
    """As results, tensors of PyTorch's."""
    if _EXCHANGES:
        return results
    return tuple(None if r is None else torch.from_dlpack(r) for r in results)


def readable(x: Tensor) -> Tensor:
    """x, or a copy whose memory holds its values in order: no stride, sign or zero is implied."""
    x = x.contiguous()
    return x.clone() if x.is_neg() or x._is_zerotensor() else x


def forward(x: Tensor, t: Tensors, s: Settings, training: bool, moments: bool) -> tuple[Any, ...]:
    """z, statistics, extremes and moments, None where there are none. Nothing is updated."""
    # In training running statistics are for the caller to update, from the moments.
    running = (None, None) if training else t[3:]
    given = _given(x, *t[:3], *running)
    own = training or t.running_mean is None
    arguments = (*given, own, moments)
    return _taken(*_pass_for(x, s).forward(*arguments))


def backward(
    dz: Tensor,
    x: Tensor,
    saved: tuple[Any, Any],
    t: Tensors,
    s: Settings,
    training: bool,
    needs: tuple[bool, bool, bool, bool],
) -> tuple[Any, ...]:
    """The gradients of x, gain, bias and alpha, None for those not needed."""
    running = (None, None) if training else t[3:]
    given = _given(dz, x, *saved, t.gain, t.alpha, *running)
    own = training or t.running_mean is None
    arguments = (*given, own, needs)
    return _taken(*_pass_for(x, s).backward(*arguments))
