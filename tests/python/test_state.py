"""What modules and optimizers keep: names, copies, groups, float64, finite weights, lists."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import normlab as nl
from normlab import nn


def net_of_two():
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))


def train(net, optimizer, steps=1):
    for step in range(steps):
        optimizer.zero_grad()
        (net(nl.ones(2, 3, dtype=net.parameters()[0].dtype) * (step + 1)) ** 2).sum().backward()
        optimizer.step()


def values(state):
    return {name: x.numpy().copy() for name, x in state.items()}


def same(a, b):
    assert a.keys() == b.keys()
    for name, x in a.items():
        assert np.array_equal(x, b[name]), name


# --- steps by parameter --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nl.optim.Adam, nl.optim.AdamW])
def test_a_late_parameter_moves_by_the_learning_rate(kind):
    early, late = nn.Parameter(nl.ones(1)), nn.Parameter(nl.ones(1))
    optimizer = kind([early, late], lr=0.001, weight_decay=0)
    for step in range(1001):
        early.grad = nl.ones(1)
        if step == 1000:
            late.grad = nl.ones(1)
        optimizer.step()
    assert late.item() == pytest.approx(1 - 0.001, abs=1e-7)
    state = optimizer.state()
    assert (state["0.step"].item(), state["1.step"].item()) == (1001, 1)


def test_unfreezing_layers():
    net = net_of_two()
    optimizer = nl.optim.Adam(net.parameters(), lr=0.01)
    net[0].weight.requires_grad = net[0].bias.requires_grad = False
    train(net, optimizer, 50)
    assert optimizer.state()["0.weight.step"].item() == 0
    net[0].weight.requires_grad = net[0].bias.requires_grad = True
    before = net[0].weight.numpy().copy()
    train(net, optimizer)
    moved = np.abs(net[0].weight.numpy() - before)
    assert moved.max() == pytest.approx(0.01, rel=1e-3)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nl.optim.Adam, lambda p: nl.optim.SGD(p, 0.1, momentum=0.9)])
def test_another_order_takes_the_state_by_names(make):
    net = net_of_two()
    optimizer, other = make(net.parameters()), make(reversed(net.parameters()))
    train(net, optimizer)
    other.load_state(optimizer.state())
    same(values(optimizer.state()), values(other.state()))
    named = make(net.named_parameters())
    named.load_state(optimizer.state())
    same(values(optimizer.state()), values(named.state()))
    with pytest.raises(nl.ArgumentError, match=r"names must be.*unexpected .*0\.weight"):
        make(net[2].parameters()).load_state(optimizer.state())


def test_groups_of_parts_have_the_names_of_the_whole():
    def groups(net):
        return [{"params": net[0].parameters()}, {"params": net[2].parameters(), "lr": 0.1}]

    net = net_of_two()
    optimizer, other = (nl.optim.Adam(groups(net)), nl.optim.Adam(reversed(groups(net))))
    train(net, optimizer)
    other.load_state(optimizer.state())
    same(values(optimizer.state()), values(other.state()))
    assert {name.rpartition(".")[0] for name in other.state()} == set(net.state())

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = net_of_two(), nn.Linear(3, 1)

    outer = Outer()
    assert "body.2.bias.step" in nl.optim.Adam(outer.body[2].parameters()).state()
    assert "head.bias.step" in nl.optim.Adam([outer.head.bias]).state()


def test_names_of_ones_own():
    a, b = nn.Parameter(nl.ones(2)), nn.Parameter(nl.zeros(2))
    optimizer = nl.optim.Adam([("first", a), ("second", b)])
    a.grad = nl.ones(2)
    optimizer.step()
    other = nl.optim.Adam([("second", b), ("first", a)])
    other.load_state(optimizer.state())
    assert other.state()["first.step"].item() == 1
    assert other.state()["second.step"].item() == 0
    with pytest.raises(nl.ArgumentError, match="two parameters have the name 'a'"):
        nl.optim.Adam([("a", a), ("a", b)])
    with pytest.raises(TypeError, match=r"params\[1\] must be a Tensor"):
        nl.optim.Adam([("a", a), ("b", 3)])


def test_states_of_earlier_versions():
    net = net_of_two()
    optimizer = nl.optim.Adam(net.parameters())
    old = {"step": nl.tensor(5)}
    for i, x in enumerate(net.parameters()):
        old[f"{i}.exp_avg"] = nl.full(x.shape, i)
        old[f"{i}.exp_avg_sq"] = nl.full(x.shape, 10 + i)
    optimizer.load_state(old)
    state = optimizer.state()
    assert state["2.bias.step"].item() == 5
    assert state["2.weight.exp_avg"].numpy().max() == 2
    for bad in (-1, 2**63 - 1):
        with pytest.raises(nl.ArgumentError, match=r"from 0 to 2\*\*53"):
            optimizer.load_state(old | {"step": nl.tensor(bad)})
    old["4.exp_avg"] = old.pop("3.exp_avg")
    with pytest.raises(nl.ArgumentError, match=r"2\.bias\.exp_avg"):
        optimizer.load_state(old)


def test_a_state_is_a_view_and_its_copy_is_none():
    net = net_of_two()
    optimizer = nl.optim.Adam(net.parameters(), lr=0.1)
    view, best, moments = net.state(), net.state(copy=True), optimizer.state(copy=True)
    before = values(best)
    train(net, optimizer, 3)
    same(before, values(best))
    assert not np.array_equal(view["0.weight"].numpy(), best["0.weight"].numpy())
    assert not any(x.requires_grad for x in best.values())
    assert all(not x.numpy().any() for x in moments.values())
    net.load_state(best)
    same(before, values(net.state()))


# --- groups --------------------------------------------------------------------------------------


def test_groups_are_separate_optimizers():
    nets = [net_of_two() for _ in range(2)]
    nets[1].load_state(nets[0].state())
    one = nl.optim.AdamW(
        [
            {"params": nets[0][0].parameters(), "lr": 0.1, "betas": (0.5, 0.9)},
            {"params": [nets[0][2].weight], "weight_decay": 0.3},
            {"params": nets[0][2].bias, "eps": 1e-3},
        ],
        lr=0.01,
    )
    several = [
        nl.optim.AdamW(nets[1][0].parameters(), lr=0.1, betas=(0.5, 0.9)),
        nl.optim.AdamW([nets[1][2].weight], lr=0.01, weight_decay=0.3),
        nl.optim.AdamW([nets[1][2].bias], lr=0.01, eps=1e-3),
    ]
    for step in range(5):
        for net in nets:
            net.zero_grad()
            (net(nl.ones(2, 3) * (step + 1)) ** 2).sum().backward()
        one.step()
        for optimizer in several:
            optimizer.step()
    same(values(nets[0].state()), values(nets[1].state()))
    assert [group.lr for group in one.groups] == [0.1, 0.01, 0.01]
    assert one.groups[1].options == {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.3}
    assert one.groups[0].parameters()[0] is nets[0][0].weight
    assert repr(one.groups[0]) == "ParameterGroup(lr=0.1, 2 parameters)"


def test_schedules_keep_the_groups_ratio():
    a, b = nn.Parameter(nl.ones(1)), nn.Parameter(nl.ones(1))
    optimizer = nl.optim.SGD([{"params": a}, {"params": [b], "lr": 0.01}], lr=0.1)
    schedule = nl.optim.cosine(0.1, 10)
    for step in range(1, 11):
        optimizer.lr = schedule(step)
        assert optimizer.groups[1].lr == pytest.approx(schedule(step) / 10)
    optimizer.lr = 0.1
    assert [group.lr for group in optimizer.groups] == [0.1, 0.01]
    optimizer.groups[1].lr = 0.2
    optimizer.lr = 0.05
    assert optimizer.groups[1].lr == 0.1
    alone = nl.optim.SGD([{"params": [a], "lr": 0.3}], lr=0.1)
    assert alone.lr == alone.groups[0].lr == 0.3
    with pytest.raises(nl.ArgumentError, match="lr"):
        optimizer.groups[0].lr = -1


def test_adding_a_group():
    a, b = nn.Parameter(nl.ones(1)), nn.Parameter(nl.ones(1))
    optimizer = nl.optim.SGD([a], lr=0.5)
    optimizer.add_group({"params": [b], "lr": 0.25, "momentum": 0.5})
    for p in (a, b):
        p.grad = nl.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    assert list(optimizer.state()) == ["1.momentum"]
    assert nl.optim.clip_grad_norm(optimizer.parameters(), 1.0).item() == pytest.approx(2**0.5)
    for group, message in (
        ({"params": [a]}, "given twice"),
        ({"lr": 1}, "must have 'params'"),
        ({"params": [nn.Parameter(nl.ones(1))], "betas": (0, 0)}, "unknown option 'betas'; known"),
        ({"params": 3}, "'params' must be tensors"),
        ({"params": [nn.Parameter(nl.ones(1))], "lr": "fast"}, "lr cannot be 'fast'"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            optimizer.add_group(group)
    assert len(optimizer.groups) == 2


# --- float64 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_training_in_float64(kind):
    net = net_of_two()
    assert net.to("float64") is net
    assert {x.dtype for x in net.state().values()} == {np.dtype("float64")}
    weights = net[0].weight.numpy().copy()
    make = {"adam": nl.optim.Adam, "sgd": nl.optim.SGD}[kind]
    optimizer = make([net[0].weight], lr=0.1)
    net[0].weight.grad = nl.full((3, 3), 2.0, dtype="float64")
    optimizer.step()
    moved = 0.1 * 2 / (2 + 1e-8) if kind == "adam" else 0.2
    np.testing.assert_allclose(net[0].weight.numpy(), weights - moved, rtol=1e-14)


def test_converting_while_training():
    net = nn.Sequential(nn.Linear(3, 4), nn.Norm("batchnorm", 4), nn.Linear(4, 3))
    optimizer = nl.optim.Adam(net.parameters(), lr=0.01)
    train(net, optimizer, 2)
    weight = net[0].weight
    net.to(np.float64)
    assert weight is net[0].weight
    assert weight.dtype == "float64"
    assert weight.grad.dtype == "float64"
    train(net, optimizer, 2)
    assert optimizer.state()["0.weight.exp_avg"].dtype == "float64"
    net.to(dtype="float32", device="cpu")
    train(net, optimizer)
    with pytest.raises(nl.DtypeError, match="float32, float64 or bfloat16"):
        net.to("int32")
    with pytest.raises(nl.DtypeError, match="must be a device or a dtype, got None"):
        net.to(None)
    with pytest.raises(nl.DtypeError, match="dtype"):
        net.to("half")


@pytest.mark.parametrize("variant", list(nl.norm_variants()))
def test_norms_convert(variant):
    size = (4, 2) if nl.norm_traits(variant)["group"] in ("channels", "channel") else 4
    options = {"groups": 2} if variant == "groupnorm" else {}
    norm = nn.Norm(variant, size, **options)
    shape = (6, 4, 2) if isinstance(size, tuple) else (6, 4)
    x = nl.randn(shape)
    small = norm(x)
    fine = nn.Norm(variant, size, **options).to("float64")(x.to("float64"))
    np.testing.assert_allclose(fine.numpy(), small.numpy(), rtol=1e-4, atol=1e-5)


def test_models_convert():
    classifier = nl.text.Classifier(5, size=8, heads=2, hidden=8, layers=1).to("float64").eval()
    assert classifier(nl.tensor([1, 2, 3])).dtype == "float64"
    network = nl.parse.Network(10, 3, 4, hidden=8, embedding=4).to("float64").eval()
    assert network(nl.zeros(2, 4, dtype="int32")).dtype == "float64"


# --- finite weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite(tmp_path, bad):
    net = net_of_two()
    state = net.state(copy=True)
    state["2.weight"].numpy()[1, 2] = bad
    said = rf'"2\.weight" must be finite, has -?{bad:g}'.replace("--?", "-") + r" at \[1, 2\]"
    before = values(net.state())
    with pytest.raises(nl.ArgumentError, match=said):
        net.load_state(state)
    same(before, values(net.state()))
    nl.save(tmp_path / "plain", state)
    assert not math.isfinite(nl.load(tmp_path / "plain")["2.weight"].numpy()[1, 2])
    net.load_state(state, allow_nonfinite=True)
    with pytest.raises(nl.ArgumentError, match=f"save: {said}"):
        nl.save(tmp_path / "net", net.state())
    assert not (tmp_path / "net").exists()
    nl.save(tmp_path / "net", net.state(), allow_nonfinite=True)


# --- lists ---------------------------------------------------------------------------------------


class Holder(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.parts = value


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ([nn.Linear(1, 1)], r"ModuleList\("),
        ((nn.Linear(1, 1), 3), r"ModuleList\("),
        ({"a": nn.Linear(1, 1)}, r"ModuleDict\("),
        ([[], [1, {"x": (nn.ReLU(),)}]], r"ModuleList\("),
        ([nn.Parameter(nl.ones(1))], r"ParameterList\("),
        ({"a": nn.Parameter(nl.ones(1))}, r"ParameterDict\("),
    ],
)
def test_plain_containers_warn_once(value, right):
    with pytest.warns(UserWarning, match=rf"Holder: .*write self\.parts = nl\.nn\.{right}") as told:
        holder = Holder(value)
        assert holder.parameters() == []
        holder.state()
        holder.parts = value
        nn.Sequential(holder).parameters()
    assert len(told) == 1
    assert told[0].filename == __file__


def test_a_list_that_grows_warns_when_parameters_are_asked_for():
    holder = Holder([])
    outer = nn.Sequential(holder)
    holder.parts.append(nn.Linear(1, 1))
    with pytest.warns(UserWarning, match=r"self\.parts = nl\.nn\.ModuleList"):
        outer.parameters()


def test_what_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        holder = Holder([1, "a", nl.ones(2), np.ones(3), None, [], {}])
        holder.layer = nn.Linear(1, 1)
        holder.scale = nn.Parameter(nl.ones(1))
        holder.again = [holder.layer, holder.scale, holder]
        holder.listed = nn.ModuleList([nn.Linear(1, 1)])
        holder.layer.parents = [holder, {"same": holder}]
        holder.numbers = list(range(100_000))
        itself = []
        itself.append(itself)
        holder.itself = itself
        assert len(holder.parameters()) == 5
        holder.state()


def test_module_list():
    one, two, three = (nn.Linear(2, 2) for _ in range(3))
    modules = nn.ModuleList([one])
    assert modules.append(two) is modules
    modules.insert(0, three)
    assert list(modules) == [three, one, two]
    assert [name for name, _ in modules.named_parameters()][:2] == ["0.weight", "0.bias"]
    assert modules[-1] is two
    assert isinstance(modules[1:], nn.ModuleList)
    assert list(modules[1:]) == [one, two]
    del modules[1]
    assert (len(modules), one in modules, two in modules) == (2, False, True)
    modules[0] = one
    assert modules.pop() is two
    assert list(modules) == [one]
    for bad in (3, -2):
        with pytest.raises(IndexError, match="position must be in"):
            modules[bad]
    modules[:1] = [three, two]
    assert [name for name, _ in modules.named_modules()] == ["0", "1"]
    assert list(modules) == [three, two]
    with pytest.raises(TypeError, match="position must be an integer, got 'a'"):
        modules["a"]
    with pytest.raises(TypeError, match="takes modules, got int"):
        modules.append(3)
    with pytest.raises(TypeError, match="takes modules"):
        nn.ModuleList([one, "two"])
    with pytest.raises(ValueError, match="no forward"):
        modules(nl.ones(1, 2))
    assert len(modules.parameters()) == 4
    assert repr(modules).startswith("ModuleList(\n  (0): Linear(")


def test_a_network_with_a_module_list_learns():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = nl.relu(layer(x))
            return x

    net = Net()
    assert [name for name, _ in net.named_parameters()][::2] == [
        f"layers.{i}.weight" for i in range(3)
    ]
    before = values(net.state())
    train(net, nl.optim.SGD(net.parameters(), 0.1))
    assert not np.array_equal(before["layers.2.weight"], net.layers[2].weight.numpy())


def test_module_dict():
    one, two = nn.Linear(2, 2), nn.ReLU()
    modules = nn.ModuleDict({"b": one})
    modules["a"] = two
    assert list(modules) == list(modules.keys()) == ["b", "a"]
    assert list(modules.items()) == [("b", one), ("a", two)]
    assert list(modules.values()) == [one, two]
    assert modules.pop("b") is one
    assert "b" not in modules
    modules.update([("c", one)])
    assert len(modules) == 2
    for bad in ("keys", "forward", "", "a.b"):
        with pytest.raises(nl.ArgumentError):
            modules[bad] = one
    with pytest.raises(KeyError):
        modules["nothing"]
    with pytest.raises(KeyError):
        del modules["nothing"]
    modules.clear()
    assert len(modules) == 0


def test_parameter_list_and_dict():
    weights = nn.ParameterList([nl.ones(2), nl.zeros(3)])
    weights.append(nn.Parameter(nl.ones(1)))
    assert [p.shape for p in weights] == [(2,), (3,), (1,)]
    assert all(p.requires_grad for p in weights.parameters())
    named = nn.ParameterDict({"a": nl.ones(2)})
    assert named["a"].requires_grad
    assert list(named.state()) == ["a"]
    with pytest.raises(TypeError, match="takes tensors"):
        named["b"] = nn.ReLU()
    with pytest.raises(ValueError, match="leaves"):
        weights.append(weights[0] * 2)


# --- copies --------------------------------------------------------------------------------------

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
COPIES = [copy.deepcopy, *(lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in PROTOCOLS)]
NAMES = ["deepcopy", *(f"protocol {p}" for p in PROTOCOLS)]
copying = pytest.mark.parametrize("copied", COPIES, ids=NAMES)

MODULES = {
    "Linear": lambda: nn.Linear(3, 4, activation="gelu"),
    "Linear without bias": lambda: nn.Linear(3, 4, bias=False),
    "Conv2d": lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), activation="relu"),
    "MaxPool2d": lambda: nn.MaxPool2d((2, 3), stride=(1, 2)),
    "AvgPool2d": lambda: nn.AvgPool2d(3),
    "Embedding": lambda: nn.Embedding(5, 2, padding_index=1),
    "Dropout": lambda: nn.Dropout(0.25),
    "Activate": lambda: nn.Activate("tanh"),
    "GELU": lambda: nn.GELU(),
    "SiLU": lambda: nn.SiLU(),
    "Softplus": lambda: nn.Softplus(),
    "LeakyReLU": lambda: nn.LeakyReLU(0.3),
    "Flatten": lambda: nn.Flatten(0, 1),
    "Sequential": net_of_two,
    "SelfAttention": lambda: nn.SelfAttention(4, 2, causal=True),
    "CrossAttention": lambda: nn.CrossAttention(4, 2),
    "TransformerLayer": lambda: nn.TransformerLayer(4, 2, 8, norm="adanorm", C=0.5, dropout=0.2),
    "TransformerEncoder": lambda: nn.TransformerEncoder(
        4, 2, 8, 2, pre_norm=False, activation="gelu", norm="detachnorm", eps=1e-3
    ),
    "causal TransformerEncoder": lambda: nn.TransformerEncoder(4, 2, 8, 2, causal=True),
    "TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(4, 2, 8, norm="rmsnorm"),
    "TransformerDecoder": lambda: nn.TransformerDecoder(4, 2, 8, 2, pre_norm=False, dropout=0.2),
    "Classifier": lambda: nl.text.Classifier(7, 3, 8, 2, 8, 1, position_scale=0.5, norm="rmsnorm"),
    "Network": lambda: nl.parse.Network(9, 3, 4, embedding=4, hidden=8, input_norm=True),
    "ModuleList": lambda: nn.ModuleList([nn.Linear(1, 1), nn.ReLU()]),
    "ModuleDict": lambda: nn.ModuleDict({"b": nn.Linear(1, 1), "a": nn.ReLU()}),
    "ParameterList": lambda: nn.ParameterList([nl.ones(2)]),
    "ParameterDict": lambda: nn.ParameterDict({"x": nl.ones(2)}),
    **{
        f"Norm {v}": lambda v=v: nn.Norm(
            v, (4, 3) if nl.norm_traits(v)["group"] in ("channels", "channel") else 4, eps=1e-4
        )
        for v in nl.norm_variants()
    },
}


@copying
@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_copied(name, copied):
    module = MODULES[name]().eval()
    before = nl.get_rng_state()
    made = copied(module)
    assert nl.get_rng_state() == before
    assert type(made) is type(module)
    assert repr(made) == repr(module)
    assert not made.training
    same(values(module.state()), values(made.state()))
    assert [n for n, _ in module.named_parameters()] == [n for n, _ in made.named_parameters()]
    for x in made.parameters():
        with nl.no_grad():
            x.fill_(7)
    assert not any((x.numpy() == 7).all() for x in module.parameters())


@pytest.mark.parametrize("name", MODULES)
def test_a_copy_is_made_with_every_argument(name):
    """A new argument of a constructor must be one that _arguments() tells."""
    import inspect

    from normlab._signatures import signatures

    module = MODULES[name]()
    base = next(c for c in type(module).__mro__ if "_arguments" in vars(c))
    takes = {
        p.name
        for p in signatures(base.__init__)[0].parameters.values()
        if p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    } - {"self"}
    tells = set(base._arguments(module))
    assert tells <= takes
    optional = {"stride"} if "Pool" in name else {"groups"} if "Norm" in name else set()
    assert takes - tells <= optional


@copying
def test_a_copy_computes_the_same(copied):
    torso = nn.TransformerEncoder(4, 2, 8, 1).eval()
    x = nl.randn(5, 4)
    assert np.array_equal(torso(x).numpy(), copied(torso)(x).numpy())
    net = nn.Sequential(nn.Linear(4, 4), nn.Norm("batchnorm", 4), nn.Linear(4, 2))
    net(x)
    made = copied(net.eval())
    assert np.array_equal(net(x).numpy(), made(x).numpy())
    train_both = [nl.optim.Adam(n.parameters(), 0.1) for n in (net, made)]
    for n, optimizer in zip((net, made), train_both, strict=True):
        n.train()(x).sum().backward()
        optimizer.step()
    same(values(net.state()), values(made.state()))


class Custom(nn.Module):
    """Has arguments, attributes of all kinds, a tie and a cycle."""

    __slots__ = ("slotted",)

    def __init__(self, size, *, name):
        super().__init__()
        self.inner = nn.Linear(size, size)
        self.tied = nn.Linear(size, size)
        self.tied.weight = self.inner.weight
        self.scale = nn.Parameter(nl.ones(size))
        self.again = self.scale
        self.register_buffer("count", nl.zeros(1))
        self.names = [name, {"deep": name}]
        self.slotted = name
        self.generator = nl.Generator(4)
        vars(self.inner)["owner"] = self

    def forward(self, x):
        return self.tied(self.inner(x)) * self.scale * self.again


@copying
def test_a_class_of_ones_own_is_copied(copied):
    module = Custom(3, name="n")
    module.generator.set_state(4, 9)
    module.scale.requires_grad = False
    made = copied(module)
    assert type(made) is Custom
    assert made.names == ["n", {"deep": "n"}]
    assert made.names is not module.names
    assert made.slotted == "n"
    assert (made.generator.seed, made.generator.offset) == (4, 9)
    assert made.inner.owner is made
    assert made.inner.weight is made.tied.weight
    assert made.again is made.scale
    assert not made.scale.requires_grad
    assert len(made.parameters()) == len(module.parameters()) == 4
    x = nl.randn(2, 3)
    assert np.array_equal(module(x).numpy(), made(x).numpy())
    made.scale.fill_(0)
    assert not made(x).numpy().any()
    assert module(x).numpy().any()


class Wide(nn.Linear):
    def __init__(self):
        super().__init__(2, 5, bias=False)
        self.extra = nn.ReLU()

    def forward(self, x):
        return self.extra(super().forward(x))


@copying
def test_a_subclass_of_a_layer_is_copied(copied):
    net = nn.Sequential(Wide(), Wide())
    made = copied(net[0])
    assert type(made) is Wide
    x = nl.randn(2, 2)
    assert np.array_equal(net[0](x).numpy(), made(x).numpy())
    assert [type(m) for m in copied(net)] == [Wide, Wide]


class Lean(nn.Module):
    """Leaves out what pickle cannot take."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.function = lambda x: x

    def __getstate__(self):
        state = super().__getstate__()
        del state["function"]
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self.function = abs


