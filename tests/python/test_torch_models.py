"""PyTorch models in three styles: their norms probed, exchanged, and put back."""

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tests/run torch does it)")

import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_models import BERT, GPT, GemmaRMSNorm, ResNet, RMSNorm  # noqa: E402

import normlab as nl  # noqa: E402
import normlab.torch as nlt  # noqa: E402

Loss = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def resnet() -> tuple[Any, Loss]:
    images, labels = torch.randn(6, 1, 8, 8), torch.randint(0, 10, (6,))
    return ResNet(), lambda model: F.cross_entropy(model(images), labels)


def gpt() -> tuple[Any, Loss]:
    tokens = torch.randint(0, 17, (3, 12))

    def loss(model: Any) -> Any:
        return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    return GPT(), loss


def bert() -> tuple[Any, Loss]:
    tokens, labels = torch.randint(0, 17, (5, 9)), torch.randint(0, 2, (5,))
    return BERT(), lambda model: F.cross_entropy(model(tokens), labels)


MODELS = {"resnet": (resnet, 5), "gpt": (gpt, 5), "bert": (bert, 5)}
each_model = pytest.mark.parametrize(("make", "norms"), MODELS.values(), ids=MODELS)


def train(model: Any, loss: Loss, steps: int = 8) -> list[float]:
    """The losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


# --- the probe ------------------------------------------------------------------------------------


@each_model
def test_theorem_1_in_a_model_of_ones_own(make: Any, norms: int) -> None:
    model, loss = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with nlt.probe(model) as probe:  # the first line
        for _ in range(3):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
            probe.next_step()  # the second one
    assert len(probe.records) == 3 * norms
    assert {record.step for record in probe.records} == {0, 1, 2}
    names = dict(model.named_modules())
    for record in probe.records:
        assert record.layer in names and record.has_gradient
        assert isinstance(record, nl.NormRecord)
        assert record.dx.row_mean < 1e-5 * record.dx.row_var**0.5 + 1e-12
        assert record.dz.row_mean > 100 * record.dx.row_mean
        # The variance of dx is that of dz over that of x at most, where the gain is 1.
        if record.step == 0:
            assert record.dx.row_var > 0
    assert nl.viz.probed(probe.records).axes
    assert nl.viz.probed(probe.records[:norms]).axes
    html = probe._repr_html_()
    assert "row mean of dz" in html and all(record.layer in html for record in probe.records)


@each_model
def test_the_probe_changes_no_result(make: Any, norms: int) -> None:
    model, loss = make()
    other = copy.deepcopy(model)
    expected = train(other, loss)
    with nlt.probe(model, every=2):
        assert train(model, loss) == expected
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_records_are_those_of_the_engines_probe() -> None:
    ours = nl.nn.Sequential(
        nl.nn.Linear(6, 8), nl.nn.Norm("adanorm", 8, C=1.2, k=0.6), nl.nn.Linear(8, 3)
    )
    theirs = nn.Sequential(nn.Linear(6, 8), nlt.Norm("adanorm", 8, C=1.2, k=0.6), nn.Linear(8, 3))
    with torch.no_grad():
        for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
            a.copy_(
                torch.from_numpy(b.numpy()).reshape(a.shape)
                if a.shape == b.shape
                else torch.from_numpy(b.numpy().T)
            )
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    with nl.probe(ours) as first, nlt.probe(theirs) as second:
        (ours(nl.tensor(x)) ** 2).sum().backward()
        theirs(torch.from_numpy(x)).square().sum().backward()
    (a,), (b,) = first.records, second.records
    assert (a.layer, a.variant, a.step) == (b.layer, b.variant, b.step)
    assert a.clipped == pytest.approx(b.clipped) and a.clipped > 0
    for field in ("x", "z", "dz", "dx"):
        for number in ("mean", "row_mean", "row_var", "norm"):
            left, right = getattr(getattr(a, field), number), getattr(getattr(b, field), number)
            assert left == pytest.approx(right, rel=1e-4, abs=1e-6), (field, number)


def moments(rows: Any) -> tuple[float, ...]:
    mean, var = rows.mean(1), rows.var(1)
    return mean.mean(), abs(mean).mean(), var.mean(), float((rows**2).sum() ** 0.5)


@pytest.mark.parametrize(
    ("norm", "rows"),
    [
        (nn.BatchNorm2d(4), lambda v: v.transpose(1, 0, 2, 3).reshape(4, -1)),
        (nn.GroupNorm(2, 4), lambda v: v.reshape(6, -1)),
        (nn.InstanceNorm2d(4, affine=True), lambda v: v.reshape(12, -1)),
        (nn.LayerNorm((5, 5)), lambda v: v.reshape(12, -1)),
        (nn.RMSNorm(5), lambda v: v.reshape(60, -1)),
        (nlt.Norm("groupnorm", 4, groups=2), lambda v: v.reshape(6, -1)),
        (nlt.Norm("batchnorm", 4), lambda v: v.transpose(1, 0, 2, 3).reshape(4, -1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_moments_are_those_of_what_shares_statistics(norm: Any, rows: Any) -> None:
    model = nn.Sequential(norm)
    x = torch.randn(3, 4, 5, 5, requires_grad=True)
    dz = torch.randn(3, 4, 5, 5) + 0.5
    with nlt.probe(model) as probe:
        z = model(x)
        z.backward(dz)
    (record,) = probe.records
    values = {"x": x.detach(), "z": z.detach(), "dz": dz, "dx": x.grad}
    for field, value in values.items():
        found = getattr(record, field)
        numbers = (found.mean, found.row_mean, found.row_var, found.norm)
        assert numbers == pytest.approx(moments(rows(value.numpy())), rel=1e-4, abs=1e-5), field


def test_dx_is_the_norms_own_beside_a_residual() -> None:
    norm = nn.LayerNorm(8)
    x = torch.randn(4, 8, requires_grad=True)
    dz = torch.randn(4, 8) + 1
    with nlt.probe(nn.Sequential(norm)) as probe:
        (x + norm(x)).backward(dz)
    assert probe.records[0].dx.row_mean < 1e-6  # that of x itself has dz in it
    assert abs(x.grad.mean()) > 0.5


class NoRead(TorchDispatchMode):
    """An error where a value is fetched from the device."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(function)
        assert "_local_scalar_dense" not in name and "_to_copy" not in name, name
        return function(*args, **(kwargs or {}))


