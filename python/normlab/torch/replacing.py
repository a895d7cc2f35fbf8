"""The exchange of a model's norms for another variant, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from .. import ArgumentError
from ._kinds import Kind, Which, check_model, chooser, kind_of, looks_like_a_norm
from ._settings import TRAITS
from .modules import Norm

_TENSORS = ("weight", "bias", "alpha")
_MOST_SHOWN = 60


@dataclass(frozen=True)
class Change:
    """One norm of a model: what it was, what it is, or why it was left."""

    layer: str  # the dotted name; of a shared module the first
    old: str  # its class and variant
    new: str = ""  # the variant; empty if it was left
    kept: tuple[str, ...] = ()  # parameters that went over, with what they have learned
    dropped: tuple[str, ...] = ()  # parameters that the new variant does not have
    reason: str = ""  # why it was left

    def __str__(self) -> str:
        if not self.new:
            return f"{self.layer}: {self.old} left: {self.reason}"
        facts = [
            f"{what} {', '.join(names)}"
            for what, names in (("keeps", self.kept), ("drops", self.dropped))
            if names
        ]
        return f"{self.layer}: {self.old} -> {self.new}" + (
            f" ({'; '.join(facts)})" if facts else ""
        )


class Changes:
    """What ``replace_norms`` has done to a model. ``print`` shows it, ``undo()`` takes it back."""

    def __init__(self, changed: list[Change], left: list[Change], undo: list[Callable[[], None]]):
        self.changed: list[Change] = changed
        self.left: list[Change] = left
        self._undo = undo

    def undo(self) -> None:
        """Puts the old norms back, with the parameters as they are now; the second time nothing."""
        while self._undo:
            self._undo.pop()()

    def __str__(self) -> str:
        lines = [f"{len(self.changed)} norms exchanged, {len(self.left)} left"]
        lines += [f"  {change}" for change in (*self.changed, *self.left)[:_MOST_SHOWN]]
        if (more := len(self.changed) + len(self.left) - _MOST_SHOWN) > 0:
            lines.append(f"  and {more} more: `changed` and `left` have them all")
        return "\n".join(lines)

    __repr__ = __str__


def replace_norms(
    model: nn.Module,
    variant: str,
    *,
    keep_weights: bool = True,
    where: Which = None,
    backend: str | None = None,
    **settings: Any,
) -> Changes:
    """Exchanges a model's norms for :class:`Norm` of a variant, in place.

    A norm over rows (LayerNorm, RMSNorm) takes a variant over rows; BatchNorm, GroupNorm and
    InstanceNorm take one of these three, or "none". eps stays. What is left has a reason.

    Args:
        model: Its submodules change; it is not a norm itself.
        variant: One of ``nl.norm_variants()``.
        keep_weights: Parameters that both norms have stay the same objects, so that optimizers
            which know them go on. False: new ones.
        where: Names of layers, which may have wildcards ("blocks.*.norm1"), or a function of name
            and module; None: all.
        backend: As of :class:`Norm`.
        **settings: As of :class:`Norm`: ``C``, ``k``, ``denominator``, ``groups``...

    Returns:
        What was changed and left. Its ``undo()`` takes the exchange back.

    Raises:
        ArgumentError: An unknown variant, a setting that it does not take, or nothing to exchange.
        TypeError: The model is no ``torch.nn.Module``.
    """
    check_model("replace_norms", model)
    if variant not in TRAITS:
        raise ArgumentError(f"replace_norms: no variant {variant!r}; there are {', '.join(TRAITS)}")
    if kind_of(model) is not None:
        raise ArgumentError("replace_norms: model is a norm itself; give the module that holds it")
    chosen = chooser("replace_norms: where", where)
    work = _Exchange(variant, keep_weights, {**settings, "backend": backend})
    for name, module in model.named_modules():
        if name and chosen(name, module):
            work.consider(name, module)
    if not work.changed and not work.left:
        raise ArgumentError("replace_norms: found no norm" + (" there" if where else ""))
    work.put_into(model)
    return Changes(work.changed, work.left, work.undo)


class _Exchange:
    """The norms that are exchanged, found first: an error leaves the model as it was."""

    def __init__(self, variant: str, keep_weights: bool, settings: dict[str, Any]) -> None:
        self.variant, self.keep_weights, self.settings = variant, keep_weights, settings
        self.changed: list[Change] = []
        self.left: list[Change] = []
        self.undo: list[Callable[[], None]] = []
        self._new: dict[int, _Pair] = {}  # by the old module's id

    def consider(self, name: str, module: Any) -> None:
        """Makes the new norm, or notes why there is none."""
        kind = kind_of(module)
        if kind is None:
            if looks_like_a_norm(module):
                reason = "its class is not known, or computes something of its own"
                self.left.append(Change(name, type(module).__name__, reason=reason))
            return
        old = f"{type(module).__name__} ({kind.variant})"
        if reason := _why_not(kind, module, self.variant):
            self.left.append(Change(name, old, reason=reason))
            return
        new = self._make(kind, module)
        kept, dropped = self._carry(module, new)
        self.changed.append(Change(name, old, self.variant, kept, dropped))

    def _make(self, kind: Kind, module: Any) -> Norm:
        like = next(
            (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()), None
        )
        place = {} if like is None else {"device": like.device, "dtype": like.dtype}
        own: dict[str, Any] = {"eps": kind.eps}
        if self.variant == "groupnorm" and kind.groups:
            own["groups"] = kind.groups
        new = Norm(self.variant, kind.shape, **{**own, **self.settings}, **place)
        return new.train(module.training)

    def _carry(self, old: Any, new: Norm) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Lets the new norm have the old one's parameters; the names of these, and of the rest."""
        pair = self._new[id(old)] = _Pair(old, new)
        had = {name for name in _TENSORS if getattr(old, name, None) is not None}
        fits = {name for name in had if _same_shape(getattr(new, name), getattr(old, name))}
        if not self.keep_weights:
            return (), tuple(sorted(had))
        offset = _gain_offset(old)
        for name in fits:
            if name == "weight" and offset:
                self._carry_offset(old, new, offset)
            else:
                pair.share(name)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            if _same_shape(getattr(new, name), getattr(old, name, None)):
                pair.share(name)
        return tuple(sorted(fits)), tuple(sorted(had - fits))

    def _carry_offset(self, old: Any, new: Any, offset: float) -> None:
        """The gain is offset + weight (Gemma's RMSNorm); undo() brings back what was learned."""
        with torch.no_grad():
            new.weight.copy_(old.weight + offset)
        new.weight.requires_grad_(old.weight.requires_grad)

        def back() -> None:
            with torch.no_grad():
                old.weight.copy_(new.weight - offset)

        self.undo.append(back)

    def put_into(self, model: Any) -> None:
        """Exchanges the modules wherever they stand: a shared one in several places."""
        for parent in list(model.modules()):
            for name, child in list(parent._modules.items()):
                if pair := self._new.get(id(child)):
                    setattr(parent, name, pair.new)
                    self.undo.append(partial(pair.put_back, model, parent, name))


