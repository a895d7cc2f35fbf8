"""A probe for PyTorch's models: what each norm does to activations and gradients."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .. import ArgumentError, DtypeError, NormRecord, RowMoments, from_dlpack, row_moments
from .._html import probe_html
from ._kinds import Kind, Which, check_model, chooser, kind_of
from .modules import Norm

_FIELDS = ("x", "z", "dz", "dx")
_TRANSFORMED = (
    "probe: records no call under torch.func's transforms, whose tensors stand for others; "
    "stop() it before"
)


class probe:  # noqa: N801 (as nl.probe)
    """Records what every norm of a model does to activations and gradients.

    As ``nl.probe``, for PyTorch's norms (LayerNorm, RMSNorm, GroupNorm, InstanceNorm, BatchNorm),
    for :class:`Norm`, and for classes that look like Hugging Face's RMSNorm. The records are
    ``nl.NormRecord``, and ``nl.viz.probed`` draws them::

        with nlt.probe(model, every=10) as probe:
            for batch in batches:
                loss(model, batch).backward()
                probe.next_step()
        nl.viz.probed(probe.records)

    Instead of ``with``, ``start()`` and ``stop()`` may enclose the loop. A row is what shares one
    mean and one scale: for GroupNorm a group of one example, for BatchNorm a channel over the
    batch. A gradient dx is the norm's own, without what goes around it. Records stay on the
    model's device until they are read: no step waits for a GPU.

    Args:
        model: Its layers' dotted names name the records. It must not be compiled: compiled code
            calls no hooks.
        every: Record every so-many-th step only.
        layers: Names of norms, which may have wildcards ("blocks.*.norm1"), or a function of name
            and module; None: all.

    Raises:
        ArgumentError: ``every`` is less than 1, no layer is left, or the model is compiled. In a
            call of the model: it is under torch.func, or a norm returns no tensor.
        DtypeError: ``every`` is no int.
        TypeError: The model is no ``torch.nn.Module``.

    Source: Xu et al., NeurIPS 2019, Theorem 1.
    """

    def __init__(self, model: nn.Module, every: int = 1, layers: Which = None) -> None:
        check_model("probe", model)
        if not isinstance(every, int):
            raise DtypeError(f"probe: every must be int, got {every!r}")
        if every < 1:
            raise ArgumentError(f"probe: every must be at least 1, got {every}")
        _check_not_compiled(model)
        chosen = chooser("probe: layers", layers)
        found = {name: (m, kind_of(m)) for name, m in model.named_modules()}
        norms = {name: m for name, (m, kind) in found.items() if kind is not None}
        self._layers = {name: m for name, m in norms.items() if chosen(name, m)}
        if not self._layers:
            have = ", ".join(norms) or "no norm that is known"
            raise ArgumentError(f"probe: no layer to record; the model has {have}")
        self._every, self._step = every, 0
        self._hooks: list[Any] = []
        self._records: list[_Record] = []

    def start(self) -> "probe":
        """Records from now on, anew; ArgumentError if it does already."""
        if self._hooks:
            raise ArgumentError("probe: is already recording")
        self._records, self._step = [], 0
        for name, module in self._layers.items():
            kind = kind_of(module)
            assert kind is not None
            layer = _Layer(self, name or type(module).__name__, module, kind)
            before = module.register_forward_pre_hook(layer.before, with_kwargs=True)
            behind = module.register_forward_hook(layer.behind, always_call=True)
            self._hooks += [before, behind]
        return self

    def stop(self) -> None:
        """Ends the recording. The records stay; gradients still on their way come in."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> "probe":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def next_step(self) -> None:
        """Ends a step: later records count as the next one."""
        if not self._hooks:
            raise ArgumentError("probe: next_step() is for the inside of `with`")
        self._step += 1

    @property
    def step(self) -> int:
        """The current step's number."""
        return self._step

    @property
    def records(self) -> list[NormRecord]:
        """All records so far. Reading them waits for the device."""
        _fetch(self._records)
        return [record.read() for record in self._records]

    def clear(self) -> None:
        """Forgets the records."""
        self._records = []

    def __repr__(self) -> str:
        return f"probe(step {self.step}, {len(self._records):,} records)"

    def _repr_html_(self) -> str:
        return probe_html(self)

    def _open(self, layer: str, kind: Kind) -> "_Record | None":
        """A new record; None in a step that is left out."""
        if self._step % self._every:
            return None
        self._records.append(_Record(layer, kind, self._step))
        return self._records[-1]


def _check_not_compiled(model: Any) -> None:
    for module in model.modules():
        compiled = hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
        if compiled:
            raise ArgumentError(
                "probe: the model is compiled, and compiled code calls no hooks; probe the model "
                "that torch.compile() was given, and train that one meanwhile"
            )


# --- hooks ----------------------------------------------------------------------------------------


