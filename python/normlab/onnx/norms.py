"""Norms as ONNX: formulas by the traits of a variant, as in the engine's reference.

A row of kNormVariants whose traits stand in these tables needs nothing here. What is a constant in
the backward pass makes no difference to a forward pass.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, norm_traits
from .._core import ArgumentError
from .graph import DOMAIN, Function, Graph, Nodes

_STANDARD: Mapping[str, tuple[str, int, tuple[str, ...]]] = {
    "std": ("LayerNormalization", 17, ("gain", "bias")),
    "rms": ("RMSNormalization", 23, ("gain",)),
}
"""By scale: the operator under var_eps, the opset that brought it, and what it takes beside x."""

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "affine": ("gain", "bias"),
    "gain": ("gain",),
    "bias": ("bias",),
}
"""By output: what it takes; the others take nothing."""

_ADANORM = "AdaNorm"


@dataclass(frozen=True)
class _Divisor:
    """How a row's divisor comes from its sum of squares.

    Attributes:
        eps: The value's name.
        std_eps: As the engine's Denominator.
        may_be_zero: eps is or may be 0, so that rows of equal elements need care.
    """

    eps: str
    std_eps: bool
    may_be_zero: bool


# --- y --------------------------------------------------------------------------------------------


def _length(to: Nodes, x: str) -> str:
    """Length of a row."""
    return to.cast(to.op("Shape", x, start=-1), np.float32)


def _mean(to: Nodes, x: str) -> str:
    return to.op("Div", _sum(to, x), _length(to, x))


def _sum(to: Nodes, x: str) -> str:
    return to.op("ReduceSum", x, to.constant([-1], np.int64), keepdims=1)


def _divided(to: Nodes, x: str, squares: str, divisor: _Divisor) -> str:
    """Divides x by sqrt(squares + eps) or sqrt(squares) + eps. 0 / 0 is 0, as in the engine."""
    if divisor.std_eps:
        sigma = to.op("Add", to.op("Sqrt", squares), divisor.eps)
    else:
        sigma = to.op("Sqrt", to.op("Add", squares, divisor.eps))
    y = to.op("Div", x, sigma)
    if not divisor.may_be_zero:
        return y
    zero = to.constant(0.0)
    return to.op("Where", to.op("Equal", sigma, zero), zero, y)


def _by_deviation(to: Nodes, x: str, divisor: _Divisor) -> str:
    # Around the first element: exact for a row of equal ones, and accurate where the mean is huge.
    first = to.op("Gather", x, to.constant([0], np.int64), axis=-1)
    from_first = to.op("Sub", x, first)
    centred = to.op("Sub", from_first, _mean(to, from_first))
    squares = _sum(to, to.op("Mul", centred, centred))
    count = _length(to, x)
    if divisor.std_eps:
        count = to.op("Sub", count, to.constant(1.0))
    return _divided(to, centred, to.op("Div", squares, count), divisor)


def _by_root_mean_square(to: Nodes, x: str, divisor: _Divisor) -> str:
    return _divided(to, x, _mean(to, to.op("Mul", x, x)), divisor)


def _by_length(to: Nodes, x: str, divisor: _Divisor) -> str:
    return _divided(to, x, _sum(to, to.op("Mul", x, x)), divisor)


_Y: Mapping[str, Callable[[Nodes, str, _Divisor], str]] = {
    "std": _by_deviation,
    "rms": _by_root_mean_square,
    "l2": _by_length,
}
"""By scale: y of a row, which is the last axis."""


# --- z --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """Names of the values that turn y into z; empty where the variant has none."""

    gain: str = ""
    bias: str = ""
    C: str = ""
    k: str = ""


def _adaptive(to: Nodes, x: str, y: str, s: _Settings) -> str:
    phi = to.op("Mul", s.C, to.op("Sub", to.constant(1.0), to.op("Mul", s.k, y)))
    return to.op("Mul", phi, y)


_Z: Mapping[str, Callable[[Nodes, str, str, _Settings], str]] = {
    "plain": lambda to, x, y, s: y,
    "affine": lambda to, x, y, s: to.op("Add", to.op("Mul", y, s.gain), s.bias),
    "gain": lambda to, x, y, s: to.op("Mul", y, s.gain),
    "bias": lambda to, x, y, s: to.op("Add", y, s.bias),
    "adaptive": _adaptive,
    "residual": lambda to, x, y, s: to.op("Add", x, y),
}
"""By output: z of x and y."""


# --- one norm -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Norm:
    """A module with what decides its formula."""

    graph: Graph
    module: nn.Norm
    traits: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, ...]:
        """The trailing axes that form a row."""
        return tuple(self.module.size)

    @property
    def groups(self) -> int:
        """Parts of a row that have statistics of their own."""
        channels = self.size[0]
        by_group: dict[str, int] = {
            "row": 1,
            "channels": self.options["groups"] or math.gcd(channels, 32),
            "channel": channels,
            "batch": channels,
        }
        return by_group[self.traits["group"]]

    @property
    def std_eps(self) -> bool:
        """True for the authors' denominator."""
        return bool(self.options["denominator"] == "std_eps")

    @property
    def has_running(self) -> bool:
        """True if statistics are constants."""
        return self.module.running_mean is not None

    def divisor(self) -> _Divisor:
        """With eps as a constant."""
        eps = self.options["eps"]
        return _Divisor(self.graph.constant(eps), self.std_eps, eps == 0)

    def standard(self) -> str:
        """The operator of ONNX that computes y, gain and bias; empty if there is none."""
        name, since, _ = _STANDARD.get(self.traits["scale"], ("", 0, ()))
        fits = self.traits["group"] == "row" and not self.std_eps and self.options["eps"] > 0
        return name if fits and self.graph.opset >= since else ""

    def parameter(self, name: str) -> str:
        """A tensor as it meets x."""
        value = getattr(self.module, name)
        shape = value.shape
        if self.traits["group"] != "row":  # one a channel, for all of its places
            shape = (*shape, *[1] * (len(self.size) - 1))
        return self.graph.weight(name, value.detach().to("cpu").numpy().reshape(shape))

    def settings(self) -> _Settings:
        """The tensors and numbers of z as constants."""
        output = self.traits["output"]
        numbers = ("C", "k") if output == "adaptive" else ()
        return _Settings(
            **{name: self.parameter(name) for name in _PARAMETERS.get(output, ())},
            **{name: self.graph.constant(self.options[name]) for name in numbers},
        )


