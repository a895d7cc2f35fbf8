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


def attention(q, k, v):
    """[heads, n, depth] each: the result, and the weights [heads, n, n]."""
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ v, weights


def gradients(q, k, v, dz):
    """Vaswani et al. 2017, eq. 1, by the chain rule: dq, dk, dv."""
    _, p = attention(q, k, v)
    dp = dz @ v.transpose(0, 2, 1)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return ds @ k, ds.transpose(0, 2, 1) @ q, p.transpose(0, 2, 1) @ dz


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-5)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(("heads", "depth"), [(1, 1), (2, 3), (4, 32), (1, 513)])
def test_attention_is_its_formula(heads, depth, dtype, tolerance):
    qkv, dz, offsets = packed(LENGTHS, heads, depth)
    x = nl.tensor(qkv.reshape(len(qkv), -1).astype(dtype), requires_grad=True)
    z = nl.attention(x, nl.tensor(offsets), heads)
    z.backward(nl.tensor(dz.reshape(len(dz), -1).astype(dtype)))
    result = z.numpy().reshape(dz.shape)
    gradient = x.grad.numpy().reshape(qkv.shape)
    for begin, end in itertools.pairwise(offsets):
        if begin == end:
            continue
        q, k, v = (qkv[begin:end, i].transpose(1, 0, 2) for i in range(3))
        g = dz[begin:end].transpose(1, 0, 2)
        expected, _ = attention(q, k, v)
        np.testing.assert_allclose(
            result[begin:end].transpose(1, 0, 2), expected, atol=tolerance, rtol=tolerance
        )
        for i, part in enumerate(gradients(q, k, v, g)):
            np.testing.assert_allclose(
                gradient[begin:end, i].transpose(1, 0, 2),
                part,
                atol=20 * tolerance,
                rtol=20 * tolerance,
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