@each_model
def test_no_step_waits_for_the_device(make: Any, norms: int) -> None:
    model, loss = make()
    with nlt.probe(model) as probe, NoRead():
        for _ in range(2):
            loss(model).backward()
            probe.next_step()
    assert len(probe.records) == 2 * norms


def test_every_and_layers() -> None:
    model, loss = gpt()
    with nlt.probe(model, every=3, layers=["h.*.ln_1", "ln_f"]) as probe:
        for _ in range(7):
            loss(model).backward()
            probe.next_step()
    assert [record.step for record in probe.records] == [0] * 3 + [3] * 3 + [6] * 3
    assert {record.layer for record in probe.records} == {"h.0.ln_1", "h.1.ln_1", "ln_f"}
    assert repr(probe) == "probe(step 7, 9 records)"
    probe.clear()
    assert probe.records == []
    chosen = nlt.probe(model, layers=lambda name, module: name.endswith("ln_2"))
    with chosen:
        loss(model)
    assert [record.layer for record in chosen.records] == ["h.0.ln_2", "h.1.ln_2"]
    assert not chosen.records[0].has_gradient


def test_an_object_instead_of_with() -> None:
    model, loss = gpt()
    probe = nlt.probe(model)
    probe.start()
    loss(model).backward()
    probe.next_step()
    probe.stop()
    loss(model).backward()
    assert len(probe.records) == 5 and probe.step == 1
    with pytest.raises(nl.ArgumentError, match="inside of `with`"):
        probe.next_step()
    with probe, pytest.raises(nl.ArgumentError, match="already recording"):
        probe.start()


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_records_once(reentrant: bool) -> None:
    norm = nn.LayerNorm(8)
    net = nn.Sequential(nn.Linear(8, 8), norm, nn.Linear(8, 8))
    x = torch.randn(4, 8, requires_grad=True)
    with nlt.probe(net) as probe:
        checkpoint(net, x, use_reentrant=reentrant).square().sum().backward()
    assert len(probe.records) == 1
    assert probe.records[0].has_gradient and probe.records[0].dx.row_mean < 1e-5