def norm(graph: Graph, module: nn.Norm, x: str) -> str:
    """Adds a norm in evaluation mode; returns z.

    Raises:
        ArgumentError: The variant has a trait that has no formula here.
    """
    traits = norm_traits(module.variant)
    for trait, known in (("scale", {"none", "tanh", *_Y}), ("output", _Z), ("group", _GROUPS)):
        if traits[trait] not in known:
            raise ArgumentError(
                f"export: variant {module.variant!r} has {trait} {traits[trait]!r}, which has no "
                "formula in ONNX yet"
            )
    n = _Norm(graph, module, traits, module._arguments())
    clamped = _clamped(n, x) if traits["clamp"] else x
    if traits["scale"] == "none":
        return _Z[traits["output"]](graph, x, clamped, n.settings())
    if traits["output"] == "adaptive" and not n.has_running:
        return _in_rows(n, clamped, lambda rows: _adanorm(n, rows))
    if n.standard() and traits["output"] != "adaptive":
        return _by_standard(n, x, clamped)
    return _Z[traits["output"]](graph, x, _y(n, clamped), n.settings())


_GROUPS = ("row", "channels", "channel", "batch")


def _y(n: _Norm, x: str) -> str:
    """The normalised x, out of elementary operations."""
    if n.traits["scale"] == "tanh":
        return n.graph.op("Tanh", n.graph.op("Mul", n.parameter("alpha"), x))
    if n.has_running:
        return _by_running(n, x)
    formula = _Y[n.traits["scale"]]
    return _in_rows(n, x, lambda rows: formula(n.graph, rows, n.divisor()))


