"""Tensor: making, attributes, operators, indexing, printing, copying."""

import copy
import pickle

import numpy as np
import pytest

import normlab as nl

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]


# --- making -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (3, "int64", ()),
        (True, "bool", ()),
        ([1.0, 2.0], "float32", (2,)),
        ([[1, 2, 3], [4, 5, 6]], "int64", (2, 3)),
        ([True, False], "bool", (2,)),
        ([], "float32", (0,)),
        ((1, 2.5), "float32", (2,)),
        (np.float64(2), "float64", ()),
        (np.int32(2), "int32", ()),
        ([np.float32(1), np.float32(2)], "float32", (2,)),
    ],
)
def test_tensor_of_python_values(value, dtype, shape):
    t = nl.tensor(value)
    assert t.dtype == dtype
    assert t.shape == shape
    assert t.tolist() == np.asarray(value).tolist()


def test_tensor_options():
    t = nl.tensor([1, 2], True, dtype=np.float64, device="cpu")
    assert t.dtype == np.float64
    assert t.requires_grad
    assert t.is_leaf
    assert t.device == "cpu"
    with pytest.raises(TypeError):
        nl.tensor([1.0], True, "float64")  # type: ignore[misc]


def test_tensor_of_tensor_shares_unless_asked_to_copy():
    a = nl.tensor([1.0, 2.0], requires_grad=True)
    b = nl.tensor(a)
    assert not b.requires_grad
    b.fill_(7)
    assert a.tolist() == [7, 7]
    c = nl.tensor(a, copy=True)
    c.fill_(1)
    assert a.tolist() == [7, 7]
    assert nl.tensor(a, dtype="int64").dtype == "int64"


@pytest.mark.parametrize("dtype", DTYPES)
def test_factories(dtype):
    assert np.array_equal(nl.zeros((2, 3), dtype=dtype).numpy(), np.zeros((2, 3), dtype))
    assert np.array_equal(nl.ones(4, dtype=dtype).numpy(), np.ones(4, dtype))
    assert np.array_equal(nl.full([2], 1, dtype=dtype).numpy(), np.full(2, 1, dtype))
    assert nl.empty((0, 3), dtype=dtype).shape == (0, 3)
    assert nl.zeros((), dtype=dtype).shape == ()


def test_factory_defaults():
    assert nl.zeros(2).dtype == nl.ones(2).dtype == nl.full(2, 3).dtype == "float32"
    assert nl.arange(3).dtype == "int64"
    assert nl.arange(3, dtype="float64").tolist() == [0.0, 1.0, 2.0]
    assert nl.zeros(2, requires_grad=True).requires_grad
    assert nl.zeros(np.int64(2)).shape == (2,)
    assert nl.zeros(np.array([2, 3])).shape == (2, 3)


def test_attributes():
    t = nl.zeros((2, 3, 4), dtype="float64")
    assert isinstance(t.shape, tuple)
    assert t.ndim == 3
    assert t.size == 24
    assert t.nbytes == 192
    assert len(t) == 2
    assert isinstance(t.dtype, np.dtype)
    assert t.dtype == np.float64 == t.dtype
    with pytest.raises(AttributeError):
        t.shape = (24,)
    with pytest.raises(AttributeError):
        t.anything = 1


# --- conversions ------------------------------------------------------------------------------


def test_item_keeps_exact_integers():
    assert nl.tensor(2**62 + 1).item() == 2**62 + 1
    assert isinstance(nl.tensor(1.5).item(), float)
    assert nl.tensor([[True]]).item() is True
    with pytest.raises(nl.ShapeError, match=r"item: .*\[2\]"):
        nl.zeros(2).item()


def test_python_numbers():
    assert float(nl.tensor(1.5)) == 1.5
    assert int(nl.tensor([7])) == 7
    assert int(nl.tensor(2.9)) == 2
    assert bool(nl.tensor(0.0)) is False
    assert bool(nl.tensor(-1)) is True
    assert [10, 20, 30][nl.tensor(1)] == 20
    assert f"{nl.tensor(1.23456):.2f}" == "1.23"
    with pytest.raises(nl.ArgumentError, match="one element"):
        bool(nl.zeros(2))
    with pytest.raises(nl.ShapeError):
        float(nl.zeros(2))
    with pytest.raises(nl.DtypeError):
        [1, 2][nl.tensor(1.0)]


