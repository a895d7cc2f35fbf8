"""First derivatives only: where a statistic is a constant, a second one would be silently wrong."""

from typing import Any

import torch
from torch import Tensor

SECOND = (
    "normlab.torch: only first derivatives: what the backward pass holds constant has no second "
    'derivative; variants that detach nothing have one with backend="torch"'
)
FORWARD_MODE = (
    "normlab.torch: no forward-mode derivative (jvp, jacfwd, hessian) through a variant that holds "
    'a statistic constant, nor with backend="normlab"; use backward() or torch.func.grad'
)


class Refused(torch.autograd.Function):
    """Its first input; a derivative of it is an error in words.

    The others are what it was computed from, so that no way back goes around.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(dx: Tensor, *_: Any) -> Tensor:
        """Dx itself."""
        return dx.view_as(dx)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        """RuntimeError."""
        raise RuntimeError(SECOND)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        """RuntimeError."""
        raise RuntimeError(FORWARD_MODE)


class FirstDerivative(torch.autograd.Function):
    """x itself, whose gradient refuses to be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """X itself."""
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Tensor:
        """Dx itself."""
        return Refused.apply(dx)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        """RuntimeError."""
        raise RuntimeError(FORWARD_MODE)
