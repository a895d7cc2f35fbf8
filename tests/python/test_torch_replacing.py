"""The exchange of norms in models that are less simple: encoders, hooks, other options, undo."""

import copy
import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tests/run torch does it)")

import torch.nn.utils.prune as prune  # noqa: E402
from torch import nn  # noqa: E402
from torch_models import GemmaRMSNorm, RMSNorm  # noqa: E402

import normlab as nl  # noqa: E402
import normlab.torch as nlt  # noqa: E402

ROWS = tuple(name for name in nl.norm_variants() if nl.norm_traits(name)["group"] == "row")
each_row = pytest.mark.parametrize("variant", ROWS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def encoder(first: bool = False) -> Any:
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not first)


def disturbed(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


# --- PyTorch's encoder, whose layers call no norm in evaluation -----------------------------------


@each_row
@pytest.mark.parametrize("denominator", ["var_eps", "std_eps"])
@pytest.mark.parametrize("first", [True, False])
def test_an_encoder_computes_its_norms_in_evaluation(
    variant: str, denominator: str, first: bool
) -> None:
    model = encoder(first)
    changes = nlt.replace_norms(model, variant, denominator=denominator)
    assert len(changes.changed) == 4
    x, padding = torch.randn(3, 5, 16), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    disturbed(model)
    expected = model(x, src_key_padding_mask=padding)  # in training without dropout
    with torch.no_grad():
        found = model.eval()(x, src_key_padding_mask=padding)
    torch.testing.assert_close(found[~padding], expected[~padding].detach(), rtol=1e-4, atol=1e-4)
    changes.undo()
    assert model.use_nested_tensor == (not first)
    assert [layer.activation_relu_or_gelu for layer in model.layers] == [1, 1]


def test_a_layer_with_one_norm_of_another_kind_computes_both() -> None:
    model = disturbed(encoder())
    changes = nlt.replace_norms(model, "gain_only", where=["layers.*.norm1"])
    assert len(changes.changed) == 2
    # Some versions of PyTorch compare the two norms' eps by ==, in which they are equal.
    assert [layer.activation_relu_or_gelu for layer in model.layers] == [0, 0]
    x = torch.randn(3, 5, 16)
    expected = model(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), expected, rtol=1e-4, atol=1e-4)


@each_row
def test_a_norm_put_into_a_layer_by_hand(variant: str) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    layer.norm1 = nlt.Norm(variant, 16, denominator="std_eps")  # the other one is a LayerNorm's
    x = torch.randn(3, 5, 16)
    expected = disturbed(layer)(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), expected, rtol=1e-4, atol=1e-4)
    assert layer.norm1.eps == 1e-5


def test_a_nested_tensor_is_refused_in_words() -> None:
    x = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(2, 8)])
    with pytest.raises(nl.ShapeError, match="must not be a nested tensor"):
        nlt.Norm("adanorm", 8)(x)


# --- options of norms over channels ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "variant"),
    [
        (nn.BatchNorm1d(8, momentum=0.01), "batchnorm"),
        (nn.BatchNorm1d(8, momentum=0.7, eps=1e-3), "batchnorm"),
        (nn.InstanceNorm1d(8, affine=True, track_running_stats=True, momentum=0.3), "instancenorm"),
        (nn.InstanceNorm1d(8, affine=True), "instancenorm"),
        (nlt.Norm("batchnorm", 8, momentum=0.4), "batchnorm"),
    ],
    ids=str,
)
def test_running_statistics_go_on_as_before(old: Any, variant: str) -> None:
    model, other = nn.Sequential(copy.deepcopy(old)), nn.Sequential(copy.deepcopy(old))
    assert nlt.replace_norms(model, variant).changed
    for _ in range(3):
        x = 3 * torch.randn(4, 8, 6) + 1
        torch.testing.assert_close(model(x), other(x))
    torch.testing.assert_close(model.eval()(x), other.eval()(x))
    other.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (nn.BatchNorm1d(8, momentum=None), "plain averages"),
        (nn.BatchNorm1d(8, track_running_stats=False), "keeps no running statistics"),
        (nn.SyncBatchNorm(8), "statistics are those of all processes"),
    ],
    ids=str,
)
def test_a_batch_norm_of_another_kind_is_left(old: Any, reason: str) -> None:
    model = nn.Sequential(old)
    assert reason in nlt.replace_norms(model, "batchnorm").left[0].reason
    assert model[0] is old
    assert nlt.replace_norms(model, "groupnorm").changed