def test_random_leaves():
    for make in (nl.rand, nl.randn):
        x = make(2, 3, requires_grad=True)
        assert x.requires_grad and x.is_leaf and not make((2, 3)).requires_grad


def test_seeds():
    for make in (nl.manual_seed, nl.Generator):
        for seed in (0, np.int64(3), 2**64 - 1):
            make(seed)
        for seed in (-1, 2**64, 2**70):
            with pytest.raises(nl.ArgumentError, match=rf"seed: must be from 0 to .*, got {seed}$"):
                make(seed)
    assert nl.Generator(2**64 - 1).seed == 2**64 - 1


def test_arange():
    for args in ((5,), (2, 5), (0, 10, 3), (10, 0, -3), (5, 2), (0, 0), (2**60 + 1, 2**60 + 3)):
        got = nl.arange(*args)
        assert got.dtype == "int64" and got.tolist() == np.arange(*args).tolist()
    for args in ((0.0, 1.0, 0.1), (0, 0.3, 0.1), (1.0, 0.0, -0.25), (0.0, -1.0)):
        got = nl.arange(*args)
        assert got.dtype == "float32" and got.shape == np.arange(*args).shape
        np.testing.assert_allclose(got.numpy(), np.arange(*args), rtol=1e-6)
    assert nl.arange(1, 7, 2, dtype="float64").tolist() == [1.0, 3.0, 5.0]
    assert nl.arange(start=1, stop=3).tolist() == [1, 2]
    for args in ((0, 1, 0), (0.0, 1.0, 0.0), (0.0, float("inf")), (0.0, float("nan"), 1.0)):
        with pytest.raises(nl.ArgumentError, match=r"arange: .* a finite number of steps"):
            nl.arange(*args)


def test_conversions_of_dtype():
    t = nl.tensor([0.0, 1.5, -2.0])
    assert t.astype("int64").tolist() == [0, 1, -2]
    assert t.to(np.float64).dtype == "float64"
    assert t.to("bool").tolist() == [False, True, True]
    assert t.to("cpu").tolist() == t.tolist()
    assert t.astype(float).dtype == "float64"
    with pytest.raises(nl.DtypeError, match="float16"):
        t.astype("float16")
    assert nl.tensor([1.0, 2.0], dtype="bfloat16").to("float32").tolist() == [1, 2]
    with pytest.raises(nl.DtypeError, match="dtype: write float32 or float64"):
        t.to("float")
    with pytest.raises(nl.DtypeError, match="dtype"):
        t.astype("no such type")


