"""Names of other frameworks: the error says what to type, and that works."""

import re
from typing import Any

import numpy as np
import pytest

import normlab as nl
from normlab import _hints


def things() -> dict[str, Any]:
    """What the hints speak of."""
    net = nl.nn.Sequential(nl.nn.Linear(3, 3), nl.nn.ReLU())
    return {
        "x": nl.rand((4, 3)),
        "y": nl.rand((4, 3)),
        "index": nl.tensor([0, 2]),
        "targets": nl.tensor([0, 1, 2, 1]),
        "array": np.zeros((2, 3), np.float32),
        "net": net,
        "optimizer": nl.optim.Adam(net.parameters()),
        "np": np,
        "nl": nl,
    }


def owners() -> dict[str, Any]:
    given = things()
    return {
        "nl": nl,
        "nl.nn": nl.nn,
        "nl.optim": nl.optim,
        "nl.data": nl.data,
        "nl.cuda": nl.cuda,
        "Tensor": given["x"],
        "Module": given["net"],
        "Optimizer": given["optimizer"],
        "Generator": nl.Generator(0),
    }


ALL = [(table, name) for table, hints in _hints.TABLES.items() for name in hints]
TEXTS = sorted({text for hints in _hints.TABLES.values() for text in hints.values()})
SAID_AS = {"Module": "Sequential", "Optimizer": "Adam"}


def test_every_table_has_an_owner() -> None:
    assert owners().keys() == _hints.TABLES.keys()
    assert len(ALL) > 250


@pytest.mark.parametrize(("table", "name"), ALL)
def test_a_missing_name_says_what_to_type(table: str, name: str) -> None:
    owner = owners()[table]
    assert not hasattr(owner, name), "the hint is out of date"
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    said = SAID_AS.get(table, table)
    assert str(caught.value) == f"{said} has no {name}; {_hints.TABLES[table][name]}"


@pytest.mark.parametrize("text", TEXTS)
def test_what_a_hint_says_works(text: str) -> None:
    assert text.count("`") % 2 == 0 and not text.endswith(".")
    for code in re.findall("`(.*?)`", text):
        try:
            exec(code, things())  # a statement or an expression
        except nl.DeviceError as error:  # the build has no GPU
            assert "cuda" in code and "not available" in str(error)


# What PyTorch would give, in NumPy, for hints whose code is a formula.
X = np.random.default_rng(0).random((4, 3), np.float32) - 0.5
Y = np.random.default_rng(1).random((4, 3), np.float32)
VALUES = {
    ("Tensor", "std"): X.std(-1),
    ("Tensor", "min"): X.min(),
    ("nl", "topk"): np.partition(X, -2)[..., :-3:-1],
    ("nl", "ceil"): np.ceil(X),
    ("nl", "flip"): X[::-1],
    ("nl", "elu"): np.where(X > 0, X, np.exp(X) - 1),
    ("nl", "huber_loss"): np.where(abs(X - Y) < 1, 0.5 * (X - Y) ** 2, abs(X - Y) - 0.5).mean(),
    ("nl", "kl_div"): (Y * (np.log(Y) - X)).mean(),
    ("nl", "cosine_similarity"): (X * Y).sum(-1)
    / np.linalg.norm(X, axis=-1)
    / np.linalg.norm(Y, axis=-1),
    ("nl.nn", "PReLU"): np.where(X > 0, X, 0.25 * X),
    ("Tensor", "data"): X - 0.1 * Y,
    ("nl", "argmin"): X.argmin(-1),
    ("nl", "clip"): X.clip(0, 1),
    ("nl", "norm"): np.linalg.norm(X),
    ("nl", "stack"): np.stack([X, Y]),
    ("nl", "cat"): np.concatenate([X, Y]),
    ("nl", "mm"): X @ Y.T,
    ("nl", "dot"): (X * Y).sum(),
    ("nl", "outer"): np.outer(X[0], Y[0]),
    ("nl", "mse_loss"): ((X - Y) ** 2).mean(),
    ("nl", "l1_loss"): np.abs(X - Y).mean(),
    ("nl", "swish"): X / (1 + np.exp(-X)),
    ("nl", "binary_cross_entropy_with_logits"): -(
        Y * np.log(1 / (1 + np.exp(-X))) + (1 - Y) * np.log(1 - 1 / (1 + np.exp(-X)))
    ).mean(),
    ("nl", "one_hot"): np.eye(3)[[0, 2]],
    ("Tensor", "permute"): X.transpose(1, 0),
    ("Tensor", "unsqueeze"): X[None],
    ("Tensor", "repeat"): np.concatenate([X, X]),
    ("Tensor", "isnan"): np.isnan(X),
}


@pytest.mark.parametrize(("table", "name"), VALUES)
def test_formulas_in_hints_are_right(table: str, name: str) -> None:
    given = things() | {"x": nl.tensor(X, copy=True), "y": nl.tensor(Y)}
    code = re.findall("`(.*?)`", _hints.TABLES[table][name])[0]
    found = np.asarray(eval(code, given))
    np.testing.assert_allclose(found, VALUES[table, name], rtol=1e-5, atol=1e-6)


