"""Norms of a model: PyTorch's own, ours, and those that look like Hugging Face's RMSNorm."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import nn

from .. import ArgumentError
from .modules import Norm

Which = Iterable[str] | Callable[[str, Any], bool] | None
"""Names of layers, which may have wildcards, or a function of name and module; None: all."""

_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


class Kind(NamedTuple):
    """A norm of a model, in our words."""

    variant: str
    group: str  # what shares statistics: row, channels, channel, batch
    shape: tuple[int, ...]  # of a row, or (channels,)
    eps: float
    groups: int = 0


def kind_of(module: Any) -> Kind | None:
    """The module as a norm; None if it is none, or none that is known."""
    if isinstance(module, Norm) and type(module).forward is Norm.forward:
        s = module.settings
        return Kind(s.variant, s.traits.group, module.shape, s.eps, s.groups)
    for classes, describe in _KINDS:
        for cls in classes:
            if isinstance(module, cls):  # a subclass may compute something else
                return describe(module) if type(module).forward is cls.forward else None
    return _looking_like_rms(module)


def _layer_norm(module: Any) -> Kind:
    names = {(True, True): "layernorm", (True, False): "gain_only", (False, True): "bias_only"}
    has = (module.weight is not None, module.bias is not None)
    shape = tuple(module.normalized_shape)
    return Kind(names.get(has, "layernorm_simple"), "row", shape, module.eps)


def _rms_norm(module: Any) -> Kind:
    variant = "rmsnorm_simple" if module.weight is None else "rmsnorm"
    return Kind(variant, "row", tuple(module.normalized_shape), _rms_eps(module))


def _rms_eps(module: Any) -> float:
    """None stands for that of x's type; that of the weight is the best guess."""
    if module.eps is not None:
        return float(module.eps)
    return float(torch.finfo(torch.float32 if module.weight is None else module.weight.dtype).eps)


def _group_norm(module: Any) -> Kind:
    return Kind("groupnorm", "channels", (module.num_channels,), module.eps, module.num_groups)


def _batch_norm(module: Any) -> Kind:
    return Kind("batchnorm", "batch", (module.num_features,), module.eps)


def _instance_norm(module: Any) -> Kind:
    return Kind("instancenorm", "channel", (module.num_features,), module.eps)


_KINDS: tuple[tuple[tuple[Any, ...], Callable[[Any], Kind]], ...] = (
    ((nn.LayerNorm,), _layer_norm),
    ((nn.RMSNorm,), _rms_norm),
    ((nn.GroupNorm,), _group_norm),
    (_BATCH, _batch_norm),
    (_INSTANCE, _instance_norm),
)


def _looking_like_rms(module: Any) -> Kind | None:
    if not type(module).__name__.endswith(("RMSNorm", "T5LayerNorm")):
        return None
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1 or not isinstance(eps, float):
        return None
    return Kind("rmsnorm", "row", tuple(weight.shape), eps)


def looks_like_a_norm(module: Any) -> bool:
    """True for a class with "Norm" in its name that normalises itself, not through its parts."""
    return "norm" in type(module).__name__.lower() and not any(module.children())


def chooser(what: str, which: Which) -> Callable[[str, Any], bool]:
    """The choice as a function of name and module."""
    if which is None:
        return lambda name, module: True
    if callable(which):
        return which
    if isinstance(which, str):
        which = (which,)
    patterns = tuple(which) if isinstance(which, Iterable) else (which,)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise ArgumentError(f"{what} must be names of layers or a function of name and module")
    return lambda name, module: any(fnmatchcase(name, pattern) for pattern in patterns)


def check_model(what: str, model: Any) -> None:
    """TypeError unless it is a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{what}: model must be a torch.nn.Module, got {type(model).__name__}")
