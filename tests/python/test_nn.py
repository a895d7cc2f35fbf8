"""Modules: layers, subclasses in Python, registration, ownership."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import normlab as nl
from normlab import nn


class Net(nn.Module):
    """Two layers, a parameter and a buffer."""

    def __init__(self, width=4):
        super().__init__()
        self.hidden = nn.Linear(3, width, activation="relu")
        self.norm = nn.Norm("layernorm", width)
        self.scale = nn.Parameter(nl.full(2, 0.5))
        self.out = nn.Sequential(nn.Linear(width, 2), nn.Tanh())
        self.register_buffer("steps", nl.zeros(()))
        self.note = "plain"

    def forward(self, x, *, twice=False):
        z = self.out(self.norm(self.hidden(x))) * self.scale
        return z + z if twice else z


# --- subclasses -------------------------------------------------------------------------------


def test_forward_takes_any_arguments():
    net = Net()
    x = nl.randn((5, 3))
    assert net(x).shape == (5, 2)
    np.testing.assert_allclose(net(x, twice=True).numpy(), 2 * net(x).numpy())

    class Odd(nn.Module):
        def forward(self, a, b=2, *rest, **named):
            return a, b, rest, named

    assert Odd()(1) == (1, 2, (), {})
    assert Odd()(1, 3, 4, c=5) == (1, 3, (4,), {"c": 5})


def test_names_and_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale", "hidden.weight", "hidden.bias", "norm.gain", "norm.bias", "out.0.weight",
        "out.0.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_modules()] == ["hidden", "norm", "out", "out.0", "out.1"]
    assert [name for name, _ in net.named_buffers()] == ["steps"]
    assert len(net.parameters()) == 7
    assert net.num_parameters() == 2 + 12 + 4 + 8 + 8 + 2
    assert set(net.state()) == {name for name, _ in net.named_parameters()} | {"steps"}
    modules = dict(net.named_modules())
    assert modules["hidden"] is net.hidden
    assert modules["out.0"] is net.out[0]


def test_parameters_share_storage_with_attributes():
    net = Net()
    for p in net.parameters():
        p.fill_(0)
    assert not np.any(net.scale.numpy())
    assert not np.any(net.hidden.weight.numpy())
    net.state()["scale"].fill_(3)
    assert net.scale.tolist() == [3, 3]


def test_training_lowers_the_loss():
    net = Net()
    opt = nl.optim.Adam(net.parameters(), lr=0.05)
    x, y = nl.randn((64, 3)), nl.randint(0, 2, 64)
    losses = []
    for _ in range(30):
        loss = nl.cross_entropy(net(x), y)
        net.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_attributes_come_and_go():
    net = Net()
    del net.scale
    assert "scale" not in net.state()
    with pytest.raises(AttributeError):
        _ = net.scale
    net.scale = nn.Parameter(nl.ones(2))
    assert "scale" in net.state()
    net.scale = None
    assert net.scale is None
    assert "scale" not in net.state()
    net.hidden = nn.Linear(3, 4)
    assert net.named_modules()[0][0] == "hidden"  # in place of the old one
    net.hidden = nn.Parameter(nl.ones(1))
    assert "hidden" in net.state()
    assert "hidden.weight" not in net.state()
    net.hidden = nn.Linear(3, 4)
    assert "hidden.weight" in net.state()
    del net.hidden
    assert not any(name.startswith("hidden") for name in net.state())
    with pytest.raises(AttributeError):
        del net.hidden
    del net.note
    assert not hasattr(net, "note")


def test_buffers_and_plain_tensors():
    net = Net()
    net.steps = nl.ones(())  # stays a buffer
    assert net.state()["steps"].item() == 1
    net.plain = nl.ones(3)
    assert "plain" not in net.state()
    with pytest.raises(nl.ArgumentError, match="'scale' is a parameter"):
        net.scale = net.scale * 2
    net.frozen = nn.Parameter(nl.ones(2))
    net.frozen.requires_grad = False
    assert "frozen" in net.state()


def test_explicit_registration():
    net = nn.Module()
    p = net.register_parameter("p", nl.ones(2))
    b = net.register_buffer("b", nl.ones(3))
    m = net.register_module("m", nn.Linear(1, 1))
    assert (net.p is p or net.p.requires_grad) and net.b.shape == b.shape and net.m is m
    assert set(net.state()) == {"p", "b", "m.weight", "m.bias"}
    for bad in ("", "a.b"):
        with pytest.raises(nl.ArgumentError, match="name"):
            net.register_parameter(bad, nl.ones(1))
        with pytest.raises(nl.ArgumentError, match="name"):
            net.register_module(bad, nn.Linear(1, 1))
    with pytest.raises(TypeError):
        net.register_module("x", nl.ones(1))
    with pytest.raises(nl.GradError):
        net.register_parameter("q", nl.ones(1, requires_grad=True) * 2)


def test_properties_of_a_subclass_are_respected():
    class WithProperty(nn.Module):
        @property
        def layer(self):
            return self._layer

        @layer.setter
        def layer(self, value):
            self._layer = value

    net = WithProperty()
    net.layer = nn.Linear(1, 1)
    assert set(net.state()) == {"_layer.weight", "_layer.bias"}
    with pytest.raises(AttributeError):
        net.training = 3


def test_before_super_init():
    class Early(nn.Module):
        def __init__(self, act):
            act(self)

    def assign_module(m):
        m.layer = nn.Linear(1, 1)

    def assign_parameter(m):
        m.p = nn.Parameter(nl.ones(1))

    for act in (
        assign_module,
        assign_parameter,
        nn.Module.parameters,
        nn.Module.train,
        repr,
        lambda m: m.training,
        lambda m: m(1),
    ):
        with pytest.raises(nl.ArgumentError, match=r"super\(\).__init__\(\)|must define"):
            Early(act)

    class Plain(nn.Module):
        def __init__(self):
            self.width = 3
            super().__init__()
            del self.width

    Plain()
    with pytest.raises(TypeError, match="__init__"):
        Early(lambda m: None)


def test_forward_is_needed():
    with pytest.raises(nl.ArgumentError, match="forward"):
        nn.Module()(nl.ones(1))
    with pytest.raises(nl.ArgumentError, match="forward"):
        nn.Sequential(nn.Module())(nl.ones(1))


# --- C++ calls Python -------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = nn.Parameter(nl.full((), by))

    def forward(self, x):
        return x * self.by


def test_python_modules_inside_cpp_ones():
    net = nn.Sequential(Scale(2), nn.ReLU(), nn.Sequential(Scale(3)))
    gc.collect()
    assert net(nl.ones(2)).tolist() == [6, 6]
    assert list(net.state()) == ["0.by", "2.0.by"]
    assert isinstance(net[0], Scale)
    assert isinstance(net[-1][0], Scale)
    assert net[2][0] is net[2][0]
    net(nl.ones(2)).sum().backward()
    assert net[0].by.grad.item() == 6


def test_subclasses_of_layers():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    class Named(nn.Linear):
        def __init__(self):
            super().__init__(3, 2, bias=False)
            self.extra = nn.Parameter(nl.ones(1))

    x = nl.ones((1, 3))
    d = Doubled(3, 2)
    want = 2 * nl.linear(x, d.weight, d.bias).numpy()
    np.testing.assert_allclose(d(x).numpy(), want)
    np.testing.assert_allclose(nn.Sequential(d)(x).numpy(), want)
    n = Named()
    np.testing.assert_allclose(nn.Sequential(n)(x).numpy(), nl.linear(x, n.weight).numpy())
    assert set(n.state()) == {"weight", "extra"}
    assert repr(d).startswith("Doubled(3, 2")


def test_errors_in_a_python_forward_pass_through():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    class Returns(nn.Module):
        def forward(self, x):
            return "text"

    with pytest.raises(KeyError, match="mine"):
        nn.Sequential(nn.ReLU(), Fails())(nl.ones(1))
    with pytest.raises(nl.DtypeError, match="must return a Tensor, got str"):
        nn.Sequential(Returns())(nl.ones(1))


# --- ownership --------------------------------------------------------------------------------


def test_parts_stay_alive():
    def build():
        return nn.Sequential(nn.Sequential(Scale(2), Scale(5)))

    net = build()
    gc.collect()
    assert net(nl.ones(1)).item() == 10
    inner = net[0]
    del net
    gc.collect()
    assert inner(nl.ones(1)).item() == 10
    part = inner[1]
    del inner
    gc.collect()
    assert part(nl.ones(1)).item() == 5


def test_messing_with_dict_is_safe():
    net = Net()
    net.__dict__.clear()
    gc.collect()
    assert len(net.parameters()) == 7
    assert dict(net.named_modules())["out.0"].weight.shape == (2, 4)


def collected(make):
    """Whether the module that `make` returns is freed without and with the collector."""
    module = make()
    gone = weakref.ref(module)
    del module
    gc.collect()
    return gone() is None


class Holder(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return x

    def method(self):
        return 1


def cycle_through_plain_attribute():
    net = Holder()
    net.me = [net]
    return net


def cycle_through_child():
    net = Holder(child=Holder())
    net.child.callback = net.method
    return net


def cycle_through_child_outside_dict():
    net = cycle_through_child()
    net.__dict__.clear()
    return net


def cycle_through_sequential():
    net = Holder(layers=nn.Sequential(Holder(), nn.Sequential(Holder())))
    net.layers[0].parent = (net,)
    net.layers[1][0].parent = {"net": net}
    return net


def cycle_of_sequential_itself():
    net = nn.Sequential(Holder())
    net[0].owner = [net]
    return net


def cycle_through_removed_part():
    net = Holder(child=Holder())
    net.child.callback = net.method
    del net.child
    return net


@pytest.mark.parametrize(
    "make",
    [Net, cycle_through_plain_attribute, cycle_through_child, cycle_through_child_outside_dict,
     cycle_through_sequential, cycle_of_sequential_itself, cycle_through_removed_part],
)  # fmt: skip
def test_cycles_are_collected(make):
    gc.collect()
    before = nl.memory_stats()["in_use"]
    assert collected(make)
    assert nl.memory_stats()["in_use"] == before


def test_collector_leaves_live_modules_alone():
    net = cycle_through_sequential()
    outer = nn.Sequential(net.layers)
    gone = weakref.ref(net)
    part = net.layers[0]
    del net
    gc.collect()
    assert gone() is not None  # its part refers to it
    assert outer[0][0] is part
    assert part.parent[0].layers is outer[0]
    del outer, part
    gc.collect()
    assert gone() is None


def test_without_a_cycle_no_collector_is_needed():
    gc.disable()
    try:
        net = Net()
        gone, part = weakref.ref(net), weakref.ref(net.out)
        del net
        assert gone() is None
        assert part() is None
    finally:
        gc.enable()


def test_a_module_is_no_part_of_itself():
    net = Net()
    with pytest.raises(nl.ArgumentError, match="contain"):
        net.me = net
    inner = Holder()
    net.inner = nn.Sequential(inner)
    with pytest.raises(nl.ArgumentError, match="contain"):
        inner.up = net
    seq = nn.Sequential()
    with pytest.raises(nl.ArgumentError, match="contain"):
        seq.append(seq)
    assert len(seq) == 0


def test_shared_parts_count_once():
    shared = nn.Linear(2, 2)
    net = Holder(a=shared, b=shared)
    assert len(net.parameters()) == 2
    assert net.num_parameters() == 6


# --- state ------------------------------------------------------------------------------------


def test_load_state():
    a, b = Net(), Net()
    b.load_state(a.state())
    x = nl.randn((4, 3))
    assert np.array_equal(a(x).numpy(), b(x).numpy())
    b.load_state({name: t.numpy() for name, t in a.state().items()})
    state = a.state()
    del state["scale"]
    state["other"] = nl.ones(1)
    with pytest.raises(nl.ArgumentError, match=r"scale[\s\S]*other|other[\s\S]*scale"):
        b.load_state(state)
    state = a.state()
    state["scale"] = nl.ones(3)
    with pytest.raises(nl.ShapeError, match="scale"):
        b.load_state(state)


def test_train_and_eval():
    net = nn.Sequential(nn.Dropout(0.5), Net())
    assert net.training
    assert net.eval() is net
    assert not net.training
    assert not net[1].out.training
    x = nl.ones((2, 3))
    assert np.array_equal(net(x).numpy(), net(x).numpy())
    assert net.train() is net
    assert net[1].hidden.training
    assert not net.train(False).training


# --- layers -----------------------------------------------------------------------------------


def test_layers_compute_what_the_functions_do():
    x = nl.randn((2, 3, 8, 8))
    conv = nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=1, activation="relu")
    want = nl.conv2d(x, conv.weight, conv.bias, stride=(1, 2), padding=1, activation="relu")
    assert np.array_equal(conv(x).numpy(), want.numpy())
    assert conv(x).shape == (2, 4, 8, 5)
    assert nn.Conv2d(3, 4, 3, bias=False).bias is None
    for layer, f in ((nn.MaxPool2d, nl.max_pool2d), (nn.AvgPool2d, nl.avg_pool2d)):
        assert np.array_equal(layer(2)(x).numpy(), f(x, 2).numpy())
        assert np.array_equal(layer(3, 1)(x).numpy(), f(x, 3, 1).numpy())
        assert layer((2, 4))(x).shape == (2, 3, 4, 2)
    assert nn.Flatten()(x).shape == (2, 192)
    table = nn.Embedding(5, 3, padding_index=0)
    assert table(nl.tensor([[0, 1]])).tolist()[0][0] == [0, 0, 0]
    for name, module in [("relu", nn.ReLU), ("gelu", nn.GELU), ("tanh", nn.Tanh),
                         ("sigmoid", nn.Sigmoid), ("silu", nn.SiLU),
                         ("softplus", nn.Softplus)]:  # fmt: skip
        want = getattr(nl, name)(x).numpy()
        assert np.array_equal(module()(x).numpy(), want)
        assert np.array_equal(nn.Activate(name)(x).numpy(), want)
        assert isinstance(module(), nn.Activate)
    for slope in (0.01, 0.5):
        assert np.array_equal(nn.LeakyReLU(slope)(x).numpy(), nl.leaky_relu(x, slope).numpy())


@pytest.mark.parametrize("variant", nl.norm_variants())
def test_norm_modules(variant):
    traits = nl.norm_traits(variant)
    size = 6 if traits["group"] == "row" else (6, 2, 2)
    x = nl.randn((4, 6) if traits["group"] == "row" else (4, 6, 2, 2), dtype="float32")
    x.requires_grad = True
    norm = nn.Norm(variant, size)
    assert norm.variant == variant == traits["name"]
    assert norm.size == ((6,) if size == 6 else size)
    affine = {"affine": {"gain", "bias"}, "gain": {"gain"}, "bias": {"bias"}}
    learned = affine.get(traits["output"], set()) | (
        {"alpha"} if traits["scale"] == "tanh" else set()
    )
    assert {name for name, _ in norm.named_parameters()} == learned
    present = {name for name in ("gain", "bias", "alpha") if getattr(norm, name) is not None}
    assert present == learned
    z = norm(x)
    options = {name: getattr(norm, name) for name in learned}
    got = nl.normalize(x, variant, **options)
    np.testing.assert_allclose(got.numpy(), z.numpy(), rtol=1e-6, atol=1e-6)
    z.sum().backward()
    assert x.grad.shape == x.shape


def test_norm_options():
    x = nl.randn((4, 8))
    a = nn.Norm("adanorm", 8, C=2.0, k=0.2, denominator="std_eps", eps=1e-3)(x)
    b = nl.normalize(x, "adanorm", C=2.0, k=0.2, denominator="std_eps", eps=1e-3)
    assert np.array_equal(a.numpy(), b.numpy())
    y = nl.normalize(x, "layernorm_simple", axes=2).numpy()
    np.testing.assert_allclose(y.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(), 1, rtol=1e-4)
    image = nl.randn((2, 4, 3, 3))
    assert np.array_equal(
        nl.normalize(image, "groupnorm", groups=2).numpy(),
        nn.Norm("groupnorm", (4, 3, 3), groups=2)(image).numpy(),
    )
    mean, var = nl.zeros(4), nl.ones(4)
    nl.normalize(image, "batchnorm", running_mean=mean, running_var=var, momentum=1.0)
    np.testing.assert_allclose(mean.numpy(), image.numpy().mean((0, 2, 3)), atol=1e-6)
    assert nl.normalize(nl.randn((5, 3)), "batchnorm").shape == (5, 3)
    with pytest.raises(nl.ShapeError):
        nl.normalize(x, "layernorm", gain=nl.ones(7))
    with pytest.raises(nl.ArgumentError, match="var_eps"):
        nl.normalize(x, "layernorm", denominator="eps")
    with pytest.raises(TypeError, match="missing a required argument: 'variant'"):
        nl.normalize(x)
    with pytest.raises(nl.ArgumentError):
        nn.Norm("layernorm", 8).gain = nn.Parameter(nl.ones(8))


def test_norms_of_pytorchs_names_mean_the_same():
    x = np.random.default_rng(0).normal(0.001, 0.002, (4, 2, 8)).astype(np.float32)  # eps is seen
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    rms = (x**2).mean(-1, keepdims=True)
    norms = {
        nn.LayerNorm(8): ((x - mean) / np.sqrt(var + 1e-5), ("gain", "bias")),
        nn.LayerNorm(8, 1e-6, bias=False): ((x - mean) / np.sqrt(var + 1e-6), ("gain",)),
        nn.LayerNorm([8], elementwise_affine=False): ((x - mean) / np.sqrt(var + 1e-5), ()),
        nn.RMSNorm(8): (x / np.sqrt(rms + np.finfo("float32").eps), ("gain",)),
        nn.RMSNorm((8,), eps=1e-3, elementwise_affine=False): (x / np.sqrt(rms + 1e-3), ()),
    }
    for norm, (z, parameters) in norms.items():
        assert isinstance(norm, nn.Norm)
        np.testing.assert_allclose(norm(nl.tensor(x)).numpy(), z, rtol=1e-4, atol=1e-6)
        assert {name for name, _ in norm.named_parameters()} == set(parameters)
    assert nn.LayerNorm((2, 8)).gain.shape == (2, 8), "a row of two axes, as in PyTorch"


IMPORTS = """
import normlab.nn.functional as F
from normlab import functional
from normlab.nn import functional as again
from normlab.nn.functional import relu
import normlab as nl

