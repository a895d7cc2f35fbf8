"""Arguments that fit no signature: the error is a sentence that says what to type."""

import copy
import inspect
import pickle
import pydoc
import re
from typing import Any

import numpy as np
import pytest
from test_hints import things

import normlab as nl
from normlab import _hints, _misuse, _signatures

SAID = {
    "x.mean(dim=1)": "mean: no argument dim; it takes axis, keepdim (axis is PyTorch's dim)",
    "nl.mean(x, dim=1)": "mean: no argument dim; it takes x, axis, keepdim (axis is PyTorch's dim)",
    "x.sum(1, keepdims=True)": (
        "sum: no argument keepdims; it takes axis, keepdim (keepdim is NumPy's keepdims)"
    ),
    "x.var(ddof=1)": "var: no argument ddof; it takes axis, keepdim=, correction= (correction is",
    "np.mean(x)": "mean: no argument dtype; leave it out: results are new and of their input's",
    "x.sum(out=y)": "sum: no argument out; leave it out: results are new and of their input's",
    "x.reshape(shape=(3, 4))": "reshape: no argument shape; lengths stand without a name",
    "x.transpose(dim0=0, dim1=1)": "transpose: no argument dim0; all axes in their new order",
    "nl.normalize(x, weight=y)": "(gain is PyTorch's weight)",
    "nl.cross_entropy(x, targets, weights=y)": (
        "cross_entropy: no argument weights; it takes logits, targets, label_smoothing=, "
        "ignore_index=, reduction=, weight="
    ),
    "nl.load('a', map_location='cpu')": "(device is PyTorch's map_location)",
    "nl.load('a', weights_only=True)": "load: no argument weights_only; leave it out: safetensors",
    "net.load_state({}, strict=False)": "load_state: no argument strict; leave it out: all names",
    "nl.optim.Adam(net.parameters(), fused=True)": "Adam: no argument fused; leave it out",
    "nl.optim.Adam(net.parameters(), foreach=True)": "Adam: no argument foreach; leave it out",
    "nl.optim.Adam(net.parameters(), amsgrad=True)": "Adam: no argument amsgrad; there are Adam",
    "net[:1]": (
        "__getitem__: i must be int, got slice; several parts: `nl.nn.Sequential(*list(net)[:1])`"
    ),
    "nl.normalize(x, 'layernorm', dims=1)": "(axes is PyTorch's dims)",
    "nl.normalize(x, dim=1)": f"normalize: no argument dim; {_hints._L2}",
    "nl.normalize(x, p=2.0)": f"normalize: no argument p; {_hints._L2}",
    "nl.relu(x, p=2.0)": "relu: no argument p; it takes x",
    "x.max(1)": f"max: too many positional arguments; it takes axis=, keepdim=; {_hints._NO_PAIR}",
    "nl.max(x, 1, keepdim=True)": (
        f"max: too many positional arguments; it takes x, axis=, keepdim=; {_hints._NO_PAIR}"
    ),
    "x.max(dim=1)": _hints._NO_PAIR,
    "x.var(1, True)": (
        "var: too many positional arguments; it takes axis, keepdim=, correction=; "
        f"{_hints._UNBIASED}"
    ),
    "nl.randint(10, (3,))": "; the lower end comes first: `nl.randint(0, 10, (3,))`",
    "x.var(unbiased=True)": (
        "var: no argument unbiased; use `x.var(correction=1)`, PyTorch's default"
    ),
    "x.flatten(start_dim=1)": "(start is PyTorch's start_dim)",
    "nl.nn.Flatten(end_dim=1)": (
        "Flatten: no argument end_dim; it takes start, end (end is PyTorch's end_dim)"
    ),
    "x.to(dtype='float64')": "to: no argument dtype; it takes target (target is PyTorch's dtype)",
    "x.to(device='cpu')": "to: no argument device; it takes target (target is PyTorch's device)",
    "x.to('cpu', non_blocking=True)": "to: no argument non_blocking; leave it out",
    "x.clone(memory_format=None)": "clone: no argument memory_format; leave it out",
    "x.sum().backward(retain_graph=True)": f"no argument retain_graph; {_hints._ONE_GRAPH}",
    "x.sum().backward(create_graph=True)": f"no argument create_graph; {_hints._ONE_GRAPH}",
    "x.sum().backward(gradient=x)": "(g is PyTorch's gradient)",
    "x.mean(1, 2, 3)": "mean: too many positional arguments; it takes axis, keepdim",
    "x.mean(1, axis=1)": "mean: multiple values for argument 'axis'; it takes axis, keepdim",
    "x.softmax('a')": "softmax: axis must be int, got 'a'",
    "x.relu(inplace=True)": "relu: no argument inplace; leave it out: results are new tensors",
    "nl.gelu(x, approximate='tanh')": (
        "gelu: no argument approximate; leave it out: gelu is the exact form"
    ),
    "nl.relu(input=x)": "relu: no argument input; it takes x (x is PyTorch's input)",
    "nl.cross_entropy(x, target=index)": (
        "cross_entropy: no argument target; it takes logits, targets, label_smoothing=, "
        "ignore_index=, reduction=, weight= (targets is PyTorch's target)"
    ),
    "nl.matmul(x, other=x)": "matmul: no argument other; it takes a, b (b is PyTorch's other)",
    "nl.where(condition=x, a=x, b=x)": "(mask is PyTorch's condition)",
    "nl.concat(tensors=[x, y])": "(parts is PyTorch's tensors)",
    "nl.tensor(data=[1.0])": "(array is PyTorch's data)",
    "nl.zeros(size=(2, 3))": (
        "zeros: no argument size; it takes shape, dtype=, device=, requires_grad= "
        "(shape is PyTorch's size)"
    ),
    "nl.full((2, 3), fill_value=1)": "(value is PyTorch's fill_value)",
    "nl.zeros(2, 3, requires_grad='yes')": "zeros: requires_grad must be bool, got 'yes'",
    "nl.zeros()": "zeros: needs a shape, as in zeros((2, 3))",
    "nl.randn((2, 3), nl.Generator(1))": (
        "randn: the arguments must be int, got ((2, 3), Generator)"
    ),
    "nl.zeros((2.5,))": "zeros: shape[0] must be int, got 2.5",
    "nl.zeros(2.5)": "zeros: shape must be int | Sequence[int], got 2.5",
    "nl.rand(2, 'a')": "rand: the arguments must be int, got (2, 'a')",
    "nl.exp('a')": "exp: x must be Tensor, got 'a'",
    "nl.exp(None)": "exp: x must be Tensor, got None",
    "nl.exp(x, 2)": "exp: too many positional arguments; it takes x",
    "nl.exp()": "exp: missing a required argument: 'x'; it takes x",
    "nl.num_threads(3)": "num_threads: too many positional arguments; it takes nothing",
    "nl.concat([x, 'a'])": "concat: parts[1] must be Tensor, got 'a'",
    "nl.conv2d(x, x, stride=(1, 2, 3))": (
        "conv2d: stride must be int | tuple[int, int], got (1, 2, 3)"
    ),
    "nl.conv2d(x, x, x, 2)": (
        "conv2d: too many positional arguments; it takes x, weight, bias, stride=, padding=, "
        "dilation=, groups=, activation="
    ),
    "nl.max_pool2d(x, 3, ceil_mode=True)": (
        "max_pool2d: no argument ceil_mode; leave it out: windows that do not fit are left out"
    ),
    "nl.nn.Conv2d(1, 3, 3, padding_mode='circular')": (
        "Conv2d: no argument padding_mode; leave it out: the padding is zeros"
    ),
    "nl.save(net.state(), 'model')": (
        "save: path must be PathLike | str | bytes, got dict; tensors must be "
        "Mapping[str, Tensor], got 'model'; the path comes first: nl.save(path, tensors)"
    ),
    "nl.save(obj=net.state(), path='model')": "(tensors is PyTorch's obj)",
    "nl.save(net.state(), f='model')": "(path is PyTorch's f)",
    "nl.Tensor([1, 2])": "Tensor: array must be ndarray, got [1, 2]; use `nl.tensor([1.0, 2.0])`",
    "nl.Tensor(2, 3)": (
        "Tensor: too many positional arguments; it takes array; use `nl.tensor([1.0, 2.0])`"
    ),
    "x.size()": "Tensor: size is a number here; use `x.shape`, or `x.shape[0]`",
    "x.size(0)": "Tensor: size is a number here; use `x.shape`, or `x.shape[0]`",
    "net.zero_grad(set_to_none=True)": (
        "zero_grad: no argument set_to_none; leave it out: gradients are always cleared"
    ),
    "optimizer.zero_grad(set_to_none=True)": (
        "zero_grad: no argument set_to_none; leave it out: gradients are always cleared"
    ),
    "net.train(mode=False)": "train: no argument mode; it takes on (on is PyTorch's mode)",
    "nl.nn.Linear(in_features=2, out_size=3)": "(in_size is PyTorch's in_features)",
    "nl.nn.Linear(2, out_features=3)": "(out_size is PyTorch's out_features)",
    "nl.nn.Linear(2.5, 3)": "Linear: in_size must be int, got 2.5",
    "nl.nn.Linear(2)": (
        "Linear: missing a required argument: 'out_size'; it takes in_size, out_size, bias, "
        "activation"
    ),
    "nl.nn.Conv2d(1, 2, kernel_size=3)": "(kernel is PyTorch's kernel_size)",
    "nl.nn.Embedding(10, 4, padding_idx=0)": (
        "Embedding: no argument padding_idx; it takes count, size, padding_index "
        "(padding_index is PyTorch's padding_idx)"
    ),
    "nl.nn.Embedding(num_embeddings=10, size=4)": "(count is PyTorch's num_embeddings)",
    "nl.nn.Embedding(10, embedding_dim=4)": "(size is PyTorch's embedding_dim)",
    "nl.nn.ReLU(inplace=True)": (
        "ReLU: no argument inplace; leave it out: results are new tensors"
    ),
    "nl.nn.Norm('layernorm', normalized_shape=4)": "(size is PyTorch's normalized_shape)",
    "nl.nn.Norm('batchnorm', num_features=4)": "(size is PyTorch's num_features)",
    "nl.nn.Norm('groupnorm', (4, 2), num_groups=2)": "(groups is PyTorch's num_groups)",
    "nl.nn.Norm('layernorm', 4, elementwise_affine=False)": "the variant says it",
    "nl.nn.Norm('instancenorm', (4, 2), affine=True)": "the variant says it",
    "nl.nn.SelfAttention(embed_dim=128, heads=4)": "(size is PyTorch's embed_dim)",
    "nl.nn.SelfAttention(128, num_heads=4)": "(heads is PyTorch's num_heads)",
    "nl.nn.TransformerEncoder(d_model=128)": "(size is PyTorch's d_model)",
    "nl.nn.TransformerEncoder(nhead=4)": "(heads is PyTorch's nhead)",
    "nl.nn.TransformerEncoder(dim_feedforward=4)": "(hidden is PyTorch's dim_feedforward)",
    "nl.nn.TransformerEncoder(num_layers=4)": "(layers is PyTorch's num_layers)",
    "nl.nn.TransformerLayer(norm_first=True)": "(pre_norm is PyTorch's norm_first)",
    "nl.optim.SGD(net.parameters())": "SGD: missing a required argument: 'lr'; it takes params, lr",
    "nl.optim.Adam(net)": (
        "Adam: params must be Iterable[Tensor], got Sequential; give `net.parameters()` or a list "
        "of tensors"
    ),
    "nl.optim.Adam(net[0])": "Adam: params must be Iterable[Tensor], got Linear; give ",
    "nl.optim.SGD(net[0].weight, 0.1)": "SGD: params must be Iterable[Tensor], got Tensor; give ",
    "nl.optim.clip_grad_norm(net, 1.0)": "clip_grad_norm: params must be Iterable[Tensor], got ",
    "setattr(x, 'grad', 1)": "grad must be Tensor | None, got 1",
    "setattr(net[0], 'weight', 3)": "weight must be Tensor, got 3",
    "setattr(optimizer, 'lr', 'a')": "lr must be float, got 'a'",
    "setattr(x, 'requires_grad', 'a')": "requires_grad must be bool, got 'a'",
    "nl.Generator('a')": "Generator: seed must be int, got 'a'",
    "nl.parse.Sentence(3)": "Sentence: ",
}