def test_changes_in_place():
    t = nl.zeros((2, 2))
    t.fill_(3)
    t.copy_(nl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert t.tolist() == [[1, 2], [3, 4]]
    t.copy_(np.zeros((2, 2), np.float32))
    assert t.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(nl.ShapeError):
        t.copy_(nl.zeros(3))
    with pytest.raises(nl.DtypeError):
        t.copy_(nl.zeros((2, 2), dtype="int64"))


def test_shape_methods():
    t = nl.arange(6)
    assert t.reshape(2, 3).shape == t.reshape((2, 3)).shape == t.reshape([2, -1]).shape == (2, 3)
    assert t.reshape(-1).shape == (6,)
    assert nl.tensor([1.0]).reshape().shape == ()
    m = t.reshape(2, 3)
    assert np.array_equal(m.T.numpy(), m.numpy().T)
    x = nl.arange(24).reshape(2, 3, 4)
    for axes in [(2, 0, 1), (0, 2, 1), (-1, 0, 1)]:
        want = x.numpy().transpose(axes)
        assert np.array_equal(x.transpose(*axes).numpy(), want)
        assert np.array_equal(x.transpose(axes).numpy(), want)
        assert np.array_equal(nl.transpose(x, axes).numpy(), want)
    assert np.array_equal(x.transpose().numpy(), x.numpy().T)
    assert x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert nl.flatten(x, 0, 1).shape == (6, 4)
    assert nl.broadcast_to(nl.zeros((1, 3)), (2, 3)).shape == (2, 3)
    with pytest.raises(nl.ShapeError, match="reshape"):
        t.reshape(4, 2)
    with pytest.raises(TypeError):
        t.reshape(2.0, 3.0)


# --- operators --------------------------------------------------------------------------------

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
B = np.array([3.0, 2.0, 0.5], np.float32)


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize(
    ("left", "right"),
    [(A, B), (B, A), (A, 2), (2.5, B), (A, True), (np.float32(2), A), (A, np.float64(0.5))],
)
def test_operators_agree_with_numpy(op, left, right):
    def wrapped(v):
        return nl.tensor(v) if isinstance(v, np.ndarray) else v

    scope = {"a": wrapped(left), "b": wrapped(right)}
    got = eval(f"a {op} b", scope)
    want = eval(f"a {op} b", {"a": left, "b": right})
    assert isinstance(got, nl.Tensor)
    assert got.shape == want.shape
    np.testing.assert_allclose(got.numpy(), want.astype(got.dtype), rtol=1e-6)


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "<", "=="])
def test_operators_take_arrays(op):
    t = nl.tensor(A)
    for scope in ({"a": t, "b": B}, {"a": B, "b": t}):
        got = eval(f"a {op} b", scope)
        assert isinstance(got, nl.Tensor)
        want = eval(f"a {op} b", {k: np.asarray(v) for k, v in scope.items() if k in "ab"})
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_other_operators():
    t = nl.tensor(A)
    np.testing.assert_allclose((t**2).numpy(), A**2, rtol=1e-6)
    np.testing.assert_allclose((2**t).numpy(), 2**A, rtol=1e-6)
    np.testing.assert_allclose((t @ B).numpy(), A @ B, rtol=1e-6)
    np.testing.assert_allclose((t @ t.T).numpy(), A @ A.T, rtol=1e-6)
    np.testing.assert_allclose((A.T @ t).numpy(), A.T @ A, rtol=1e-6)
    np.testing.assert_allclose((-t).numpy(), -A)
    np.testing.assert_allclose(abs(-t).numpy(), A)
    assert (+t) is not None
    assert (~(t > 2)).tolist() == (~(A > 2)).tolist()
    assert (t ** nl.tensor(2)).tolist() == (t**2).tolist()
    np.testing.assert_allclose((t**t).numpy(), A**A, rtol=1e-6)
    for op in ("//", "%"):
        for left, right in ((t, 2), (5, t), (t, t), (t, B)):
            want = eval(f"a {op} b", {"a": np.asarray(left), "b": np.asarray(right)})
            assert np.array_equal(eval(f"a {op} b", {"a": left, "b": right}).numpy(), want)


def test_operators_of_masks():
    a, b = np.array([[True], [False]]), np.array([True, False])
    for op in "&|^":
        got = eval(f"x {op} y", {"x": nl.tensor(a), "y": nl.tensor(b)})
        assert got.dtype == "bool" and got.tolist() == eval(f"a {op} b", {"a": a, "b": b}).tolist()
    t = nl.tensor(A)
    assert ((t > 1) & (t < 3)).tolist() == ((A > 1) & (A < 3)).tolist()
    assert (nl.tensor(b) & True).tolist() == (False ^ nl.tensor(b)).tolist() == b.tolist()
    for wrong in (lambda: (t > 1) & t, lambda: t > 0 & t, lambda: ~t, lambda: t | (t > 1)):
        with pytest.raises(nl.DtypeError, match=r"needs bool tensors, got float32; .*\(x > 0\) & "):
            wrong()


# --- changes in place ---------------------------------------------------------------------------

CHANGES = [
    ("+=", "add_", A + B),
    ("-=", "sub_", A - B),
    ("*=", "mul_", A * B),
    ("/=", "div_", A / B),
]


