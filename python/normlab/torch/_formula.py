"""backend="torch": a norm out of PyTorch's operations, for any device, dtype and compiler."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's name)
from torch import Tensor

from .. import DtypeError, ShapeError
from ._once import FirstDerivative
from ._settings import Settings, Tensors

_EXACT = (torch.float32, torch.float64)


def normalized(x: Tensor, s: Settings, t: Tensors, training: bool, native: bool) -> Tensor:
    """z, of x's shape and dtype; statistics are float32 or wider.

    Args:
        x: Any device.
        s: The variant and its numbers.
        t: Its tensors.
        training: Says what becomes of the running statistics.
        native: has_native(s), which each call would find out anew.
    """
    if native and x.dtype in _EXACT and (t.gain is None or t.gain.dtype == x.dtype):
        z = _native(x, s, t, training)  # first, for the overhead of small x
        if z is not None:
            return z
    if not x.is_floating_point():
        raise DtypeError(f"Norm: x must have elements of a floating-point type, got {x.dtype}")
    if s.traits.scale == "none":
        return x.clone()  # what stands behind may change it in place
    if s.traits.detaches and _may_derive():
        x = FirstDerivative.apply(x)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    gain, bias, alpha = (None if v is None else v.to(wide.dtype) for v in t[:3])
    t = t._replace(gain=gain, bias=bias, alpha=alpha)
    z = _native(wide, s, t, training) if native else None
    if z is None:
        z = _output(_composed(wide, s, t, training), wide, s, t)
    return z.to(x.dtype)


def _may_derive() -> bool:
    """True where a derivative may be asked for.

    A compiler refuses second ones itself; what torch.jit traces holds PyTorch's operations alone.
    """
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    return torch.is_grad_enabled() or torch.autograd.forward_ad._current_level >= 0


# --- PyTorch's own norms --------------------------------------------------------------------------


def has_native(s: Settings) -> bool:
    """True if one of PyTorch's own norms is this one."""
    r = s.traits
    whole = r.grad_mean and r.grad_scale and r.output in ("plain", "affine", "gain", "bias")
    exact = s.var_eps and s.eps > 0  # with eps = 0 a row of equal elements must give 0
    return whole and exact and r.scale in ("std", "rms") and not r.clamp


def _native(x: Tensor, s: Settings, t: Tensors, training: bool) -> Tensor | None:
    if s.traits.group == "row":
        shape = x.shape[-s.axes :]
        if s.traits.scale == "rms":
            return F.rms_norm(x, shape, t.gain, s.eps)
        return F.layer_norm(x, shape, t.gain, t.bias, s.eps)
    if s.traits.group == "channels":
        groups = groups_of(s, x)  # PyTorch refuses one example of rows of one element
        return F.group_norm(x, groups, t.gain, t.bias, s.eps) if x.numel() != groups else None
    if t.running_mean is not None and t.running_mean.dtype != x.dtype:
        return None
    given = t.running_mean is not None and not training
    running = (t.running_mean, t.running_var, t.gain, t.bias, not given, s.momentum, s.eps)
    if s.traits.group == "batch":
        return F.batch_norm(x, *running)
    places = math.prod(x.shape[2:])  # Size.numel() would fix what a compiler takes as dynamic
    refused = x.shape[0] == 0 or (places == 1 and not given)
    return None if refused else F.instance_norm(x, *running)


def groups_of(s: Settings, x: Tensor) -> int:
    """The number of groups of channels."""
    return s.groups or math.gcd(int(x.shape[1]), 32)


# --- all else -------------------------------------------------------------------------------------