class _Layer:
    """The hooks of one norm."""

    def __init__(self, owner: probe | None, name: str, module: Any, kind: Kind) -> None:
        self._owner, self._name, self._kind = owner, name, kind
        self._entered: _Record | None = None  # between the two hooks
        self._x: Tensor | None = None  # what the record is to measure; None if it has been
        self._ungraded: list[_Record] = []  # of this step's passes that recorded no gradient
        self._clips = _clip_of(module)

    def __reduce__(self) -> Any:
        """Of a copied or saved model the hooks do nothing: the probe looks into the original."""
        return _Layer, (None, self._name, None, self._kind)

    def before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Opens a record, and gives the norm an x of its own, whose gradient is dx."""
        values = args or tuple(kwargs.values())
        if self._owner is None or not values or not isinstance(values[0], Tensor):
            return None
        if torch._C._are_functorch_transforms_active():
            raise ArgumentError(_TRANSFORMED)
        x, graded = values[0], torch.is_grad_enabled()
        if _is_recomputing():  # the first pass, without a gradient, has been measured
            record = self._ungraded.pop() if self._ungraded else None
        else:
            record, self._x = self._owner._open(self._name, self._kind), x.detach()
            self._note(record, graded)
        self._entered = record
        if record is None or not (graded and x.requires_grad):
            return None
        own = x.view_as(x)
        own.register_hook(record.gradient("dx"))
        if args:
            return (own, *args[1:]), kwargs
        return args, {**kwargs, next(iter(kwargs)): own}

    def _note(self, record: "_Record | None", graded: bool) -> None:
        """Keeps the record of a pass without a gradient: the last one is the first to have one."""
        if record is None or (self._ungraded and self._ungraded[-1].step != record.step):
            self._ungraded = []
        if record is not None and not graded:
            self._ungraded.append(record)

    def behind(self, module: Any, args: tuple[Any, ...], z: Any) -> None:
        """Measures x and z, and waits for dz. z is None if the call has failed."""
        (record, x), self._entered, self._x = (self._entered, self._x), None, None
        if record is None or z is None:
            return
        if not isinstance(z, Tensor):
            raise ArgumentError(
                f"probe: {self._name} returns a {type(z).__name__} instead of a tensor; "
                "leave it out with layers="
            )
        if x is not None:
            if self._clips is not None:
                record.values["clipped"] = self._clips(x, z.detach(), self._kind)
            record.values["x"] = _moments(x, self._kind)
            record.values["z"] = _moments(z, self._kind)
        if torch.is_grad_enabled() and z.requires_grad:
            z.register_hook(record.gradient("dz"))


def _is_recomputing() -> bool:
    """True within a backward pass, where checkpointing runs a part of the model again."""
    return bool(torch._C._current_graph_task_id() != -1)


def _clip_of(module: Any) -> Callable[[Tensor, Tensor, Kind], Tensor] | None:
    """The share of phi <= 0, where the norm has a phi."""
    if not isinstance(module, Norm) or module.settings.traits.output != "adaptive":
        return None
    if module.settings.k <= 0:
        return None

    def clipped(x: Tensor, z: Tensor, kind: Kind) -> Tensor:
        rows = _rows(x, kind)
        above = rows > rows.mean(1, keepdim=True)
        return (above & (_rows(z, kind) * module.settings.C <= 0)).float().mean()

    return clipped


# --- moments --------------------------------------------------------------------------------------


def _rows(v: Tensor, kind: Kind) -> Tensor:
    """The values in float32 or wider, as (rows, elements of a row)."""
    v = v.detach().contiguous().values() if v.is_nested else v.detach()
    wide = v if v.dtype == torch.float64 else v.float()
    if kind.group == "row":
        length = torch.Size(kind.shape).numel()
    elif kind.group == "batch":
        wide = wide.transpose(0, 1)
        length = v.numel() // max(v.shape[1], 1)
    else:
        channels = int(v.shape[1])
        groups = kind.groups or math.gcd(channels, 32) if kind.group == "channels" else channels
        length = v[:1].numel() // groups
    return wide.reshape(-1, length) if v.numel() else wide.reshape(0, 1)


def _moments(v: Tensor, kind: Kind) -> Any:
    """Mean, row mean, row variance and length: RowMoments on the CPU, elsewhere a tensor (4,)."""
    rows = _rows(v, kind)
    if rows.numel() == 0:
        return RowMoments()
    if rows.device.type == "cpu" and type(rows) is Tensor:  # PyTorch's var_mean is slow there
        return row_moments(from_dlpack(rows.contiguous()), rows.shape[1])
    var, mean = torch.var_mean(rows, 1, correction=0)
    squares = (var + mean.square()).sum() * rows.shape[1]
    return torch.stack((mean.mean(), mean.abs().mean(), var.mean(), squares.sqrt()))


class _Record:
    """One norm in one step. The values are tensors on the device until they are read."""

    def __init__(self, layer: str, kind: Kind, step: int) -> None:
        self.layer, self.kind, self.step = layer, kind, step
        self.values: dict[str, Any] = {}

    def gradient(self, name: str) -> Callable[[Tensor], None]:
        """A tensor's hook that measures its gradient."""

        def see(gradient: Tensor) -> None:
            self.values[name] = _moments(gradient, self.kind)

        return see

    def read(self) -> NormRecord:
        """As the engine's record; its values are numbers."""
        found = {name: _row_moments(self.values[name]) for name in _FIELDS if name in self.values}
        for name in ("x", "z"):  # of a call that failed
            found.setdefault(name, RowMoments())
        return NormRecord(
            layer=self.layer,
            variant=self.kind.variant,
            step=self.step,
            clipped=self.values.get("clipped", 0.0),
            **found,
        )


def _row_moments(values: Any) -> RowMoments:
    if isinstance(values, RowMoments):
        return values
    return RowMoments(mean=values[0], row_mean=values[1], row_var=values[2], norm=values[3])


def _fetch(records: list[_Record]) -> None:
    """Turns the records' tensors into numbers, all of a device at once."""
    places = [
        (record.values, name)
        for record in records
        for name, value in record.values.items()
        if isinstance(value, Tensor)
    ]
    by_device: dict[Any, list[tuple[dict[str, Any], str]]] = {}
    for values, name in places:
        by_device.setdefault(values[name].device, []).append((values, name))
    for there in by_device.values():
        numbers = iter(torch.cat([values[name].reshape(-1) for values, name in there]).tolist())
        for values, name in there:
            values[name] = next(numbers) if name == "clipped" else [next(numbers) for _ in range(4)]