@pytest.mark.parametrize(("symbol", "method", "want"), CHANGES, ids=lambda x: str(x)[:2])
def test_changes_are_seen_by_whoever_holds_the_tensor(symbol, method, want):
    x, other = nl.tensor(A, copy=True), nl.tensor(A, copy=True)
    scope = {"x": x, "B": nl.tensor(B)}
    exec(f"x {symbol} B", scope)
    assert scope["x"] is x and getattr(other, method)(nl.tensor(B)) is other
    for changed in (x, other):
        np.testing.assert_allclose(changed.numpy(), want, rtol=1e-6)
    with pytest.raises(nl.GradError, match="a leaf that requires a gradient"):
        exec(f"x {symbol} 2", {"x": nl.ones(3, requires_grad=True)})
    with pytest.raises(nl.GradError, match=f"{method}: a leaf that requires a gradient"):
        getattr(nl.ones(3, requires_grad=True), method)(2)
    with pytest.raises(nl.ShapeError, match=r"\[3\] and the result \[2, 3\].*write x = x \+ y"):
        exec(f"x {symbol} y", {"x": nl.ones(3), "y": nl.ones(2, 3)})


def test_a_hand_written_step_changes_the_weights():
    layer = nl.nn.Linear(3, 2)
    optimizer = nl.optim.SGD(layer.parameters(), lr=1.0)
    layer(nl.ones((4, 3))).sum().backward()
    before = layer.weight.numpy().copy()
    with nl.no_grad():
        for p in layer.parameters():
            p -= 0.1 * p.grad
        layer.weight.add_(layer.weight.grad, alpha=-0.1).sub_(1.0, alpha=0.5)
        layer.weight *= 1
    np.testing.assert_allclose(layer.weight.numpy(), before - 0.8 - 0.5, rtol=1e-5)
    assert layer.weight.requires_grad and layer.weight.is_leaf
    optimizer.step()
    np.testing.assert_allclose(layer.weight.numpy(), before - 5.3, rtol=1e-5)
    assert layer.weight.zero_().sum().item() == 0


def test_what_is_recorded_gets_a_new_tensor():
    w = nl.ones(3, requires_grad=True)
    h = first = w * 2
    h += 1
    total = nl.zeros(())
    total += (h * h).sum()
    assert h is not first and first.tolist() == [2, 2, 2]
    total.backward()
    assert w.grad.tolist() == [12, 12, 12]
    for change in (lambda: (w * 2).add_(1), lambda: nl.ones(3).mul_(w)):
        with pytest.raises(nl.GradError, match="what is recorded cannot be changed in place"):
            change()
    x = nl.ones(3)
    z = (w * x).sum()
    x += 1
    with pytest.raises(nl.GradError, match="changed in place after the forward pass"):
        z.backward()


def test_operators_refuse_strangers():
    t = nl.zeros(2)
    for bad in ("a", [1, 2], object(), None):
        with pytest.raises(TypeError):
            t + bad
        with pytest.raises(TypeError):
            bad - t
    assert (t == "a") is False
    assert (t != None) is True  # noqa: E711


def test_integers():
    t = nl.tensor([1, 2, 3])
    assert (t + 1).dtype == "int64"
    assert (2 - t).tolist() == [1, 0, -1]
    for bad in (lambda: t + 0.5, lambda: 0.5 * t, lambda: t - 0.5, lambda: nl.maximum(t, 0.5)):
        with pytest.raises(nl.DtypeError, match=r"holds, got 0\.5; to\('float32'\) converts$"):
            bad()
    with pytest.raises(nl.DtypeError, match=r"got int64 and float32; to\('float32'\) converts$"):
        t + nl.tensor([1.0, 2.0, 3.0])
    with pytest.raises(nl.DtypeError, match=r"float64 and float32; to\('float32'\) converts$"):
        nl.linear(nl.tensor(np.ones((2, 3))), nl.ones((4, 3)))
    with pytest.raises(nl.DtypeError, match=r"bool has no arithmetic; to\('int32'\)"):
        (t > 1) + (t > 2)