assert F is functional is again is nl.nn.functional is nl and relu is nl.relu
try:
    F.swish
except AttributeError as error:
    assert "use `nl.silu(x)`" in str(error)
"""


def test_functions_are_imported_as_pytorchs_are():
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def test_weights_can_be_replaced_and_tied():
    table = nn.Embedding(7, 3)
    out = nn.Linear(3, 7, bias=False)
    out.weight = table.weight
    net = Holder(table=table, out=out)
    assert [name for name, _ in net.named_parameters()] == ["table.weight"]
    net.out(net.table(nl.tensor([1, 2]))).sum().backward()
    assert table.weight.grad.shape == (7, 3)
    with pytest.raises(nl.ShapeError, match="weight"):
        out.weight = nn.Parameter(nl.ones((3, 7)))
    with pytest.raises(nl.ArgumentError, match="without"):
        out.bias = nn.Parameter(nl.ones(7))
    for tensor in (nl.ones((7, 3)), table.weight * 2):
        with pytest.raises(nl.ArgumentError, match=r"weight: is a parameter: copy_\(\) new values"):
            out.weight = tensor
    assert out.weight.requires_grad and out.weight.is_leaf


def tied_network():
    """A table that is also the output's weight, as in a language model."""
    table, inner, out = nn.Embedding(7, 3), nn.Linear(3, 3), nn.Linear(3, 7, bias=False)
    out.weight = table.weight
    return Holder(table=table, inner=inner, out=out)