def test_getstate_of_ones_own():
    made = pickle.loads(pickle.dumps(Lean()))
    assert made.function is abs
    assert len(made.parameters()) == 2

    class Wrong(Lean):
        def __getstate__(self):
            return dict(vars(self))

    with pytest.raises(nl.DtypeError, match="takes what __getstate__"):
        nn.Linear(1, 1).__setstate__({})
    with pytest.raises(nl.DtypeError, match="weight is no tensor"):
        nn.Linear(1, 1)._set_parts([("weight", 3)], [], [], True)
    with pytest.raises(nl.DtypeError, match=r"must add to what super\(\).__getstate__"):
        pickle.dumps(Wrong())


@copying
@pytest.mark.parametrize(
    "make",
    [
        lambda p: nl.optim.Adam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-5, weight_decay=0.1),
        lambda p: nl.optim.AdamW(p, lr=0.01),
        lambda p: nl.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda p: nl.optim.SGD(
            [{"params": p[:2], "lr": 0.3}, {"params": p[2:], "momentum": 0.5}], lr=0.01
        ),
    ],
    ids=["Adam", "AdamW", "SGD", "groups"],
)
def test_a_net_and_its_optimizer_are_copied_together(make, copied):
    net = net_of_two()
    optimizer = make(net.parameters())
    train(net, optimizer, 2)
    optimizer.lr = 0.007
    other, other_optimizer = copied((net, optimizer))
    assert type(other_optimizer) is type(optimizer)
    assert other_optimizer.parameters()[0] is other[0].weight
    for n, o in ((net, optimizer), (other, other_optimizer)):
        train(n, o, 2)
        o.lr = 0.003
        train(n, o, 1)
    same(values(net.state()), values(other.state()))
    same(values(optimizer.state()), values(other_optimizer.state()))
    lone = copied(optimizer)
    before = values(net.state())
    lone.parameters()[0].grad = nl.ones(3, 3)
    lone.step()
    same(before, values(net.state()))