def test_checkpoints_of_several_passes_have_each_its_own_gradient() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    xs = [torch.randn(4, 8, requires_grad=True) for _ in range(2)]

    def records(call: Any) -> list[Any]:
        with nlt.probe(net) as probe:
            with torch.no_grad():
                net(xs[0])  # has none
            (call(xs[0]).square().sum() + 100 * call(xs[1]).square().sum()).backward()
        return probe.records

    found = records(lambda x: checkpoint(net, x, use_reentrant=True))
    assert [record.has_gradient for record in found] == [False, True, True]
    for a, b in zip(found, records(net), strict=True):
        assert (a.x.norm, a.dz.norm, a.dx.norm) == pytest.approx((b.x.norm, b.dz.norm, b.dx.norm))


@pytest.mark.parametrize("variant", ["adanorm", "layernorm"])
def test_a_copy_and_a_file_of_a_probed_model_are_not_probed(variant: str) -> None:
    model, loss = gpt()
    nlt.replace_norms(model, variant)
    with nlt.probe(model) as probe:
        loss(model).backward()
        held = io.BytesIO()
        torch.save(model, held)
        held.seek(0)
        others = copy.deepcopy(model), torch.load(held, weights_only=False)
        for other in others:
            assert torch.equal(loss(other), loss(model))
            loss(other).backward()
    assert len(probe.records) == 15  # three passes of the model itself


def test_what_a_probe_cannot_see_is_refused_in_words() -> None:
    model = nn.Sequential(nn.LayerNorm(8))
    x = torch.randn(4, 8)
    with nlt.probe(model) as probe:
        for call in (torch.func.vmap(model), torch.func.grad(lambda x: model(x).sum())):
            with pytest.raises(nl.ArgumentError, match=r"torch\.func's transforms"):
                call(x)
    assert probe.records == []

    class PairRMSNorm(RMSNorm):
        def forward(self, hidden_states: Any) -> Any:
            return super().forward(hidden_states), hidden_states

    text = "0 returns a tuple instead of a tensor"
    pair = nn.Sequential(PairRMSNorm(8))
    with nlt.probe(pair), pytest.raises(nl.ArgumentError, match=text):
        pair(x)


def test_an_encoder_of_pytorchs_with_padding() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.randn(3, 5, 16), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    with torch.no_grad(), nlt.probe(model) as probe:  # x is a nested tensor within
        model(x, src_key_padding_mask=padding)
    assert [record.z.norm > 0 for record in probe.records] == [True] * 4


def test_a_keyword_and_half_precision() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = RMSNorm(8)

        def forward(self, x: Any) -> Any:
            return self.norm(hidden_states=x)

    with nlt.probe(Net().bfloat16()) as probe:
        x = torch.randn(4, 8, dtype=torch.bfloat16, requires_grad=True)
        probe._layers["norm"](hidden_states=x).sum().backward()
    (record,) = probe.records
    assert record.variant == "rmsnorm" and record.has_gradient
    assert record.dx.norm == pytest.approx(x.grad.float().norm().item(), rel=1e-2)


def test_a_call_that_fails_leaves_no_trace() -> None:
    net = nn.Sequential(nn.LayerNorm(8))
    with nlt.probe(net) as probe:
        with pytest.raises(RuntimeError):
            net(torch.randn(4, 7))
        net(torch.randn(4, 8))
        (hook,) = net[0]._forward_pre_hooks.values()
        with pytest.raises(RuntimeError):
            net(torch.randn(4, 7))
        assert hook.__self__._x is None  # x is not kept alive
    assert [record.x.norm > 0 for record in probe.records] == [False, True, False]


