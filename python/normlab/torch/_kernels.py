"""backend="normlab": the engine's fused kernels on PyTorch's tape.

Two ways lead to the same passes: `normlab::norm` is an operator that compilers see; without
them `_Normalize` has a fraction of its overhead.
"""

from typing import Any

import torch
from torch import Tensor

from .. import DeviceError
from . import _operators, _passes
from ._formula import update_running
from ._once import FORWARD_MODE, Refused
from ._settings import Settings, Tensors

_PLAIN = (Tensor, torch.nn.Parameter)


def is_watched(x: Tensor) -> bool:
    """True where the passes would go unseen, or would find no memory.

    Under compilers, tracers and dispatch modes, and for wrappers such as FakeTensor.
    """
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return True
    return torch._C._len_torch_dispatch_stack() > 0 or type(x) not in _PLAIN


def normalized(x: Tensor, s: Settings, t: Tensors, training: bool) -> Tensor:
    """z; an x that is not contiguous is copied first."""
    if s.traits.scale == "none":
        return x.clone()  # what stands behind may change it in place
    if x.device.type != "cpu":
        raise DeviceError(
            f'Norm: backend="normlab" takes the CPU\'s tensors, x is on {x.device}; use "torch"'
        )
    updates = t.running_mean is not None and training
    if is_watched(x):
        z, moments = _operators.normalized(x.contiguous(), s, t, training, updates)
    elif torch.is_grad_enabled():  # no tape, no saved tensors otherwise
        z, moments = _Normalize.apply(_passes.readable(x), *t, s, training, updates)
    else:
        z, _, _, moments = _passes.forward(_passes.readable(x), t, s, training, updates)
    if updates:
        _update(t, moments, s, x.numel())
    return z


def _update(t: Tensors, moments: Tensor, s: Settings, elements: int) -> None:
    rows = moments.shape[0]
    if elements == 0 or rows == 0:
        return
    with torch.no_grad():
        mean, var = moments.reshape(-1, t.running_mean.shape[0], 2).unbind(-1)  # type: ignore[union-attr]
        update_running(t, mean, var, s, elements // rows)


class _Normalize(torch.autograd.Function):
    """(z, moments). What backward reads is saved, so that nothing is computed twice."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Any, bias: Any, alpha: Any, running_mean: Any, running_var: Any,
        s: Settings, training: bool, moments: bool,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        t = Tensors(gain, bias, alpha, running_mean, running_var)
        z, statistics, extremes, found = _passes.forward(x, t, s, training, moments)
        running = (None, None) if training else (running_mean, running_var)
        ctx.save_for_backward(x, gain, alpha, statistics, extremes, *running)
        ctx.how = (s, training)
        if found is not None:
            ctx.mark_non_differentiable(found)
        ctx.set_materialize_grads(False)
        return z, found

    @staticmethod
    def backward(ctx: Any, dz: Any, _: Any) -> tuple[Any, ...]:
        if dz is None:
            return (None,) * 9
        x, gain, alpha, statistics, extremes, mean, var = ctx.saved_tensors
        s, training = ctx.how
        t = Tensors(gain, None, alpha, mean, var)
        needs = ctx.needs_input_grad[:4]
        dz = _passes.readable(dz)
        grads = _passes.backward(dz, x, (statistics, extremes), t, s, training, needs)
        if torch.is_grad_enabled():  # create_graph=True
            sources = [v for v in (dz, x, gain, alpha) if v is not None]
            grads = tuple(g if g is None else Refused.apply(g, *sources) for g in grads)
        return (*grads, None, None, None, None, None)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(FORWARD_MODE)