def test_ties_hold_between_what_is_pickled_together():
    net = net_of_two()
    net[2].weight = net[0].weight
    weight, made, again = pickle.loads(pickle.dumps((net[0].weight, net, net)))
    assert made is again
    assert weight is made[0].weight is made[2].weight
    pair = copy.deepcopy([net, net[0]])
    assert pair[0][0] is pair[1]


def test_a_shallow_copy_shares():
    module = Custom(2, name="n")
    made = copy.copy(module)
    assert made is not module
    assert made.inner is module.inner
    assert made.scale is module.scale
    made.other = nn.Linear(1, 1)
    assert len(module.parameters()) == 4
    optimizer = nl.optim.SGD(module.parameters(), 0.1)
    assert copy.copy(optimizer).parameters()[0] is optimizer.parameters()[0]


class Counting(nl.optim.SGD):
    def __init__(self, parameters):
        super().__init__(parameters, 0.1)
        self.calls = 0


class Named(nl.Generator):
    def __init__(self, name):
        super().__init__(5)
        self.name = name


@copying
def test_subclasses_of_optimizers_and_generators(copied):
    optimizer = Counting([nn.Parameter(nl.ones(1))])
    optimizer.calls = 3
    assert copied(optimizer).calls == 3
    generator = Named("g")
    nl.rand(5, generator=generator)
    made = copied(generator)
    assert (type(made), made.name, made.offset) == (Named, "g", generator.offset)
    assert np.array_equal(
        nl.rand(3, generator=made).numpy(), nl.rand(3, generator=generator).numpy()
    )