def test_parameters_that_are_new_are_where_the_model_is() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8, elementwise_affine=False))
    model.double().to("meta")
    nlt.replace_norms(model, "layernorm")
    assert model[1].weight.dtype == torch.float64 and model[1].weight.is_meta


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm1d, nn.InstanceNorm1d, nn.SyncBatchNorm, functools.partial(nlt.Norm, "batchnorm")],
)
def test_a_subclass_that_computes_more_is_not_known(norm: Any) -> None:
    plain = norm(8)

    class Rectified(type(plain)):  # type: ignore[misc]
        """As timm has it."""

        def forward(self, x: Any) -> Any:
            return super().forward(x).relu()

    more = norm(8)
    more.__class__ = Rectified
    model = nn.Sequential(plain, more)
    changes = nlt.replace_norms(model, "groupnorm")
    assert [change.layer for change in changes.changed] == ["0"]
    assert model[1] is more
    with pytest.raises(nl.ArgumentError, match="no layer to record"):
        nlt.probe(model, layers=["1"])


# --- what an exchange would lose ------------------------------------------------------------------


def hooked(norm: Any) -> Any:
    norm.register_forward_hook(lambda module, args, z: z + 1)
    return norm


def pruned(norm: Any) -> Any:
    prune.l1_unstructured(norm, "weight", 3)
    return norm


def wrapped(norm: Any) -> Any:
    """As accelerate does it."""
    norm.forward = functools.partial(type(norm).forward, norm)
    return norm


@pytest.mark.parametrize("change", [hooked, pruned, wrapped])
def test_a_norm_with_hooks_is_left(change: Any) -> None:
    model = nn.Sequential(change(nn.LayerNorm(8)))
    x = torch.randn(2, 8)
    expected = model(x)
    changes = nlt.replace_norms(model, "layernorm")
    assert "it has hooks, which would be lost" in changes.left[0].reason
    torch.testing.assert_close(model(x), expected)


def test_a_probed_norm_is_left() -> None:
    model = nn.Sequential(nn.LayerNorm(8), RMSNorm(8))
    with nlt.probe(model) as probe:
        assert "a probe's with stop()" in str(nlt.replace_norms(model, "adanorm"))
        model(torch.randn(2, 8))
    assert len(probe.records) == 2  # and none of a trial
    assert len(nlt.replace_norms(model, "adanorm").changed) == 2


class Gated(RMSNorm):
    def forward(self, hidden_states: Any, gate: Any) -> Any:  # type: ignore[override]
        return super().forward(hidden_states) * gate


class Several(RMSNorm):
    def forward(self, hidden_states: Any) -> Any:
        return super().forward(hidden_states), hidden_states


# A name that ends in RMSNorm looks like one.
Gated.__name__, Several.__name__ = "GatedRMSNorm", "SeveralRMSNorm"


@pytest.mark.parametrize("cls", [Gated, Several])
def test_an_rms_norm_with_other_arguments_or_results_is_left(cls: Any) -> None:
    changes = nlt.replace_norms(nn.Sequential(cls(8)), "rmsnorm")
    assert "of one x" in changes.left[0].reason


# --- undo -----------------------------------------------------------------------------------------