def test_functions_with_numbers():
    t = nl.tensor([-1.0, 2.0])
    assert nl.add(1, t).tolist() == [0, 3]
    assert nl.sub(1, t).tolist() == [2, -1]
    assert nl.maximum(t, 0).tolist() == [0, 2]
    assert nl.minimum(0, t).tolist() == [-1, 0]
    assert nl.where(t > 0, t, 0.0).tolist() == [0, 2]
    assert nl.where(t > 0, 1, 0).tolist() == [0, 1]
    assert nl.masked_fill(t, t < 0, 9).tolist() == t.masked_fill(t < 0, 9).tolist() == [9, 2]
    assert nl.add(1, 2).item() == 3


def test_reductions_agree_with_numpy():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    t = nl.tensor(x)
    for axis in [None, 0, -1, (0, 2), [1]]:
        np_axis = tuple(axis) if isinstance(axis, list) else axis
        for keep in (False, True):
            for name in ("sum", "mean", "var"):
                want = getattr(np, name)(x, axis=np_axis, keepdims=keep)
                for got in (
                    getattr(t, name)(axis, keepdim=keep),
                    getattr(nl, name)(t, axis, keepdim=keep),
                ):
                    assert got.shape == want.shape
                    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(t.var(correction=1).numpy(), x.var(ddof=1))
    assert t.max().item() == x.max()
    assert np.array_equal(t.max(axis=1, keepdim=True).numpy(), x.max(1, keepdims=True))
    assert t.argmax().item() == x.argmax()
    assert np.array_equal(t.argmax(1).numpy(), x.argmax(1))
    with pytest.raises(nl.RangeError):
        t.sum(3)
    with pytest.raises(nl.ArgumentError):
        t.sum((0, 0))
    with pytest.raises(nl.ArgumentError, match="None"):
        t.sum(())