def tied_logits(net, tokens):
    return net.out(net.inner(net.table(tokens)))


def test_a_tied_weight_has_one_gradient_and_one_place_in_files(tmp_path):
    net = tied_network()
    tokens, targets = nl.tensor([1, 2, 5, 1]), nl.tensor([2, 5, 1, 0])
    assert list(net.state()) == ["inner.bias", "inner.weight", "table.weight"]
    assert net.num_parameters() == 21 + 9 + 3
    apart = [nn.Parameter(net.table.weight.detach().clone()) for _ in range(2)]
    nl.cross_entropy(tied_logits(net, tokens), targets).backward()
    hidden = net.inner(nl.embedding(apart[0], tokens))
    nl.cross_entropy(nl.linear(hidden, apart[1]), targets).backward()
    np.testing.assert_allclose(
        net.table.weight.grad.numpy(), (apart[0].grad + apart[1].grad).numpy(), atol=1e-7
    )
    before = net.table.weight.numpy().copy()
    gradient = net.table.weight.grad.numpy()
    optimizer = nl.optim.SGD(net.parameters(), 0.5)
    optimizer.step()
    np.testing.assert_allclose(net.table.weight.numpy(), before - 0.5 * gradient, atol=1e-6)
    assert net.out.weight is net.table.weight
    nl.save(tmp_path / "net.safetensors", net.state())
    other = tied_network()
    other.load_state(nl.load(tmp_path / "net.safetensors"))
    assert np.array_equal(tied_logits(other, tokens).numpy(), tied_logits(net, tokens).numpy())