class _Pair:
    """An old norm and the new one in its place, with the tensors that both have."""

    def __init__(self, old: Any, new: Any) -> None:
        self.old, self.new = old, new
        self._shared: list[str] = []

    def share(self, name: str) -> None:
        """The old norm's tensor is the new one's, too."""
        setattr(self.new, name, getattr(self.old, name))
        self._shared.append(name)

    def put_back(self, model: Any, parent: Any, name: str) -> None:
        """Puts the old norm where it stood, with the tensors that the new one has by now."""
        for tensor in self._shared:
            setattr(self.old, tensor, getattr(self.new, tensor))
        if (like := next(model.parameters(), None)) is not None:
            self.old.to(like.device)
        setattr(parent, name, self.old.train(self.new.training))


def _same_shape(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.shape == b.shape


def _why_not(kind: Kind, module: Any, variant: str) -> str:
    """Why the norm cannot be of that variant; empty if it can."""
    if kind.variant == "rmsnorm" and _gain_offset(module) is None:
        return "it computes neither weight * x / rms nor (1 + weight) * x / rms, or has no values"
    if getattr(module, "parametrizations", None):
        return "its parameters are parametrized"
    by_channel = TRAITS[variant].group != "row"
    if variant == "none" or by_channel == (kind.group != "row"):
        return ""
    if by_channel:
        return f"{variant} wants channels on axis 1, and this norm is over the last axes"
    return f"{variant} is over the last axes, whose lengths a norm over channels does not know"


def _gain_offset(module: Any) -> float | None:
    """What is added to an RMSNorm's weight, 0 or 1, by a trial; None if it is neither."""
    kind = kind_of(module)
    if kind is None or kind.variant != "rmsnorm" or isinstance(module, (Norm, nn.RMSNorm)):
        return 0.0
    if module.weight.is_meta:
        return None
    weight = torch.linspace(0.5, 2, module.weight.numel()).to(module.weight)  # all 1 tell nothing
    x = torch.linspace(-1, 2, 3 * weight.numel(), device=weight.device, dtype=weight.dtype)
    x = x.reshape(3, -1)
    with torch.no_grad():
        z = torch.func.functional_call(module, {"weight": weight}, (x,)).float()
        wide = x.float()
        y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + kind.eps)
        for offset in (0.0, 1.0):
            if torch.allclose(z, (weight.float() + offset) * y, rtol=2e-2, atol=1e-3):
                return offset
    return None