def test_unary_functions_are_methods_too():
    x = np.array([0.5, 1.0, 2.5])
    t = nl.tensor(x)
    for name in ("exp", "log", "log1p", "sqrt", "sin", "cos", "tanh", "abs", "sign", "floor",
                 "round"):  # fmt: skip
        want = getattr(np, name)(x)
        np.testing.assert_allclose(getattr(nl, name)(t).numpy(), want, rtol=1e-12)
        np.testing.assert_allclose(getattr(t, name)().numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(t.sigmoid().numpy(), 1 / (1 + np.exp(-x)), rtol=1e-12)
    np.testing.assert_allclose(t.silu().numpy(), x / (1 + np.exp(-x)), rtol=1e-12)
    np.testing.assert_allclose(t.softplus().numpy(), np.log(1 + np.exp(x)), rtol=1e-12)
    assert nl.relu(nl.tensor([-1.0, 1.0])).tolist() == [0, 1]
    np.testing.assert_allclose(t.softmax().numpy().sum(), 1)
    np.testing.assert_allclose(nl.exp(x).numpy(), np.exp(x), rtol=1e-12)  # an array is taken as is


def test_leaky_relu_and_clamp():
    t = nl.tensor([-2.0, 0.5, 3.0])
    assert np.allclose(t.leaky_relu().tolist(), [-0.02, 0.5, 3])
    assert nl.leaky_relu(t, 0.5).tolist() == [-1, 0.5, 3]
    assert nl.leaky_relu(t, nl.tensor([0.5, 2.0, 2.0])).tolist() == [-1, 0.5, 3]
    assert t.clamp(0, 1).tolist() == [0, 0.5, 1]
    assert nl.clamp(t, min=0.0).tolist() == [0, 0.5, 3]
    assert nl.clamp(t, max=nl.tensor([0.0, 0.0, 9.0])).tolist() == [-2, 0, 3]
    with pytest.raises(nl.ArgumentError, match="clamp: needs min, max or both"):
        t.clamp()


# --- indexing ---------------------------------------------------------------------------------

X = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


@pytest.mark.parametrize(
    "key",
    [
        0, -1, np.int64(1), (1, 2), (1, 2, 3), (-1, -1, -1), slice(None), slice(1, 3),
        slice(0, 3, 2), slice(5, 9), slice(-2, None), (slice(None), 1), (slice(None), slice(1, 3)),
        (..., 0), (0, ..., 1), (..., slice(None, None, 2)), ..., (), None, (None, 0),
        (0, None, slice(1, 2)), (slice(None), None, ..., None), (slice(2, 1), 0), (1, slice(1, 3)),
        [0, 2], [2, 0, 0], np.array([[0, 1], [2, 2]]), (np.array([0, 2]), slice(1, 3)),
        (np.array([0, 2]), ..., 1), np.array([True, False, True]), X > 30, (X > 30)[:, :, 0],
        [True, True, False], np.array([], np.int64), [],
    ],
    ids=repr,
)  # fmt: skip
def test_indexing_agrees_with_numpy(key):
    got = nl.tensor(X)[key]
    want = X[key]
    assert got.shape == want.shape
    assert np.array_equal(got.numpy(), want)


def test_indexing_with_tensors():
    t = nl.tensor(X)
    assert np.array_equal(t[nl.tensor([2, 1])].numpy(), X[[2, 1]])
    assert np.array_equal(t[nl.tensor(1)].numpy(), X[1])
    assert np.array_equal(t[nl.tensor([1, 0], dtype="uint8")].numpy(), X[[1, 0]])
    assert np.array_equal(t[t > 30].numpy(), X[X > 30])


def test_what_shares_storage():
    t = nl.tensor(X, copy=True)
    for view in (t[1], t[1:3], t[1, 2], t[2, 1:3], t[None, 1:], t.reshape(-1), t[...], t.detach()):
        assert np.shares_memory(view.numpy(), t.numpy())
    for copied in (t[:, 1], t[::2], t[[0, 1]], t[t > 3], t.T, t.clone()):
        assert not np.shares_memory(copied.numpy(), t.numpy())


def test_indexing_errors():
    t = nl.tensor(X)
    for key in (3, -4, (0, 4), (0, 0, 5), (0, 0, 0, 0), (..., ...), [0, 3], (slice(None), [0])):
        with pytest.raises(IndexError):
            t[key]
    with pytest.raises(nl.ArgumentError, match="step"):
        t[::-1]
    with pytest.raises(ValueError, match="zero"):
        t[::0]
    for key in ("a", 1.0, True, nl.tensor([1.0]), [1.5]):
        with pytest.raises((TypeError, IndexError)):
            t[key]
    with pytest.raises(nl.ShapeError, match="mask"):
        t[np.array([True, False])]
    with pytest.raises(nl.RangeError):
        nl.tensor(1.0)[0]


def test_assignment_says_what_to_use():
    t = nl.zeros(3)
    with pytest.raises(nl.DtypeError, match=r"copy_.*where.*masked_fill") as caught:
        t[0] = 1
    assert isinstance(caught.value, TypeError)


def test_iteration():
    t = nl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    a, b = t
    assert (a + b).tolist() == [4, 6]
    assert 2 in nl.tensor([1, 2])
    for bad in (len, iter, list):
        with pytest.raises(TypeError):
            bad(nl.tensor(1.0))


# --- printing ---------------------------------------------------------------------------------


def test_repr():
    t = nl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    want = "tensor([[1., 2.], [3., 4.]], shape=(2, 2), dtype=float32, requires_grad)"
    assert repr(t) == str(t) == want
    assert repr(nl.tensor(3)) == "tensor(3, shape=(), dtype=int64)"
    assert repr(nl.zeros((0, 2))) == "tensor([], shape=(0, 2), dtype=float32)"
    long = repr(nl.arange(3000).reshape(3, 1000))
    assert "..." in long
    assert len(long) < 400


# --- copying ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_pickle(dtype):
    t = nl.tensor(np.arange(6).reshape(2, 3).astype(dtype))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(t, protocol))
        assert back.dtype == t.dtype
        assert np.array_equal(back.numpy(), t.numpy())
        assert not np.shares_memory(back.numpy(), t.numpy())