def test_an_optimizer_goes_on_with_gemmas_weight() -> None:
    model = nn.Sequential(nn.Linear(8, 8), disturbed(GemmaRMSNorm(8))).bfloat16()
    weight, before = model[1].weight, model[1].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    changes = nlt.replace_norms(model, "rmsnorm")
    assert model[1].weight is weight
    changes.undo()
    assert model[1].weight is weight and torch.equal(weight, before)  # to the last bit
    changes = nlt.replace_norms(model, "rmsnorm")
    model(torch.randn(4, 8, dtype=torch.bfloat16)).square().sum().backward()
    optimizer.step()
    gain = model[1].weight.detach().clone()
    changes.undo()
    assert model[1].weight is weight and not torch.equal(weight, before)
    torch.testing.assert_close(weight.detach(), gain - 1, rtol=0.02, atol=0.02)


def test_a_weight_of_gemmas_that_is_tied_is_left() -> None:
    model = nn.Sequential(GemmaRMSNorm(8), nn.Linear(8, 8), GemmaRMSNorm(8))
    model[2].weight = model[0].weight
    x = torch.randn(3, 8)
    expected = model(x)
    changes = nlt.replace_norms(model, "rmsnorm", where=["0"])
    assert "is also another module's" in changes.left[0].reason
    torch.testing.assert_close(model(x), expected)
    assert len(nlt.replace_norms(model, "adanorm").changed) == 2  # which have no weight


def test_undo_out_of_order_is_refused() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
    old = model[1]
    first = nlt.replace_norms(model, "adanorm")
    second = nlt.replace_norms(model, "rmsnorm")
    with pytest.raises(nl.ArgumentError, match="undo: 1 is no longer the norm of this exchange"):
        first.undo()
    assert model[1].variant == "rmsnorm"
    second.undo()
    first.undo()
    first.undo()  # nothing
    assert model[1] is old
    third = nlt.replace_norms(model, "adanorm")
    model[1] = nn.Identity()
    with pytest.raises(nl.ArgumentError, match="is no longer the norm of this exchange"):
        third.undo()
    assert isinstance(model[1], nn.Identity)


def test_old_parameters_follow_the_model_to_another_dtype() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
    changes = nlt.replace_norms(model, "gain_only")
    model.double()
    changes.undo()
    assert model[1].bias.dtype == model(torch.randn(2, 8).double()).dtype == torch.float64


def test_norms_stay_of_their_dtype_beside_others() -> None:
    model = nn.Sequential(nn.Linear(8, 8).bfloat16(), nn.LayerNorm(8))
    changes = nlt.replace_norms(model, "adanorm")
    changes.undo()
    assert model[1].bias.dtype == torch.float32


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda model: nlt.replace_norms(model, ["adanorm"]), r"no variant \['adanorm'\]"),
        (lambda model: nlt.replace_norms(model, "adanorm", where=5), "where must be names"),
        (lambda model: nlt.replace_norms(model, "adanorm", where=[]), "found no norm there"),
        (lambda model: nlt.replace_norms(model, "adanorm", dtype="x"), "dtype is that of the old"),
        (lambda model: nlt.probe(model, layers=5), "layers must be names"),
        (lambda model: nlt.probe(model, every=2.5), r"every must be int, got 2\.5"),
        (lambda _: nlt.Norm("layernorm", 8.0), r"shape must be an int or several, got 8\.0"),
        (lambda _: nlt.Norm("layernorm", [2.5]), r"shape must be an int or several, got \[2\.5\]"),
        (lambda _: nlt.Norm("layernorm", "8"), "shape must be an int or several, got '8'"),
        (lambda _: nlt.Norm("batchnorm", 8, momentum=None), "momentum must be float, got None"),
    ],
)
def test_what_is_refused_in_words(call: Any, text: str) -> None:
    with pytest.raises((nl.ArgumentError, nl.DtypeError), match=text):
        call(nn.Sequential(nn.LayerNorm(8)))
