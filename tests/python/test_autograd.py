"""Autograd through the bindings. The derivatives themselves are tested in tests/cpp."""

import threading

import numpy as np
import pytest

import normlab as nl


def test_backward_and_grad():
    x = nl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert x.grad is None
    z = (x * x).sum()
    assert z.requires_grad
    assert not z.is_leaf
    z.backward()
    assert x.grad.tolist() == [2, 4, 6]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 7, 9]  # accumulates
    x.zero_grad()
    assert x.grad is None
    x.grad = nl.ones(3)
    assert x.grad.tolist() == [1, 1, 1]
    x.grad = None
    assert x.grad is None


def test_backward_with_gradient():
    x = nl.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).backward(nl.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]
    (x * 2).backward(np.array([1.0, 1.0], np.float32))
    assert x.grad.tolist() == [4, 22]
    with pytest.raises(nl.GradError, match="more than one element"):
        (x * 2).backward()
    with pytest.raises(nl.ShapeError):
        (x * 2).backward(nl.ones(3))


def test_a_clone_is_recorded():
    w = nl.ones(3, requires_grad=True)
    h = w * 2
    residual = h.clone()
    (h + residual).sum().backward()
    assert w.grad.tolist() == [4, 4, 4]
    with nl.no_grad():
        assert w.clone().is_leaf
    assert w.detach().clone().is_leaf and nl.arange(3).clone().is_leaf


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[1],
        lambda x: x[1:],
        lambda x: x[:, ::2],
        lambda x: x[[0, 0, 1]],
        lambda x: x[x > 0.2],
        lambda x: x[None, :, 1],
        lambda x: x.reshape(-1).T,
        lambda x: 2 - x,
        lambda x: 1 / (x + 9),
        lambda x: 2**x,
        lambda x: (x + 9) ** 1.5,
        lambda x: nl.where(x > 0, x, 0.5),
        lambda x: nl.concat([x, x * 2], axis=1),
        lambda x: x.softmax(),
        lambda x: x.clone(),
        lambda x: x @ x.T,
    ],
)
def test_gradients_against_differences(f):
    rng = np.random.default_rng(1)
    base = rng.normal(size=(2, 3))
    x = nl.tensor(base, requires_grad=True, copy=True)
    z = f(x)
    w = rng.normal(size=z.shape)
    z.backward(nl.tensor(w))
    want = np.zeros_like(base)
    h = 1e-6
    for i in np.ndindex(base.shape):
        for sign in (1, -1):
            moved = base.copy()
            moved[i] += sign * h
            want[i] += sign * float((f(nl.tensor(moved)).numpy() * w).sum()) / (2 * h)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-5, atol=1e-7)


def test_gradient_through_a_change_of_dtype():
    x = nl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    (x.astype("float32") * 3).to("float64").sum().backward()
    assert x.grad.dtype == "float64"
    assert x.grad.tolist() == [3, 3]


def test_requires_grad():
    x = nl.zeros(2)
    x.requires_grad = True
    z = x * 2
    with pytest.raises(nl.GradError, match="leaves"):
        z.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(nl.DtypeError):
        nl.zeros(2, dtype="int64").requires_grad = True
    with pytest.raises(nl.DtypeError):
        nl.tensor([1, 2], requires_grad=True)


def test_detach_shares_storage():
    x = nl.ones(2, requires_grad=True)
    d = x.detach()
    assert not d.requires_grad
    assert np.shares_memory(d.numpy(), x.numpy())


def test_misuse():
    x = nl.ones(2, requires_grad=True)
    z = (x * x).sum()
    z.backward()
    with pytest.raises(nl.GradError, match="freed"):
        z.backward()
    with pytest.raises(nl.GradError, match="requires"):
        nl.ones(()).backward()
    with pytest.raises(nl.GradError, match="no derivative"):
        nl.sign(x).sum().backward()
    z = (x * x).sum()
    x.fill_(3)
    with pytest.raises(nl.GradError, match="changed in place"):
        z.backward()
    z = (x * x).sum()
    x.numpy()[0] = 1
    x.bump_version()
    with pytest.raises(nl.GradError, match="changed in place"):
        z.backward()
    with pytest.raises(nl.GradError):
        (x * 2).fill_(0)


def test_no_grad_as_context():
    x = nl.ones(2, requires_grad=True)
    assert nl.grad_enabled()
    off = nl.no_grad()
    with off:
        assert not nl.grad_enabled()
        assert not (x * 2).requires_grad
        with off, nl.no_grad():
            assert not nl.grad_enabled()
        assert not nl.grad_enabled()
    assert nl.grad_enabled()
    with pytest.raises(ZeroDivisionError), nl.no_grad():
        raise ZeroDivisionError
    assert nl.grad_enabled()


def test_no_grad_as_decorator():
    @nl.no_grad()
    def twice(x, *, deep=1):
        """Doc."""
        assert not nl.grad_enabled()
        return twice(x, deep=deep - 1) if deep else x * 2

    class Model:
        @nl.no_grad()
        def evaluate(self, x):
            return self, x * 2

    x = nl.ones(2, requires_grad=True)
    assert not twice(x, deep=3).requires_grad
    assert twice.__name__ == "twice"
    assert twice.__doc__ == "Doc."
    m = Model()
    assert m.evaluate(x)[0] is m
    assert not m.evaluate(x)[1].requires_grad
    assert nl.grad_enabled()


def test_no_grad_decorates_without_brackets_too():
    @nl.no_grad
    def twice(x, *, deep=1):
        """Doc."""
        assert not nl.grad_enabled()
        return twice(x, deep=deep - 1) if deep else x * 2

    class Model:
        @nl.no_grad
        def evaluate(self, x):
            return self, x * 2

    x, model = nl.ones(2, requires_grad=True), Model()
    assert not twice(x, deep=2).requires_grad and not model.evaluate(x)[1].requires_grad
    assert (twice.__name__, twice.__doc__, model.evaluate(x)[0]) == ("twice", "Doc.", model)
    assert nl.grad_enabled()
    with pytest.raises(TypeError, match="no_grad: takes a function or nothing; got False"):
        nl.no_grad(False)


def test_no_grad_is_this_threads():
    seen = []
    with nl.no_grad():
        thread = threading.Thread(target=lambda: seen.append(nl.grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_sparse_gradient():
    table = nl.ones((5, 2), requires_grad=True)
    nl.embedding(table, nl.tensor([3, 1, 3])).sum().backward()
    rows = table.sparse_grad
    assert rows.rows.tolist() == [1, 3]
    assert rows.values.tolist() == [[1, 1], [2, 2]]
    assert rows.shape == (5, 2)
    dense = [[0, 0], [1, 1], [0, 0], [2, 2], [0, 0]]
    assert rows.dense().tolist() == table.grad.tolist() == dense
    assert nl.ones(2).sparse_grad is None


def test_deep_graphs_do_not_recurse():
    x = nl.ones((), requires_grad=True)
    z = x
    for _ in range(200_000):
        z = z + x
    del z
    z = x
    for _ in range(50_000):
        z = z + x
    z.backward()
    assert x.grad.item() == 50_001


def test_gradient_of_arrays_shared_with_numpy():
    a = np.ones(3)
    x = nl.tensor(a, requires_grad=True)
    (x * x).sum().backward()
    a[:] = 7
    assert x.grad.tolist() == [2, 2, 2]
