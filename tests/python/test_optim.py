"""Optimizers and schedules."""

import math

import numpy as np
import pytest

import normlab as nl


def parameter(values):
    return nl.nn.Parameter(nl.tensor(values, copy=True))


def descend(make, steps=3):
    p = parameter([1.0, -2.0, 3.0])
    opt = make([p])
    for _ in range(steps):
        opt.zero_grad()
        (p * p).sum().backward()
        opt.step()
    return p.numpy().copy()


def test_sgd():
    want = np.array([1.0, -2.0, 3.0])
    for _ in range(3):
        want = want - 0.1 * 2 * want
    np.testing.assert_allclose(descend(lambda p: nl.optim.SGD(p, lr=0.1)), want, rtol=1e-6)


def test_sgd_with_everything():
    w = np.array([1.0, -2.0, 3.0])
    v = np.zeros(3)
    for _ in range(3):
        g = 2 * w + 0.01 * w
        v = 0.9 * v + g
        w = w - 0.1 * (g + 0.9 * v)
    got = descend(lambda p: nl.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01))
    np.testing.assert_allclose(got, w, rtol=1e-5)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled):
    w = np.array([1.0, -2.0, 3.0])
    m, v = np.zeros(3), np.zeros(3)
    for t in range(1, 4):
        g = 2 * w if decoupled else 2 * w + 0.1 * w
        if decoupled:
            w = w - 0.01 * 0.1 * w
        m = 0.8 * m + 0.2 * g
        v = 0.9 * v + 0.1 * g * g
        w = w - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-6)
    cls = nl.optim.AdamW if decoupled else nl.optim.Adam
    got = descend(lambda p: cls(p, lr=0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1))
    np.testing.assert_allclose(got, w, rtol=1e-5)


def test_parameters_come_from_any_iterable():
    layers = nl.nn.Sequential(nl.nn.Linear(2, 3), nl.nn.Linear(3, 1))
    trained = filter(lambda p: p.ndim == 2, layers.parameters())
    assert [p.shape for p in nl.optim.Adam(trained).parameters()] == [(3, 2), (1, 3)]
    layers(nl.ones((1, 2))).sum().backward()
    named = dict(layers.named_parameters())
    assert nl.optim.clip_grad_norm(named.values(), 1e9).item() > 0
    for wrong in (named, "ab"):
        with pytest.raises(TypeError, match="params must be Iterable"):
            nl.optim.SGD(wrong, 0.1)
    with pytest.raises(TypeError, match=r"params\[1\] must be a Tensor or a .* pair, got int"):
        nl.optim.SGD([named["0.bias"], 3], 0.1)


def test_learning_rate():
    opt = nl.optim.SGD([parameter([1.0])], lr=0.1)
    assert opt.lr == 0.1
    opt.lr = 0.5
    assert opt.lr == 0.5
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(nl.ArgumentError, match="lr"):
            opt.lr = bad
    assert nl.optim.Adam([parameter([1.0])]).lr == 1e-3


def test_arguments():
    p = parameter([1.0])
    assert nl.optim.SGD((q for q in [p]), lr=1).parameters()[0].tolist() == [1]
    for bad in ([], [p, p], [nl.ones(1)]):
        with pytest.raises(nl.ArgumentError):
            nl.optim.Adam(bad)
    half = nl.ones(1).to("bfloat16")
    half.requires_grad = True
    with pytest.raises(nl.DtypeError, match="float32 or float64, got bfloat16"):
        nl.optim.Adam([half])
    with pytest.raises(TypeError):
        nl.optim.Adam(nl.nn.Linear(1, 1))
    with pytest.raises(TypeError):
        nl.optim.Optimizer()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: nl.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: nl.optim.Adam(p, lr=0.1),
        lambda p: nl.optim.AdamW(p, lr=0.1),
    ],
)
def test_resuming_changes_no_bit(make, tmp_path):
    def step(p, opt):
        opt.zero_grad()
        (p * p * p).sum().backward()
        opt.step()

    p = parameter(nl.randn(50))
    opt = make([p])
    for _ in range(3):
        step(p, opt)
    nl.save(tmp_path / "p", {"p": p})
    nl.save(tmp_path / "opt", opt.state())
    q = parameter(nl.load(tmp_path / "p")["p"])
    other = make([q])
    other.load_state(nl.load(tmp_path / "opt"))
    for _ in range(3):
        step(p, opt)
        step(q, other)
    assert np.array_equal(p.numpy(), q.numpy())
    with pytest.raises(nl.ArgumentError):
        other.load_state({"wrong": nl.ones(1)})


def test_clip_grad_norm():
    p, q = parameter([3.0]), parameter([4.0])
    p.grad, q.grad = nl.tensor([3.0]), nl.tensor([4.0])
    assert nl.optim.clip_grad_norm([p, q], 1.0).item() == pytest.approx(5)
    assert p.grad.item() == pytest.approx(0.6)
    assert nl.optim.clip_grad_norm([p, q], 9.0).item() == pytest.approx(1)
    assert q.grad.item() == pytest.approx(0.8)
    p.grad = nl.tensor([math.nan])
    with pytest.raises(nl.GradError):
        nl.optim.clip_grad_norm([p, q], 1.0)
    with pytest.raises(nl.ArgumentError):
        nl.optim.clip_grad_norm([q], 0.0)


def test_schedules():
    constant = nl.optim.constant(0.3)
    assert callable(constant)
    assert constant(1) == constant(100) == 0.3
    warm = nl.optim.linear_warmup(1.0, 10)
    assert [warm(5), warm(10), warm(99)] == pytest.approx([0.5, 1, 1])
    root = nl.optim.inverse_sqrt(1.0, 100, initial=0.1)
    assert [root(100), root(400)] == pytest.approx([1, 0.5])
    wave = nl.optim.cosine(1.0, 100, warmup=10, final=0.2)
    assert [wave(10), wave(55), wave(100), wave(500)] == pytest.approx([1, 0.6, 0.2, 0.2])
    opt = nl.optim.SGD([parameter([1.0])], lr=0.1)
    opt.lr = warm(5)
    assert opt.lr == pytest.approx(0.5)
    with pytest.raises(nl.ArgumentError):
        nl.optim.constant(-1.0)


def test_sparse_gradients_train():
    table = nl.nn.Embedding(6, 2)
    opt = nl.optim.Adam(table.parameters(), lr=0.1)
    before = table.weight.numpy().copy()
    table(nl.tensor([1, 4])).sum().backward()
    opt.step()
    changed = np.any(table.weight.numpy() != before, axis=1)
    assert changed.tolist() == [False, True, False, False, True, False]