def test_a_tied_weight_learns_with_adam():
    net, tokens = tied_network(), nl.tensor([1, 2, 5, 1])
    optimizer = nl.optim.AdamW(net.parameters(), 0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nl.cross_entropy(tied_logits(net, tokens), nl.tensor([2, 5, 1, 2]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"C": 2.0}, "variant 'layernorm' takes no C, got 2"),
        ({"k": 0.2}, "takes no k"),
        ({"groups": 2}, "takes no groups"),
        ({"momentum": 0.5}, "takes no momentum"),
        ({"topk_share": 0.1}, "takes no topk_share"),
        ({"eps": -1.0}, "eps must be finite and not negative, got -1"),
        ({"eps": float("nan")}, "eps must be finite"),
        ({"variant": "adanorm", "C": float("nan")}, "C must be finite, got nan"),
        ({"variant": "groupnorm", "size": 16, "groups": 5}, "groups must divide the channels"),
        ({"variant": "topk", "topk_share": -5.0}, r"topk_share must be in \[0, 1\]"),
        ({"variant": "batchnorm", "momentum": 2.0}, r"momentum must be in \[0, 1\]"),
    ],
)
def test_options_are_checked_when_a_norm_is_made(options, text):
    with pytest.raises(nl.ArgumentError, match=f"^Norm: .*{text}"):
        nn.Norm(**({"variant": "layernorm", "size": 8} | options))