def _composed(x: Tensor, s: Settings, t: Tensors, training: bool) -> Tensor:
    """The normalised x: y."""
    if s.traits.scale == "tanh":
        return torch.tanh(x * (0.5 if t.alpha is None else t.alpha))
    if t.running_mean is not None and not training:
        mean, var = (_by_channel(v, x) for v in (t.running_mean, t.running_var))
        return (x - mean) * _reciprocal(var, s)
    rows = _clamped(x, s) if s.traits.clamp else x
    if s.traits.group == "channels":
        groups = groups_of(s, x)
        rows = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    if s.traits.group == "channel":
        rows = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
    axes = _shared_axes(rows, s)
    distance, mean, var = _statistics(rows, axes, s)
    if t.running_mean is not None:
        _update(t, mean, var, s, rows.numel() // max(var.numel(), 1))
    return (distance * _reciprocal(var, s)).reshape(x.shape)


def _shared_axes(rows: Tensor, s: Settings) -> tuple[int, ...]:
    """The axes over which statistics are taken."""
    if s.traits.group == "row":
        return tuple(range(rows.dim() - s.axes, rows.dim()))
    return (0, *range(2, rows.dim())) if s.traits.group == "batch" else (2,)


def _statistics(
    rows: Tensor, axes: Sequence[int], s: Settings
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The distances from the mean, the mean and the variance, constants where the table says so."""
    count = 1
    for axis in axes:
        count *= rows.shape[axis]
    mean = None
    distance = rows
    if s.traits.scale == "std":
        mean = rows.mean(axes, keepdim=True)
        distance = rows - (mean if s.traits.grad_mean else mean.detach())
        count -= 0 if s.var_eps else 1
    if count == 0 and rows.numel():
        raise ShapeError(
            "Norm: denominator 'std_eps' divides by the unbiased deviation, which one element does "
            f"not have; x is {tuple(rows.shape)} (variant '{s.variant}')"
        )
    if s.traits.scale == "l2":
        count = 1
    var = distance.square().sum(axes, keepdim=True) / count
    return distance, mean, var if s.traits.grad_scale else var.detach()


def _reciprocal(var: Tensor, s: Settings) -> Tensor:
    """1 / sigma; 0, as its derivative, where sigma is 0."""
    if s.var_eps and s.eps > 0:
        return torch.rsqrt(var + s.eps)
    zero = var == 0  # not so NaN, which goes on
    root = torch.where(zero, 1.0, var).sqrt()  # whose derivative at 0 is infinite
    if s.eps > 0:
        return torch.where(zero, 1 / s.eps, 1 / (root + s.eps))
    return torch.where(zero, 0.0, 1 / root)


def _clamped(x: Tensor, s: Settings) -> Tensor:
    """topk: the entries beyond the kk-th on each side take its value, and it their gradient."""
    rows = x.flatten(x.dim() - s.axes)
    kk = int(s.topk_share * rows.shape[-1])
    if kk <= 1:
        return x
    ascending = torch.sort(rows.detach(), stable=True).indices
    descending = torch.sort(rows.detach(), stable=True, descending=True).indices
    low = rows.gather(-1, ascending[..., kk - 1 : kk])
    high = rows.gather(-1, descending[..., kk - 1 : kk])
    above = (rows > high) & (rows > low)
    return torch.where(rows < low, low, torch.where(above, high, rows)).reshape(x.shape)


def _output(y: Tensor, x: Tensor, s: Settings, t: Tensors) -> Tensor:
    """The output transform: z from y."""
    if s.traits.output == "adaptive":
        return (s.C * (1 - s.k * y)).detach() * y
    if s.traits.output == "residual":
        return x.detach() + y
    z = y if t.gain is None else y * _as_parameter(t.gain, x, s)
    return z if t.bias is None else z + _as_parameter(t.bias, x, s)


def _as_parameter(value: Tensor, x: Tensor, s: Settings) -> Tensor:
    return _by_channel(value, x) if s.by_channel else value


def _by_channel(value: Any, x: Tensor) -> Tensor:
    return value.reshape(-1, *(1,) * (x.dim() - 2)).to(x.dtype)


# --- running statistics ---------------------------------------------------------------------------


def _update(t: Tensors, mean: Tensor | None, var: Tensor, s: Settings, count: int) -> None:
    if mean is None:
        return
    with torch.no_grad():
        update_running(t, mean.reshape(-1, _channels(t)), var.reshape(-1, _channels(t)), s, count)


def _channels(t: Tensors) -> int:
    return int(t.running_mean.shape[0])  # type: ignore[union-attr]


def update_running(t: Tensors, mean: Tensor, var: Tensor, s: Settings, count: int) -> None:
    """Lets running be (1 - momentum) running + momentum batch, with the unbiased variance.

    Args:
        t: Its running statistics change in place.
        mean: (examples, channels).
        var: (examples, channels), as the scale has it, of ``count`` elements each.
        s: momentum and denominator.
        count: Without elements nothing changes.
    """
    if count == 0 or mean.numel() == 0:
        return
    unbiased = count / (count - 1) if s.var_eps and count > 1 else 1.0
    for running, batch in ((t.running_mean, mean), (t.running_var, var * unbiased)):
        running.lerp_(batch.mean(0).to(running.dtype), s.momentum)  # type: ignore[union-attr]