def test_what_a_probe_refuses() -> None:
    model, _ = gpt()
    with pytest.raises(nl.ArgumentError, match="every must be at least 1"):
        nlt.probe(model, every=0)
    with pytest.raises(nl.ArgumentError, match=r"no layer to record; the model has h\.0\.ln_1, "):
        nlt.probe(model, layers=["nothing"])
    with pytest.raises(nl.ArgumentError, match="no norm that is known"):
        nlt.probe(nn.Linear(3, 3))
    with pytest.raises(nl.ArgumentError, match="the model is compiled"):
        nlt.probe(torch.compile(model))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got Linear"):
        nlt.probe(nl.nn.Linear(3, 3))  # type: ignore[arg-type]


# --- the exchange ---------------------------------------------------------------------------------


@each_model
def test_exchanged_for_the_same_nothing_changes(make: Any, norms: int) -> None:
    model, loss = make()
    train(model, loss, 2)
    other = copy.deepcopy(model)
    changes = nlt.replace_norms(other, "batchnorm" if make is resnet else "layernorm")
    assert len(changes.changed) == norms and not changes.left
    assert all(type(m) is not nn.LayerNorm for m in other.modules())
    np.testing.assert_allclose(train(other, loss), train(model, loss), rtol=2e-3)
    state = other.state_dict()
    model.load_state_dict(state)  # the same names


@each_model
@pytest.mark.parametrize("variant", nl.norm_variants())
def test_every_exchange_trains(make: Any, norms: int, variant: str) -> None:
    model, loss = make()
    changes = nlt.replace_norms(model, variant)
    by_channel = nl.norm_traits(variant)["group"] != "row"
    wanted = variant == "none" or by_channel == (make is resnet)
    assert len(changes.changed) == (norms if wanted else 0)
    assert len(changes.left) == (0 if wanted else norms)
    if wanted:
        losses = train(model, loss, 5)
        assert np.isfinite(losses).all() and losses[-1] != losses[0]


def test_probed_under_another_norm() -> None:
    model, loss = gpt()
    nlt.replace_norms(model, "detachnorm")
    with nlt.probe(model) as probe:
        loss(model).backward()
    assert {record.variant for record in probe.records} == {"detachnorm"}
    # Forward normalisation alone does not centre the gradient.
    assert all(record.dx.row_mean > 1e-7 for record in probe.records)


def test_optimizers_go_on_and_undo_gives_back_what_was_learned() -> None:
    model, loss = gpt()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: id(p) for name, p in model.named_parameters()}
    old = model.ln_f
    changes = nlt.replace_norms(model, "gain_only")
    assert all(before[name] == id(p) for name, p in model.named_parameters())
    loss(model).backward()
    optimizer.step()
    learned = model.ln_f.weight.detach().clone()
    assert not torch.equal(learned, torch.ones(32))
    model.eval()
    changes.undo()
    assert model.ln_f is old and torch.equal(old.weight, learned) and not old.training
    assert {name: id(p) for name, p in model.named_parameters()} == before
    changes.undo()
    assert model.ln_f is old


def test_without_the_weights() -> None:
    model, _ = gpt()
    with torch.no_grad():
        model.ln_f.weight.fill_(3)
    old = model.ln_f
    changes = nlt.replace_norms(model, "layernorm", keep_weights=False, where=["ln_f"])
    assert torch.equal(model.ln_f.weight, torch.ones(32))
    assert changes.changed[0].dropped == ("bias", "weight")
    changes.undo()
    assert model.ln_f is old and torch.equal(old.weight, torch.full((32,), 3.0))