@pytest.mark.parametrize(("code", "text"), SAID.items())
def test_the_error_is_a_sentence(code: str, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        eval(code, things())
    said = str(caught.value)
    assert text in said if text[0] in "(tn;w" else said.startswith(text)
    assert "\n" not in said and "incompatible" not in said and len(said) < 250


def test_every_argument_of_pytorch_is_tried() -> None:
    tried = {word for code in SAID for word in re.findall(r"(\w+)=", code)}
    known = {name.rpartition(".")[2] for name in (*_hints.KEYWORDS, *_hints.NO_KEYWORDS)}
    assert known - tried == {"dim"} - tried
    texts = (_hints.NO_KEYWORDS, _hints.CALLS, _hints.TYPES)
    for text in (*(text for table in texts for text in table.values()), _hints.SIZE):
        for code in re.findall("`(.*?)`", text):
            eval(code, things())


def functions() -> dict[str, Any]:
    """All compiled functions, by name."""
    found = {}
    for module in (nl, nl.nn, nl.optim, nl.text, nl.language, nl.parse, nl.cuda):
        for name, value in vars(module).items():
            members = vars(value) if isinstance(value, type) else {}
            for key, member in {"": value, **members}.items():
                function = getattr(member, "__func__", member)
                if type(function) is type(nl.relu):
                    found[f"{module.__name__}.{name}.{key}"] = function
    return found


def test_every_signature_is_understood() -> None:
    found = functions().values()
    assert len(found) > 300
    for function in found:
        assert "object at" not in str(inspect.signature(function))
        for signature in _signatures.signatures(function):
            assert all(p.annotation for p in signature.parameters.values())


def test_signatures_are_for_people() -> None:
    text = str(inspect.signature(nl.normalize))
    assert text.startswith("(x: Tensor, variant: str, *, gain: Tensor | None = None, bias: ")
    assert "eps: float = 1e-05" in text and "axes: int | None = None" in text
    assert str(inspect.signature(nl.zeros(1).softmax)) == "(axis: int = -1) -> Tensor"
    shown = pydoc.render_doc(nl.normalize, renderer=pydoc.plaintext)
    assert (
        "function in module normlab" in shown
        and f"normalize{text}" in shown
        and "Normalise" in shown
    )
    assert "pybind11" not in shown and "Supports" not in shown and "_core" not in shown
    shown = pydoc.render_doc(nl.zeros, renderer=pydoc.plaintext)
    assert "1. zeros(shape: int | Sequence[int], *, dtype: DTypeLike | None = None, " in shown


def test_functions_are_pickled_by_name() -> None:
    for function in (nl.relu, nl.optim.cosine, nl.Tensor.mean, nl.nn.Linear.forward):
        assert pickle.loads(pickle.dumps(function)) is function
        assert copy.deepcopy(function) is function


def test_functions_bind_no_object_in_a_class() -> None:
    class Net:
        activation = nl.relu

    assert Net().activation(nl.ones(1)).tolist() == [1]


def test_every_function_says_it_in_a_sentence() -> None:
    tried = 0
    for name, function in functions().items():
        doc = function.__wrapped__.__doc__
        if "**kwargs" in doc.partition("Overloaded")[0] or "__" in name or "Graph" in name:
            continue
        owner: Any = nl
        for part in name.split(".")[1:]:
            owner = getattr(owner, part) if part else owner
        with pytest.raises(TypeError, match=r"no argument nonsense; it takes ") as caught:
            owner(*(["self"] if "(self: " in doc else []), nonsense=1)
        assert "\n" not in str(caught.value)
        tried += 1
    assert tried > 200


def test_arguments_are_not_printed() -> None:
    class Loud(list):  # type: ignore[type-arg]
        def __repr__(self) -> str:
            return "loud" * 1000

    x = nl.zeros(100, 100)
    for ask in (
        lambda: x.mean(Loud("a")),
        lambda: nl.matmul(x, [x] * 20),
        lambda: nl.exp("a" * 1000),
        lambda: x.mean(**{"a" * 10: x}),
    ):
        with pytest.raises(TypeError) as caught:
            ask()
        assert len(str(caught.value)) < 150


def test_what_fits_does_not_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("asked for a sentence")

    monkeypatch.setattr(_misuse, "error_of", fail)
    x = nl.tensor(np.ones((2, 3), np.float32))
    for done in (x + 1, x.mean(1), nl.zeros(2, 3), nl.zeros((2, 3)), nl.exp(x.numpy())):
        assert done.shape
    assert (x == x).numpy().all() and x.__add__("a") is NotImplemented
    with pytest.raises(nl.DtypeError, match="converts"):
        nl.ones(2, dtype="int64") + 0.5
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"


class _Passes(nl.nn.Module):
    """Calls what it is given."""

    def forward(self, call: Any) -> Any:
        return call()


def test_errors_of_functions_within_are_left_alone() -> None:
    def own() -> None:
        raise TypeError("f(): incompatible function arguments. My own text.")

    with pytest.raises(
        TypeError, match=r"^f\(\): incompatible function arguments\. My own text\.$"
    ):
        _Passes()(own)
    with pytest.raises(TypeError, match=r"^mean: no argument dim; ") as caught:
        _Passes()(lambda: nl.zeros(2).mean(dim=1))
    assert caught.value.__cause__ is None


def test_a_subclass_is_told_of_what_it_calls() -> None:
    class Wide(nl.nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 4, biased=True)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^Linear: no argument biased; it takes in_size, "):
        Wide()


# --- what else PyTorch's users type --------------------------------------------------------------


@pytest.mark.parametrize("make", [nl.zeros, nl.ones, nl.empty, nl.rand, nl.randn])
def test_lengths_one_by_one(make: Any) -> None:
    for shape in ((3, 4), (2,), (0, 2), (1, 2, 3)):
        assert make(*shape).shape == make(shape).shape == make(shape=shape).shape == shape
    assert make(()).shape == ()
    assert make(2, 3, dtype="float64").dtype == "float64"
    assert make(np.int64(2), nl.tensor(3)).shape == (2, 3)
    with pytest.raises(nl.ShapeError, match="negative"):
        make(2, -1)


def test_separate_lengths_draw_the_same_numbers() -> None:
    a = nl.randn(3, 4, std=2.0, generator=nl.Generator(7))
    b = nl.randn((3, 4), std=2.0, generator=nl.Generator(7))
    assert np.array_equal(a.numpy(), b.numpy())
    assert nl.zeros(2, 3, requires_grad=True).requires_grad


def test_transpose_that_swaps_in_pytorch_is_refused() -> None:
    x = nl.randn(2, 3)
    for axes in ((0, 1), (-2, -1), (0, -1), (-2, 1)):
        for ask in (lambda a=axes: x.transpose(*a), lambda a=axes: nl.transpose(x, *a)):
            with pytest.raises(nl.ShapeError) as caught:
                ask()
            a, b = axes
            assert str(caught.value) == (
                "transpose: takes all axes in their new order, as NumPy's; transpose(1, 0) swaps "
                f"{a} and {b} of a tensor of shape [2, 3]"
            )
    for axes in ((1, 0), (-1, -2), (-1, 0)):  # the same in both
        want = x.numpy().transpose(axes)
        assert np.array_equal(x.transpose(*axes).numpy(), want)
        assert np.array_equal(nl.transpose(x, *axes).numpy(), want)
    for same in (x.transpose((0, 1)), nl.transpose(x, [0, 1]), nl.transpose(x, axes=(0, 1))):
        assert np.array_equal(same.numpy(), x.numpy())
    with pytest.raises(nl.ShapeError, match=r"transpose\(0, 3, 2, 1\) swaps -1 and 1 of a tensor"):
        nl.zeros(2, 3, 4, 5).transpose(-1, 1)
    cube = nl.randn(2, 3, 4)
    assert np.array_equal(cube.transpose(0, 1, 2).numpy(), cube.numpy())
    assert np.array_equal(nl.transpose(cube, 2, 0, 1).numpy(), cube.numpy().transpose(2, 0, 1))
    for axes in ((0, 0), (0, 2), (0, 7)):
        with pytest.raises(nl.Error, match="transpose"):
            x.transpose(*axes)


def test_size_is_a_number() -> None:
    size = nl.zeros(3, 4).size
    assert size == 12 and isinstance(size, int) and repr(size) == "12" and f"{size:,}" == "12"
    assert type(size + 0) is int and np.asarray(size).dtype == np.int64
    for copied in (copy.deepcopy(size), pickle.loads(pickle.dumps(size))):
        assert copied == 12 and type(copied) is int
    assert nl.zeros(size).shape == (12,) and list(range(size))[-1] == 11


def test_changes_in_place_return_the_tensor() -> None:
    x, y = nl.zeros(2, 3), nl.ones(2, 3)
    assert x.copy_(y) is x and x.sum().item() == 6
    assert x.fill_(2) is x and x.sum().item() == 12
    weight = nl.nn.Linear(2, 3).weight
    assert weight.fill_(0.5) is weight and weight.requires_grad