def test_batchnorm_needs_more_than_one_value_in_training():
    norm = nn.Norm("batchnorm", 3)
    with pytest.raises(nl.ArgumentError, match=r"needs more than one value a channel.*eval"):
        norm(nl.ones((1, 3)))
    assert norm.running_var.tolist() == [1, 1, 1]
    assert nn.Norm("batchnorm", (3, 2))(nl.ones((1, 3, 2))).shape == (1, 3, 2)
    norm.eval()
    assert norm(nl.ones((1, 3))).shape == (1, 3)


def test_an_embedding_has_no_negative_rows():
    with pytest.raises(
        nl.RangeError, match=r"embedding: index must be in \[0, 10\), got -1 at \[1\]"
    ):
        nn.Embedding(10, 4)(nl.tensor([3, -1]))


def test_sequential_is_a_sequence():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert len(net) == 2
    assert net.append(nn.Linear(3, 1)) is net
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Linear"]
    assert net[-1] is net[2]
    with pytest.raises(IndexError):
        net[3]
    with pytest.raises(TypeError):
        nn.Sequential(nn.ReLU(), 3)
    with pytest.raises(TypeError):
        nn.Sequential(nn.ReLU)


def test_repr():
    assert repr(Net()) == (
        "Net(\n"
        "  (hidden): Linear(3, 4, activation=relu)\n"
        "  (norm): Norm('layernorm', 4)\n"
        "  (out): Sequential(\n"
        "    (0): Linear(4, 2)\n"
        "    (1): Tanh()\n"
        "  )\n"
        ")"
    )
    for module, text in [
        (nn.Conv2d(1, 2, 3, padding=(1, 2)), "Conv2d(1, 2, kernel=3, stride=1, padding=(1, 2))"),
        (nn.MaxPool2d(), "MaxPool2d(kernel=2)"),
        (nn.Dropout(0.25), "Dropout(p=0.25)"),
        (nn.Embedding(3, 2, 0), "Embedding(3, 2, padding_index=0)"),
        (nn.Flatten(), "Flatten(1, -1)"),
        (nn.Activate("gelu"), "Activate(gelu)"),
        (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (nn.Norm("batchnorm", (2, 3, 3)), "Norm('batchnorm', (2, 3, 3))"),
        (nn.Norm("groupnorm", (4, 3), groups=2), "Norm('groupnorm', (4, 3), groups=2)"),
        (nn.Norm("adanorm", 8, C=2, k=0.2), "Norm('adanorm', 8, C=2, k=0.2)"),
        (
            nn.Norm("layernorm", 8, eps=1e-12, denominator="std_eps"),
            "Norm('layernorm', 8, eps=1e-12, denominator='std_eps')",
        ),
        (nn.Norm("layernorm", 8, eps=1e-5, C=1.0), "Norm('layernorm', 8)"),
        (nn.Linear(2, 1, bias=False), "Linear(2, 1, bias=False)"),
    ]:
        assert repr(module) == text


def test_parameter():
    a = np.ones(3, np.float32)
    p = nn.Parameter(a)
    assert p.requires_grad
    assert p.is_leaf
    assert np.shares_memory(p.numpy(), a)
    q = nn.Parameter(p * 2)
    assert q.is_leaf
    with pytest.raises(nl.DtypeError):
        nn.Parameter([1, 2])


# --- the probe --------------------------------------------------------------------------------


def test_probe():
    net = Net()
    with nl.probe(net) as probe:
        for _ in range(2):
            net(nl.randn((5, 3))).sum().backward()
            probe.next_step()
        assert probe.step == 2
    assert [r.step for r in probe.records] == [0, 1]
    r = probe.records[0]
    assert r.variant == "layernorm"
    assert r.has_gradient
    assert r.dx.row_mean < 1e-6
    assert abs(nl.row_moments(nl.ones((2, 3)), 3).mean - 1) < 1e-6
    assert "row_var" in repr(r)
    assert repr(probe) == "probe(step 2, 2 records)"
    net(nl.randn((5, 3)))
    assert len(probe.records) == 2
    probe.clear()
    assert probe.records == []
    with pytest.raises(nl.ArgumentError):
        probe.next_step()
    with pytest.raises(nl.ArgumentError):
        nl.probe(every=0)


def test_modules_are_made_in_any_thread():
    made = []
    thread = threading.Thread(target=lambda: made.append(Net()))
    thread.start()
    thread.join()
    assert made[0](nl.ones((1, 3))).shape == (1, 2)