def _by_standard(n: _Norm, x: str, clamped: str) -> str:
    """LayerNormalization or RMSNormalization, which have a gain always."""
    settings, output = n.settings(), n.traits["output"]
    taken = _PARAMETERS.get(output, ())
    own = set(_STANDARD[n.traits["scale"]][2])
    fused = bool(taken) and own.issuperset(taken) and not n.traits["scalar_gain"]
    gain = settings.gain if fused else ""
    inputs = [gain or n.graph.constant(np.ones(n.size))]
    if fused and settings.bias:
        inputs.append(settings.bias)
    y = n.graph.op(n.standard(), clamped, *inputs, axis=-len(n.size), epsilon=n.options["eps"])
    return y if fused else _Z[output](n.graph, x, y, settings)


def _by_running(n: _Norm, x: str) -> str:
    """With the running statistics, one a channel."""
    shape = (-1, *[1] * (len(n.size) - 1))
    mean, var = (
        getattr(n.module, name).detach().to("cpu").numpy().astype(np.float64).reshape(shape)
        for name in ("running_mean", "running_var")
    )
    eps = n.options["eps"]
    sigma = np.sqrt(var) + eps if n.std_eps else np.sqrt(var + eps)
    rstd = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma != 0)
    centred = n.graph.op("Sub", x, n.graph.weight("running_mean", mean.astype(np.float32)))
    return n.graph.op("Mul", centred, n.graph.weight("running_rstd", rstd.astype(np.float32)))


# --- rows -----------------------------------------------------------------------------------------


def _in_rows(n: _Norm, x: str, compute: Callable[[str], str]) -> str:
    """Calls `compute` with x [..., rows, row] and gives the result the shape of x."""
    axes, length = len(n.size), math.prod(n.size)
    rows = [n.groups, length // n.groups] if n.groups > 1 else [length]
    if list(n.size) == rows:
        return compute(x)
    to = n.graph
    outer = to.op("Shape", x, end=-axes)
    shape = to.op("Concat", outer, to.constant(rows, np.int64), axis=0)
    return to.op("Reshape", compute(to.op("Reshape", x, shape)), to.op("Shape", x))


def _clamped(n: _Norm, x: str) -> str:
    """topk: what is beyond the kk-th of either end becomes as large as that. Ties share its value.

    The comparisons, and their order, are the engine's.
    """
    kk = int(n.options["topk_share"] * (math.prod(n.size) // n.groups))
    if kk <= 1:  # the greatest clamped to the greatest: nothing to do
        return x
    to = n.graph

    def kth(rows: str, largest: int) -> str:
        count = to.constant([kk], np.int64)
        values = to.op_of_many("TopK", rows, count, results=2, axis=-1, largest=largest)[0]
        return to.op("Gather", values, to.constant([kk - 1], np.int64), axis=-1)

    def compute(rows: str) -> str:
        high, low = kth(rows, 1), kth(rows, 0)
        below = to.op("Where", to.op("Greater", rows, high), high, rows)
        return to.op("Where", to.op("LessOrEqual", rows, low), low, below)

    return _in_rows(n, x, compute)


# --- AdaNorm --------------------------------------------------------------------------------------


def _adanorm(n: _Norm, x: str) -> str:
    """A call of the local function, so that its name, C and k stay visible."""
    scale = n.traits["scale"]
    name = _ADANORM + ("" if scale == "std" else scale.capitalize())
    name += "StdEps" if n.std_eps else ""
    n.graph.function(name, lambda: _adanorm_function(name, scale, n.std_eps, n.graph.opset))
    numbers = {"C": n.options["C"], "k": n.options["k"], "epsilon": n.options["eps"]}
    return n.graph.op(name, x, domain=DOMAIN, **{key: float(v) for key, v in numbers.items()})


def _adanorm_function(name: str, scale: str, std_eps: bool, opset: int) -> Any:
    """Normalises the last axis of x: C (1 - k y) y (Xu et al. 2019, section 4)."""
    body = Function(name, opset, ["x"], ["C", "k", "epsilon"])
    divisor = _Divisor(body.attribute("epsilon"), std_eps, may_be_zero=True)
    settings = _Settings(C=body.attribute("C"), k=body.attribute("k"))
    return body.proto(_adaptive(body, "x", _Y[scale](body, "x", divisor), settings))