def test_the_report() -> None:
    model = nn.ModuleDict(
        {"a": nn.LayerNorm(8), "b": nn.BatchNorm1d(8), "c": nn.LayerNorm(8), "d": nn.Linear(8, 8)}
    )

    class MyNorm(nn.LayerNorm):
        def forward(self, x: Any) -> Any:
            return super().forward(x) + 1

    model["e"] = MyNorm(8)
    changes = nlt.replace_norms(model, "adanorm", where=lambda name, _: name != "c", C=1.5)
    assert str(changes).splitlines() == [
        "1 norms exchanged, 2 left",
        "  a: LayerNorm (layernorm) -> adanorm (drops bias, weight)",
        "  b: BatchNorm1d (batchnorm) left: adanorm is over the last axes, whose lengths a norm "
        "over channels does not know",
        "  e: MyNorm left: its class is not known, or computes something of its own",
    ]
    assert repr(model["a"]) == "Norm('adanorm', 8, C=1.5)" and repr(changes) == str(changes)


@pytest.mark.parametrize("cls", [RMSNorm, GemmaRMSNorm, nn.RMSNorm])
def test_rms_norms_of_others(cls: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), cls(8))
    with torch.no_grad():
        model[1].weight.add_(0.5 * torch.randn(8))
    x = torch.randn(5, 8)
    expected, weight = model(x), model[1].weight.detach().clone()
    changes = nlt.replace_norms(model, "rmsnorm")
    assert changes.changed[0].kept == ("weight",)
    torch.testing.assert_close(model(x), expected)
    assert model[1].eps == pytest.approx(1.1920929e-07 if cls is nn.RMSNorm else 1e-6)
    with torch.no_grad():
        model[1].weight.add_(0.25)
    expected = model(x)
    changes.undo()
    torch.testing.assert_close(model(x), expected)
    torch.testing.assert_close(model[1].weight.detach(), weight + 0.25)


def test_an_rms_norm_that_computes_something_else_is_left() -> None:
    class OddRMSNorm(RMSNorm):
        def forward(self, hidden_states: Any) -> Any:
            return 2 * super().forward(hidden_states)

    changes = nlt.replace_norms(nn.Sequential(OddRMSNorm(8)), "adanorm")
    assert not changes.changed
    assert "neither weight * x / rms nor (1 + weight) * x / rms" in changes.left[0].reason


def test_shared_modules_types_and_modes() -> None:
    shared = nn.LayerNorm(8)
    model = nn.ModuleList([nn.Sequential(shared), shared, nn.Dropout()]).double().eval()
    changes = nlt.replace_norms(model, "rmsnorm")
    assert model[0][0] is model[1] and len(changes.changed) == 1
    assert model[1].weight.dtype == torch.float64 and not model[1].training
    assert model[1].eps == 1e-5
    changes.undo()
    assert model[0][0] is shared and model[1] is shared


def test_what_an_exchange_refuses() -> None:
    model, _ = gpt()
    with pytest.raises(nl.ArgumentError, match="no variant 'adanrom'; there are none, layernorm"):
        nlt.replace_norms(model, "adanrom")
    with pytest.raises(nl.ArgumentError, match="is a norm itself"):
        nlt.replace_norms(nn.LayerNorm(8), "adanorm")
    with pytest.raises(nl.ArgumentError, match="found no norm there"):
        nlt.replace_norms(model, "adanorm", where=["nothing"])
    with pytest.raises(nl.ArgumentError, match="C"):
        nlt.replace_norms(model, "layernorm", C=2.0)
    assert type(model.ln_f) is nn.LayerNorm  # an error leaves all as it was
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got str"):
        nlt.replace_norms("model", "adanorm")  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [nn.LayerNorm(5), nn.BatchNorm2d(4), nn.GroupNorm(2, 4)])
def test_other_devices_have_the_same_moments(norm: Any) -> None:
    class Elsewhere(torch.Tensor):
        """Not the CPU's for the engine."""

    from normlab.torch._kinds import kind_of
    from normlab.torch.probes import _moments

    x, kind = torch.randn(3, 4, 5, 5) + 1, kind_of(norm)
    assert kind is not None
    with NoRead():
        there = _moments(x.as_subclass(Elsewhere), kind)
    here = _moments(x, kind)
    assert isinstance(there, torch.Tensor) and isinstance(here, nl.RowMoments)
    numbers = (here.mean, here.row_mean, here.row_var, here.norm)
    assert there.tolist() == pytest.approx(numbers, rel=1e-5)
