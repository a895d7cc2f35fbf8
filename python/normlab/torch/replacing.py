"""The exchange of a model's norms for another variant, and back."""

from collections import Counter
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
_WITH_RUNNING = ("batchnorm", "instancenorm")
_KERNELS: tuple[tuple[Any, str, Any], ...] = (  # what lets PyTorch compute norms without a call
    (nn.TransformerEncoder, "use_nested_tensor", False),
    (nn.TransformerEncoderLayer, "activation_relu_or_gelu", 0),
)
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

    def __init__(self, work: "_Exchange"):
        self.changed: list[Change] = work.changed
        self.left: list[Change] = work.left
        self._places, self._undo = work.places, work.undo

    def undo(self) -> None:
        """Puts the old norms back, with the parameters as they are now; the second time nothing.

        Raises:
            ArgumentError: Another module stands in the place of a new norm; all is left as it is.
        """
        if gone := [place.layer for place in self._places if not place.holds_the_new()]:
            raise ArgumentError(
                f"undo: {gone[0]} is no longer the norm of this exchange; undo later ones first"
            )
        self._places.clear()
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
    InstanceNorm take one of these three, or "none". eps and momentum stay. What is left has a
    reason. Parameters that only the new norms have are new: make optimizers and wrappers after it.

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
    _check_arguments(model, variant, settings)
    chosen = chooser("replace_norms: where", where)
    work = _Exchange(variant, keep_weights, {**settings, "backend": backend}, model)
    for name, module in model.named_modules():
        if name and chosen(name, module):
            work.consider(name, module)
    if not work.changed and not work.left:
        raise ArgumentError("replace_norms: found no norm" + ("" if where is None else " there"))
    work.put_into(model)
    return Changes(work)


def _check_arguments(model: nn.Module, variant: str, settings: dict[str, Any]) -> None:
    check_model("replace_norms", model)
    if not isinstance(variant, str) or variant not in TRAITS:
        raise ArgumentError(f"replace_norms: no variant {variant!r}; there are {', '.join(TRAITS)}")
    if kind_of(model) is not None:
        raise ArgumentError("replace_norms: model is a norm itself; give the module that holds it")
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in model.modules()):
        raise ArgumentError(
            "replace_norms: DistributedDataParallel knows no parameters that come later; exchange "
            "the norms of the module within, and wrap it again"
        )
    if fixed := [name for name in ("shape", "device", "dtype") if name in settings]:
        raise ArgumentError(f"replace_norms: {fixed[0]} is that of the old norm; leave it out")


class _Exchange:
    """The norms that are exchanged, found first: an error leaves the model as it was."""

    def __init__(
        self, variant: str, keep_weights: bool, settings: dict[str, Any], model: nn.Module
    ) -> None:
        self.variant, self.keep_weights, self.settings = variant, keep_weights, settings
        self._place = _place_of(model)  # of a new norm whose old one has no tensor
        self._owners = Counter(id(p) for m in model.modules() for p in m._parameters.values())
        self.changed: list[Change] = []
        self.left: list[Change] = []
        self.places: list[_Place] = []
        self.undo: list[Callable[[], None]] = []  # from the last to the first
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
        if reason := _why_not(kind, module, self.variant) or self._why_not_the_weight(module):
            self.left.append(Change(name, old, reason=reason))
            return
        pair = self._new[id(module)] = _Pair(name, module, self._make(kind, module))
        kept, dropped = self._carry(pair)
        self.changed.append(Change(name, old, self.variant, kept, dropped))

    def _why_not_the_weight(self, module: Any) -> str:
        """Why the weight cannot become the gain; empty if it can, or need not."""
        r = TRAITS[self.variant]
        if not (self.keep_weights and r.takes_gain and not r.scalar_gain and _gain_offset(module)):
            return ""
        tied = self._owners[id(module.weight)] > 1
        return "its weight, 1 less than the gain, is also another module's" if tied else ""

    def _make(self, kind: Kind, module: Any) -> Norm:
        own = {"eps": kind.eps, **_own_settings(kind, module, self.variant)}
        place = _place_of(module) or self._place
        new = Norm(self.variant, kind.shape, **{**own, **self.settings}, **place)
        return new.train(module.training)

    def _carry(self, pair: "_Pair") -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Lets the new norm have the old one's parameters; the names of these, and of the rest."""
        old, new = pair.old, pair.new
        had = {name for name in _TENSORS if getattr(old, name, None) is not None}
        fits = {name for name in had if _same_shape(getattr(new, name), getattr(old, name))}
        if not self.keep_weights:
            return (), tuple(sorted(had))
        if "weight" in fits:
            pair.offset = _gain_offset(old) or 0.0
        for name in (*fits, "running_mean", "running_var", "num_batches_tracked"):
            if _same_shape(getattr(new, name), getattr(old, name, None)):
                pair.share(name)
        return tuple(sorted(fits)), tuple(sorted(had - fits))

    def put_into(self, model: Any) -> None:
        """Exchanges the modules wherever they stand: a shared one in several places."""
        modules = list(model.modules())
        for parent in modules:
            for name, child in list(parent._modules.items()):
                if pair := self._new.get(id(child)):
                    self.places.append(_Place(parent, name, pair))
        for module in modules:
            self._forbid_kernels(module)
        self.undo += [pair.add_offset() for pair in self._new.values() if pair.offset]
        for place in self.places:
            place.put_new()
        at_first = _place_of(model)
        self.undo += [partial(pair.follow, model, at_first) for pair in self._new.values()]
        self.undo += [place.put_back for place in self.places]

    def _forbid_kernels(self, module: Any) -> None:
        """Makes PyTorch's encoder call its norms in evaluation, too, and make no nested tensor."""
        for cls, attribute, value in _KERNELS:
            before = getattr(module, attribute, None) if isinstance(module, cls) else None
            if before and any(id(part) in self._new for part in module.modules()):
                setattr(module, attribute, value)
                self.undo.append(partial(setattr, module, attribute, before))