def test_unknown_names_keep_pythons_own_error() -> None:
    given = owners()
    for table in ("Tensor", "Module", "Optimizer"):
        with pytest.raises(AttributeError, match="object has no attribute 'nonsense'"):
            given[table].nonsense  # noqa: B018
    for table in ("nl", "nl.nn", "nl.optim", "nl.data", "nl.cuda"):
        with pytest.raises(AttributeError, match=r"module 'normlab.*' has no attribute 'nonsense'"):
            given[table].nonsense  # noqa: B018
    assert getattr(given["Tensor"], "view", 3) == 3


class _Fails(nl.nn.Module):
    """A property that fails, and names of its own that other frameworks have too."""

    def __init__(self) -> None:
        super().__init__()
        self.compile = 7

    @property
    def broken(self) -> int:
        return self.what_is_not_there

    def apply(self) -> str:
        return "own"


def test_a_subclass_has_its_own_names_and_its_own_errors() -> None:
    net = _Fails()
    assert net.compile == 7 and net.apply() == "own"
    with pytest.raises(AttributeError, match="what_is_not_there"):
        net.broken  # noqa: B018
    with pytest.raises(AttributeError, match=r"^_Fails has no state_dict; use `net\.state"):
        net.state_dict()


def test_hints_are_no_names() -> None:
    for table, owner in owners().items():
        assert not set(dir(owner)) & set(_hints.TABLES[table]), table


def test_present_names_do_not_pass_through_the_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("asked for a hint")

    monkeypatch.setattr(_hints, "missing", fail)
    for owner in owners().values():
        for name in dir(owner):
            getattr(owner, name)
    with pytest.raises(AssertionError, match="asked"):
        nl.zeros(1).view  # noqa: B018


# What a user of PyTorch types first: it works, or the error has the words that he needs.
WORKS = [
    *(
        "x.T",
        "x @ y.T",
        "x.mean(1)",
        "x.mean(axis=1, keepdim=True)",
        "x.var(axis=0)",
        "x.max(axis=1)",
    ),
    *("x.argmax(-1)", "x.shape", "x.sum().item()", "x.numpy()", "x.detach().numpy()", "x.clone()"),
    *("x.to('cpu')", "x.to('float64')", "x.astype('int64')", "x.dtype == 'float32'", "x.device"),
    *("x[0]", "x[..., 0]", "x[:, None]", "x[x > 0]", "x[[0, 2]]", "x[0, 1]", "x.reshape(3, 4)"),
    *("x.reshape(-1)", "x.transpose(1, 0)", "x.flatten(0)", "x.softmax(-1)", "x.tolist()"),
    *(
        "x.fill_(0)",
        "x.copy_(y)",
        "x.grad",
        "x == y",
        "bool(x.sum() >= 0)",
        "1 / x",
        "-x",
        "len(x)",
    ),
    *("nl.tensor([1.0, 2.0], requires_grad=True)", "nl.zeros((2, 3))", "nl.arange(10)", "abs(x)"),
    *("nl.where(x > 0.5, x, 0)", "nl.manual_seed(0)", "nl.relu(x)", "nl.cross_entropy(x, targets)"),
    *("nl.no_grad()", "nl.nn.Linear(4, 3, bias=False)", "nl.nn.Conv2d(1, 3, 3, padding=1)"),
    *("nl.nn.Dropout(p=0.1)", "nl.nn.Embedding(10, 4)", "nl.nn.Parameter(nl.zeros(3))", "net[0]"),
    *("nl.nn.Sequential(nl.nn.ReLU())", "net(x)", "net.train()", "net.eval()", "len(net)"),
    *("list(net.parameters())", "dict(net.named_parameters())", "net.zero_grad()"),
    *("optimizer.zero_grad()", "optimizer.step()", "nl.optim.SGD(net.parameters(), lr=0.1)"),
    *("nl.zeros(3, 4)", "nl.ones(2)", "nl.empty(2, 1, 3)", "nl.rand(3, 4)", "nl.randn(3, 4)"),
    *("nl.transpose(x, 1, 0)", "x.fill_(0).sum()", "x.copy_(y) + 1"),
    *(
        "x.add_(y, alpha=2)",
        "x.zero_()",
        "nl.arange(0, 10, 2)",
        "(x > 0) & (y < 1)",
        "x.clone() + x",
    ),
    *("nl.optim.Adam(p for p in net.parameters())", "nl.randn(2, 3, requires_grad=True)"),
    *("nl.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.98))", "nl.set_num_threads(1)"),
]
TELLS = {
    "x.mean(dim=1)": "axis",
    "x.sum(dim=-1)": "axis",
    "x.softmax(dim=-1)": "axis",
    "x.mean(axis=1, keepdims=True)": "keepdim",
    "nl.concat([x, y], dim=0)": "axis",
    "nl.Tensor([1.0])": "array",
    "nl.nn.Embedding(10, 4, padding_idx=0)": "padding_index",
    "nl.nn.Conv2d(1, 3, kernel_size=3)": "kernel",
    "nl.save(net.state(), 'm.safetensors')": "path",
    "nl.randint(10, (3,))": "low",
    "x.__setitem__(0, 1.0)": "copy_",
    "x.item()": "one element",
    "x.to('cuda:0')": "'cuda', the first GPU",
    "nl.zeros(3, device='gpu')": "'cuda'",
    "x.backward()": "requires a gradient",
}


@pytest.mark.parametrize("code", WORKS)
def test_what_is_typed_first_works(code: str) -> None:
    eval(code, things())


@pytest.mark.parametrize(("code", "word"), TELLS.items())
def test_or_the_error_has_the_right_word(code: str, word: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        eval(code, things())
    assert word in str(caught.value)
