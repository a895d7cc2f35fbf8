"""Every norm variant as a module of PyTorch's."""

from collections.abc import Sequence
from operator import index
from typing import Any, NoReturn

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's name)
from torch import Tensor, nn

from .. import ArgumentError, DtypeError, ShapeError
from . import _formula, _kernels
from ._settings import TRAITS, Settings, Tensors, check_settings

_BACKENDS = (None, "torch", "normlab")
_FAST = (torch.float32, torch.float64)
# Below so many elements PyTorch's own layer_norm is faster (tests/bench/torch_norm.py).
_FEW = 1 << 19


_NESTED = (
    "Norm: x must not be a nested tensor; nn.TransformerEncoder makes none with "
    "enable_nested_tensor=False"
)


class Norm(nn.Module):
    """Any normalisation variant, for PyTorch.

    Parameters are called ``weight`` and ``bias``, as those of ``nn.LayerNorm``, whose states load
    here and the other way round; buffers as those of ``nn.BatchNorm2d``. dyt has ``alpha``, too.
    Statistics and what the variant detaches are as in :func:`normlab.normalize`. There are first
    derivatives only where a part of the formula is held constant: a second one is an error.

    Args:
        variant: One of ``nl.norm_variants()``.
        shape: The trailing axes that form a row, an int or several. For batchnorm, groupnorm and
            instancenorm the number of channels, which stand on axis 1 of x; the lengths of the
            axes behind them may follow.
        eps: Added where ``denominator`` says.
        denominator: "var_eps", sqrt(biased variance + eps), or "std_eps", unbiased deviation + eps.
        C: adanorm's scale.
        k: adanorm's slope, phi = C (1 - k y).
        groups: groupnorm's; None stands for gcd(channels, 32).
        momentum: Share of the new batch in the running statistics.
        topk_share: topk clamps max(int(share * row length), 1) entries on each side.
        track_running_stats: instancenorm keeps running statistics, as batchnorm does.
        backend: "torch", PyTorch's operations, for any device, dtype and compiler; "normlab", the
            engine's fused kernels, on the CPU; None, the faster one, call by call.
        device: Of the parameters.
        dtype: Of the parameters.

    Raises:
        ArgumentError: An option that the variant does not take, or out of its range.
        DtypeError: An option of another type.

    Source: Xu et al., "Understanding and Improving Layer Normalization", NeurIPS 2019.
    """

    def __init__(
        self,
        variant: str,
        shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        denominator: str = "var_eps",
        C: float = 1.0,  # noqa: N803 (the paper's name)
        k: float = 0.1,
        groups: int | None = None,
        momentum: float = 0.1,
        topk_share: float = 0.005,
        track_running_stats: bool = False,
        backend: str | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.shape = _lengths(shape)
        given = Settings(
            *(variant, len(self.shape), eps, denominator, C, k, groups or 0, momentum, topk_share)
        )
        check_settings(given, self.shape, track_running_stats)
        self.settings = given._replace(
            eps=float(eps), C=float(C), k=float(k), groups=int(groups or 0),
            momentum=float(momentum), topk_share=float(topk_share),
        )  # fmt: skip
        if backend not in _BACKENDS:
            raise ArgumentError(
                f"Norm: backend must be 'torch', 'normlab' or None, got {backend!r}"
            )
        self.backend = backend
        # Plain attributes: what each call reads.
        self._by_channel = self.settings.by_channel
        self._has_native = _formula.has_native(self.settings)
        traits = self.settings.traits
        self._by_layer_norm = self._has_native and (traits.group, traits.scale) == ("row", "std")
        self._make(track_running_stats, {"device": device, "dtype": dtype})

    def _make(self, track_running_stats: bool, factory: dict[str, Any]) -> None:
        """Registers the parameters and buffers, or None where the variant has none."""
        traits, shape = TRAITS[self.variant], self.shape
        if traits.group != "row":
            shape = shape[:1]
        size = (1,) if traits.scalar_gain else shape

        def register(name: str, taken: bool, size: tuple[int, ...]) -> None:
            value = nn.Parameter(torch.empty(size, **factory)) if taken else None
            self.register_parameter(name, value)

        register("weight", traits.takes_gain, size)
        register("bias", traits.takes_bias, size)
        register("alpha", traits.scale == "tanh", (1,))
        tracks = traits.group == "batch" or (traits.group == "channel" and track_running_stats)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.empty(shape, **factory) if tracks else None)
        count = torch.empty((), dtype=torch.long, device=factory["device"]) if tracks else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gain 1 (scalenorm: the root of a row's length), bias 0, alpha 0.5, statistics 0 and 1."""
        scalar = TRAITS[self.variant].scalar_gain
        gain = torch.Size(self.shape).numel() ** 0.5 if scalar else 1.0
        values = (self.weight, gain), (self.bias, 0.0), (self.alpha, 0.5)
        running = (self.running_mean, 0.0), (self.running_var, 1.0), (self.num_batches_tracked, 0)
        with torch.no_grad():
            for tensor, value in (*values, *running):
                if tensor is not None:
                    tensor.fill_(value)

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.settings.variant

    @property
    def eps(self) -> float:
        """As ``nn.LayerNorm`` has it."""
        is_layer_norm = self.variant == "layernorm" and self._has_native
        return self.settings.eps if is_layer_norm else _OwnEps(self.settings.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Shape and dtype of x; ShapeError for another shape than the module's."""
        if x.is_nested:
            raise ShapeError(_NESTED)
        s, shape = self.settings, self.shape
        there = x.shape[1 : 1 + len(shape)] if self._by_channel else x.shape[-len(shape) :]
        if there != shape or (self._by_channel and len(shape) not in (1, x.dim() - 1)):
            self._refuse(x)
        dtype = x.dtype
        if self._by_layer_norm and self.backend is None and dtype in _FAST and x.numel() < _FEW:
            gain, bias = self.weight, self.bias  # at once: the rest costs half of such a norm
            if (gain is None or gain.dtype is dtype) and (bias is None or bias.dtype is dtype):
                return F.layer_norm(x, shape, gain, bias, s.eps)
        t = Tensors(self.weight, self.bias, self.alpha, self.running_mean, self.running_var)
        if t.running_mean is not None and self.training and x.numel():
            self.num_batches_tracked.add_(1)
        backend = self.backend or self._faster(x, t)
        if backend == "torch" or _is_transformed():
            return _formula.normalized(x, s, t, self.training, self._has_native)
        return _kernels.normalized(x, s, t, self.training)

    def _refuse(self, x: Tensor) -> NoReturn:
        axes = len(self.shape)
        where = "axes of x behind the first" if self._by_channel else f"last {axes} axes of x"
        raise ShapeError(
            f"Norm: the {where} must be {self.shape}, got x {tuple(x.shape)} "
            f"(variant '{self.variant}')"
        )

    def _faster(self, x: Tensor, t: Tensors) -> str:
        """The backend that is faster for x, among those that can take it."""
        if self._has_native and self._by_channel:
            return "torch"
        if _kernels.is_watched(x) or x.device.type != "cpu" or x.dtype not in _FAST:
            return "torch"
        if not x.is_contiguous() or any(v is not None and v.dtype != x.dtype for v in t):
            return "torch"
        return "normlab"

    def extra_repr(self) -> str:
        """The variant, the shape and the settings that are not the usual ones."""
        usual = Settings(self.variant, self.settings.axes)
        changed = [
            f"{name}={value!r}"
            for name, value in self.settings._asdict().items()
            if value != getattr(usual, name)
        ]
        if self.settings.traits.group == "channel" and self.running_mean is not None:
            changed.append("track_running_stats=True")
        backend = () if self.backend is None else (f"backend={self.backend!r}",)
        shape = self.shape[0] if len(self.shape) == 1 else self.shape
        return ", ".join((repr(self.variant), str(shape), *changed, *backend))


def _lengths(shape: Any) -> tuple[int, ...]:
    """One length or several as a tuple."""
    try:
        lengths = (shape,) if hasattr(shape, "__index__") else shape
        return tuple(int(index(length)) for length in lengths)
    except TypeError:
        raise DtypeError(f"Norm: shape must be an int or several, got {shape!r}") from None


class _OwnEps(float):
    """The eps of a norm that is no LayerNorm: never the same as another one's.

    nn.TransformerEncoderLayer takes two norms of the same eps for LayerNorms, which its fused
    kernel for inference computes without calling them.
    """

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, _OwnEps) and float(self) == other

    def __ne__(self, other: object) -> bool:  # what PyTorch asks
        return True


def _is_transformed() -> bool:
    """True under torch.func, whose wrappers have no memory, and in forward mode."""
    if torch.compiler.is_compiling():
        return False
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return bool(torch._C._are_functorch_transforms_active()) or forward_mode