class _Pair:
    """An old norm and the new one in its place, with the tensors that both have."""

    def __init__(self, layer: str, old: Any, new: Any) -> None:
        self.layer, self.old, self.new = layer, old, new
        self.offset = 0.0  # the gain is offset + the old weight (Gemma's RMSNorm)
        self._shared: list[str] = []

    def share(self, name: str) -> None:
        """The old norm's tensor is the new one's, too."""
        setattr(self.new, name, getattr(self.old, name))
        self._shared.append(name)

    @torch.no_grad()
    def add_offset(self) -> Callable[[], None]:
        """Makes the weight the gain; returns what makes it the weight again, with what it learned.

        To the last bit where it learned nothing.
        """
        weight = self.old.weight.detach().clone()
        gain = self.new.weight.add_(self.offset).detach().clone()

        @torch.no_grad()
        def back() -> None:
            now = self.old.weight
            now.copy_(weight.to(now) + (now - gain.to(now)))

        return back

    def follow(self, model: Any, at_first: dict[str, Any]) -> None:
        """Gives the old norm the tensors that the new one has by now.

        The others follow the model to another device or dtype.
        """
        now = _place_of(model)
        if moved := {what: now[what] for what in at_first if now[what] != at_first[what]}:
            self.old.to(**moved)
        for name in self._shared:
            setattr(self.old, name, getattr(self.new, name))
        self.old.train(self.new.training)


@dataclass(frozen=True)
class _Place:
    """Where a norm stands in the model."""

    parent: Any
    name: str
    pair: _Pair

    @property
    def layer(self) -> str:
        """The norm's dotted name."""
        return self.pair.layer

    def holds_the_new(self) -> bool:
        """True unless somebody has put something else there."""
        return self.parent._modules.get(self.name) is self.pair.new

    def put_new(self) -> None:
        """The new norm is there from now on."""
        setattr(self.parent, self.name, self.pair.new)

    def put_back(self) -> None:
        """The old one is."""
        setattr(self.parent, self.name, self.pair.old)


def _place_of(module: Any) -> dict[str, Any]:
    """Device and dtype of the first tensor of floats, as keywords; empty if there is none."""
    tensors = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
    return {what: getattr(t, what) for t in (*tensors,)[:1] for what in ("device", "dtype")}


def _own_settings(kind: Kind, module: Any, variant: str) -> dict[str, Any]:
    """What a norm over channels has in common with a new one, beside eps."""
    if variant == "groupnorm":
        return {"groups": kind.groups} if kind.groups else {}
    if variant not in _WITH_RUNNING or getattr(module, "running_mean", None) is None:
        return {}
    like = module.settings if isinstance(module, Norm) else module
    found = {} if like.momentum is None else {"momentum": like.momentum}
    return {**found, "track_running_stats": True} if variant == "instancenorm" else found


def _same_shape(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.shape == b.shape


def _why_not(kind: Kind, module: Any, variant: str) -> str:
    """Why the norm cannot be of that variant; empty if it can."""
    if getattr(module, "parametrizations", None):
        return "its parameters are parametrized"
    if module._forward_pre_hooks or module._forward_hooks or "forward" in vars(module):
        return "it has hooks, which would be lost; take them away first, a probe's with stop()"
    if kind.variant == "rmsnorm" and _gain_offset(module) is None:
        return (
            "it computes neither weight * x / rms nor (1 + weight) * x / rms of one x, "
            "or has no values"
        )
    if kind.variant == variant == "batchnorm" and (reason := _other_batch_norm(module)):
        return reason
    by_channel = TRAITS[variant].group != "row"
    if variant == "none" or by_channel == (kind.group != "row"):
        return ""
    if by_channel:
        return f"{variant} wants channels on axis 1, and this norm is over the last axes"
    return f"{variant} is over the last axes, whose lengths a norm over channels does not know"


def _other_batch_norm(module: Any) -> str:
    """What a BatchNorm does that the variant of that name does not; empty if nothing."""
    if isinstance(module, nn.SyncBatchNorm):
        return "its statistics are those of all processes, batchnorm's those of one"
    if module.running_mean is None:
        return "it keeps no running statistics, and batchnorm does"
    if not isinstance(module, Norm) and module.momentum is None:
        return "its running statistics are plain averages (momentum None), batchnorm's are not"
    return ""


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
    z = _tried(module, weight, x)
    wide = x.float()
    y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + kind.eps)
    for offset in (0.0, 1.0):
        expected = (weight.float() + offset) * y
        if z is not None and torch.allclose(z, expected, rtol=2e-2, atol=1e-3):
            return offset
    return None


@torch.no_grad()
def _tried(module: Any, weight: Any, x: Any) -> Any:
    """The module's result with another weight; None if it has none for x alone."""
    try:
        z = torch.func.functional_call(module, {"weight": weight}, (x,))
    except Exception:  # it is somebody else's, and may want more
        return None
    return z.float() if isinstance(z, torch.Tensor) and z.shape == x.shape else None