def test_the_wrapper_of_a_parameter_stays_the_same():
    net = net_of_two()
    weight = net[0].weight
    assert weight is net[0].weight is net.parameters()[0] is net.state()["0.weight"]
    assert nl.optim.SGD(net.parameters(), 0.1).parameters()[0] is weight
    for _ in range(3000):  # the dead are forgotten
        for x in nn.Linear(1, 1).parameters():
            assert x.shape in ((1, 1), (1,))


@pytest.mark.parametrize("part", ["parser", "tagger"])
def test_parsers_with_weights_that_are_not_finite(tmp_path, part):
    from test_parse_cli import toy_model

    path = tmp_path / "model.safetensors"
    model = toy_model()
    nl.parse.save_model(path, model)
    tensors, metadata = nl.load_with_metadata(path)
    tensors[f"{part}.output.bias"].numpy()[1] = math.nan
    nl.save(path, tensors, metadata)
    with pytest.raises(nl.FileError, match=r'model\.safetensors.*"output\.bias" must be finite'):
        nl.parse.load_model(path)
    network = model.network if part == "parser" else model.tagger
    state = network.state(copy=True)
    state["table"].fill_(math.inf)
    network.load_state(state, allow_nonfinite=True)
    with pytest.raises(nl.ArgumentError, match=rf'save_model: "{part}\.table" must be finite'):
        nl.parse.save_model(path, model)
