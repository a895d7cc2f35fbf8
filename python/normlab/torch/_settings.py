"""A norm's settings and its traits, as constants that a compiler can read."""

from typing import Any, NamedTuple

from torch import Tensor

from .. import nn, norm_traits, norm_variants


class Traits(NamedTuple):
    """The row of the table of variants; ``nl.norm_traits()`` explains it."""

    name: str
    scale: str
    grad_mean: bool
    grad_scale: bool
    output: str
    group: str
    clamp: bool
    scalar_gain: bool

    @property
    def takes_gain(self) -> bool:
        """True for a variant with a weight."""
        return self.output in ("affine", "gain")

    @property
    def takes_bias(self) -> bool:
        """True for a variant with a bias."""
        return self.output in ("affine", "bias")

    @property
    def detaches(self) -> bool:
        """True if a part of the formula is a constant in the backward pass."""
        statistic = not (self.grad_mean and self.grad_scale)
        return statistic or self.output in ("adaptive", "residual")


TRAITS = {name: Traits(**norm_traits(name)) for name in norm_variants()}


class Settings(NamedTuple):
    """A variant and its numbers; ``nl.normalize()`` explains them."""

    variant: str
    axes: int = 1  # of a row; groups of channels: all axes behind the first
    eps: float = 1e-5
    denominator: str = "var_eps"
    C: float = 1.0
    k: float = 0.1
    groups: int = 0
    momentum: float = 0.1
    topk_share: float = 0.005

    @property
    def traits(self) -> Traits:
        """The variant's."""
        return TRAITS[self.variant]

    @property
    def by_channel(self) -> bool:
        """True for groups of channels, which stand on axis 1."""
        return TRAITS[self.variant].group != "row"

    @property
    def var_eps(self) -> bool:
        """True for eps inside the root."""
        return self.denominator == "var_eps"

    def engine_arguments(self) -> dict[str, Any]:
        """The keywords for the engine's functions."""
        own = self._asdict()
        del own["variant"], own["axes"]
        return {**own, "groups": self.groups or None}


class Tensors(NamedTuple):
    """The tensors of a norm, None where it has none."""

    gain: Tensor | None = None
    bias: Tensor | None = None
    alpha: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None


def check_settings(settings: Settings, shape: tuple[int, ...], track: bool) -> None:
    """ArgumentError for what the engine's own module refuses, in its words."""
    nn.Norm(settings.variant, shape, track_running_stats=track, **settings.engine_arguments())
