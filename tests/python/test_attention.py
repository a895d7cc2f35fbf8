"""Attention and its gradient beside formulas in NumPy, in float64."""

import itertools

import numpy as np
import pytest

import normlab as nl

LENGTHS = [5, 0, 1, 43, 2]


def packed(lengths, heads, depth, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    qkv = rng.normal(size=(offsets[-1], 3, heads, depth))
    dz = rng.normal(size=(offsets[-1], heads, depth))
    return qkv, dz, offsets


def attention(q, k, v, causal=False):
    """q [heads, n, depth], k and v [heads, m, depth]: the result, and the weights [heads, n, m]."""
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    if causal:
        n, m = scores.shape[1:]
        scores[:, ~np.tri(n, m, m - n, dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ v, weights


def gradients(q, k, v, dz, causal=False):
    """Vaswani et al. 2017, eq. 1, by the chain rule: dq, dk, dv."""
    _, p = attention(q, k, v, causal)
    dp = dz @ v.transpose(0, 2, 1)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return ds @ k, ds.transpose(0, 2, 1) @ q, p.transpose(0, 2, 1) @ dz


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-5)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(("heads", "depth"), [(1, 1), (2, 3), (4, 32), (1, 513)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_formula(heads, depth, dtype, tolerance, causal):
    qkv, dz, offsets = packed(LENGTHS, heads, depth)
    x = nl.tensor(qkv.reshape(len(qkv), -1).astype(dtype), requires_grad=True)
    z = nl.attention(x, nl.tensor(offsets), heads, causal)
    z.backward(nl.tensor(dz.reshape(len(dz), -1).astype(dtype)))
    result = z.numpy().reshape(dz.shape)
    gradient = x.grad.numpy().reshape(qkv.shape)
    for begin, end in itertools.pairwise(offsets):
        if begin == end:
            continue
        q, k, v = (qkv[begin:end, i].transpose(1, 0, 2) for i in range(3))
        g = dz[begin:end].transpose(1, 0, 2)
        expected, _ = attention(q, k, v, causal)
        np.testing.assert_allclose(
            result[begin:end].transpose(1, 0, 2), expected, atol=tolerance, rtol=tolerance
        )
        for i, part in enumerate(gradients(q, k, v, g, causal)):
            np.testing.assert_allclose(
                gradient[begin:end, i].transpose(1, 0, 2),
                part,
                atol=20 * tolerance,
                rtol=20 * tolerance,
            )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-5)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(("heads", "depth"), [(1, 1), (2, 3), (4, 32), (1, 65)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys"), [([1], [1]), ([3, 0, 1, 0], [5, 2, 513, 0]), ([43, 513], [60, 513])]
)
def test_cross_attention_is_its_formula(queries, keys, heads, depth, dtype, tolerance, causal):
    rng = np.random.default_rng(3)
    at, key_at = (np.concatenate([[0], np.cumsum(n)]).astype(np.int64) for n in (queries, keys))
    q, dz = rng.normal(size=(2, at[-1], heads, depth))
    kv = rng.normal(size=(key_at[-1], 2, heads, depth))
    given = [nl.tensor(x.reshape(len(x), -1).astype(dtype), requires_grad=True) for x in (q, kv)]
    z = nl.cross_attention(*given, nl.tensor(at), nl.tensor(key_at), heads, causal)
    z.backward(nl.tensor(dz.reshape(len(dz), -1).astype(dtype)))
    expected, dq, dkv = np.zeros_like(q), np.zeros_like(q), np.zeros_like(kv)
    for s in range(len(queries)):
        own, others = slice(at[s], at[s + 1]), slice(key_at[s], key_at[s + 1])
        if queries[s] == 0:
            continue
        parts = [x.transpose(1, 0, 2) for x in (q[own], kv[others, 0], kv[others, 1])]
        expected[own] = attention(*parts, causal)[0].transpose(1, 0, 2)
        found = gradients(*parts, dz[own].transpose(1, 0, 2), causal)
        dq[own], dkv[others, 0], dkv[others, 1] = (x.transpose(1, 0, 2) for x in found)
    for got, want, factor in (
        (z, expected, 1), (given[0].grad, dq, 20), (given[1].grad, dkv, 20),
    ):  # fmt: skip
        np.testing.assert_allclose(
            got.numpy().reshape(want.shape), want, atol=factor * tolerance, rtol=factor * tolerance
        )


def test_a_sentence_of_two_thousand_words():
    qkv, _, offsets = packed([2000], 2, 8, seed=1)
    x = nl.tensor(qkv.reshape(2000, -1).astype(np.float32))
    z = nl.attention(x, nl.tensor(offsets), 2).numpy().reshape(2000, 2, 8)
    expected, _ = attention(*(qkv[:, i].transpose(1, 0, 2) for i in range(3)))
    np.testing.assert_allclose(z.transpose(1, 0, 2), expected, atol=1e-5)


def test_segment_mean_is_its_formula():
    x = nl.tensor(np.random.default_rng(0).normal(size=(6, 3)), requires_grad=True)
    z = nl.segment_mean(x, nl.tensor(np.array([0, 4, 4, 6])))
    rows = x.numpy()
    np.testing.assert_allclose(z.numpy(), [rows[:4].mean(0), np.zeros(3), rows[4:].mean(0)])
    z.backward(nl.tensor(np.arange(9.0).reshape(3, 3)))
    lengths = np.array([4, 2])
    expected = np.repeat(np.array([[0, 1, 2], [6, 7, 8]]) / lengths[:, None], lengths, axis=0)
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_errors_name_what_came():
    x = nl.zeros((4, 12))
    with pytest.raises(nl.ShapeError, match=r"D a multiple of 3 heads, got \[4, 12\]"):
        nl.attention(x, nl.tensor(np.array([0, 4])), 3)
    with pytest.raises(nl.ArgumentError, match="end with the number of rows, 4, got 3"):
        nl.attention(x, nl.tensor(np.array([0, 3])), 2)
    q, kv = nl.zeros((4, 6)), nl.zeros((4, 12))
    with pytest.raises(nl.ArgumentError, match="sentence 1 has 1 queries and no key"):
        nl.cross_attention(q, kv, nl.tensor([0, 3, 4]), nl.tensor([0, 4, 4]), 2)
    with pytest.raises(nl.ArgumentError, match="sentence 0 has 3 queries and 2 keys"):
        nl.cross_attention(q, kv, nl.tensor([0, 3, 4]), nl.tensor([0, 2, 4]), 2, causal=True)