def test_copies_keep_requires_grad():
    t = nl.tensor([1.0, 2.0], requires_grad=True)
    for made in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t), copy.deepcopy([t])[0]):
        assert made.requires_grad
        assert made.tolist() == [1, 2]
        made.fill_(0)
    assert t.tolist() == [1, 2]
    assert np.shares_memory(copy.copy(t).numpy(), t.numpy())
    twice = copy.deepcopy([t, t])
    assert twice[0] is twice[1]
    with pytest.raises(nl.GradError, match="detach"):
        copy.deepcopy(t * 2)
    with pytest.raises(nl.GradError, match="detach"):
        pickle.dumps(t * 2)


def test_hash_is_the_tensor_itself():
    t = nl.zeros(2)
    assert {t: 1}[t] == 1


def test_no_subclass_and_no_empty_shell():
    with pytest.raises(TypeError):
        type("Sub", (nl.Tensor,), {})
    shell = nl.Tensor.__new__(nl.Tensor)
    with pytest.raises(ValueError, match="__init__"):
        shell.sum()


# --- machine ----------------------------------------------------------------------------------


def test_machine_functions():
    info = nl.build_info()
    assert info["threads_reason"]
    assert set(info) >= {"version", "isa", "onednn", "threads", "compiler", "cuda", "cuda_reason"}
    assert info["version"] == nl.__version__
    assert info["isa"] in ("baseline", "avx2", "avx512")
    assert info["cuda"] is nl.cuda.is_available()
    assert info["cuda_reason"] == nl.cuda.why_not()
    stats = nl.memory_stats()
    kept = nl.zeros(1 << 20)
    assert nl.memory_stats()["in_use"] >= stats["in_use"] + kept.nbytes
    assert set(stats) == {"in_use", "peak", "cached", "system_calls"}
    del kept
    nl.empty_cache()
    assert nl.memory_stats()["cached"] == 0
    nl.set_num_threads(1)
    assert nl.num_threads() == 1
    with pytest.raises(nl.ArgumentError):
        nl.set_num_threads(0)


def test_random():
    nl.manual_seed(3)
    start = nl.get_rng_state()
    assert start == (3, 0)
    first = nl.randn((4, 5))
    assert nl.get_rng_state() != start
    nl.set_rng_state(start)
    assert np.array_equal(nl.randn((4, 5)).numpy(), first.numpy())
    assert sorted(nl.permutation(10).tolist()) == list(range(10))
    r = nl.rand(1000, low=-2.0, high=3.0).numpy()
    assert r.min() >= -2
    assert r.max() < 3
    assert set(nl.randint(0, 3, (200,)).tolist()) == {0, 1, 2}
    g = nl.Generator(9)
    h = nl.Generator(9)
    assert nl.rand(3, generator=g).tolist() == nl.rand(3, generator=h).tolist()
    assert (g.seed, g.offset) == (9, h.offset)
    h.set_state(9, 0)
    assert nl.get_rng_state()[0] == 3
    with pytest.raises(nl.ArgumentError):
        nl.randint(3, 3, (2,))


# --- on the GPU -------------------------------------------------------------------------------


@pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())
def test_a_tensor_on_the_gpu_reads_as_one_on_the_cpu() -> None:
    here = nl.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    there = here.to("cuda")
    assert repr(there) == repr(here).replace("float32", "float32, device=cuda")
    assert there.tolist() == here.tolist()
    assert there[1, 2].item() == 6
    assert f"{there[0, 1]:.2f}" == "1.00"
    assert bool(there[0, 1])
    for key in (
        0,
        -1,
        (0, 2),
        slice(1, 3),
        (slice(None), slice(1, 3)),
        (..., None),
        np.s_[::2, ::3],
    ):
        assert there[key].device == "cuda"
        assert there[key].tolist() == here[key].tolist()
    assert nl.maximum(there, 5).tolist() == nl.maximum(here, 5).tolist()
    assert nl.where(there > 3, 1.0, there).tolist() == nl.where(here > 3, 1.0, here).tolist()
    for copied in (copy.deepcopy(there), pickle.loads(pickle.dumps(there))):
        assert copied.device == "cuda"
        assert copied.tolist() == here.tolist()
    with pytest.raises(nl.DeviceError, match=r"x\.to\('cpu'\)"):
        there.numpy()
    with pytest.raises(nl.DeviceError, match="one device"):
        there + here
