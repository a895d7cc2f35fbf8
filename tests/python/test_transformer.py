"""Transformer layer and encoder beside their formulas in NumPy."""

import numpy as np
import pytest

import normlab as nl

SIZE, HEADS, HIDDEN = 8, 2, 12
LENGTHS = [3, 0, 1, 5]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])


def layer_norm(x, gain, bias):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return gain * y + bias


def attend(x, p, offsets):
    qkv = x @ p["attention.qkv.weight"].T + p["attention.qkv.bias"]
    out = np.zeros_like(x)
    depth = SIZE // HEADS
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):  # noqa: RUF007
        for h in range(HEADS):
            q, k, v = (
                qkv[begin:end, i * SIZE + h * depth : i * SIZE + (h + 1) * depth] for i in range(3)
            )
            weights = np.exp(q @ k.T / np.sqrt(depth))
            out[begin:end, h * depth : (h + 1) * depth] = (
                weights / weights.sum(-1, keepdims=True) @ v
            )
    return out @ p["attention.out.weight"].T + p["attention.out.bias"]


def feed_forward(x, p):
    hidden = np.maximum(x @ p["up.weight"].T + p["up.bias"], 0)
    return hidden @ p["down.weight"].T + p["down.bias"]


def layer(x, p, offsets, pre_norm):
    def norm(x, i):
        return layer_norm(x, p[f"norm{i}.gain"], p[f"norm{i}.bias"])

    if pre_norm:
        y = x + attend(norm(x, 1), p, offsets)
        return y + feed_forward(norm(y, 2), p)
    y = norm(x + attend(x, p, offsets), 1)
    return norm(y + feed_forward(y, p), 2)


def encoder(x, p, offsets, layers, pre_norm):
    for i in range(layers):
        own = {k.removeprefix(f"{i}."): v for k, v in p.items() if k.startswith(f"{i}.")}
        x = layer(x, own, offsets, pre_norm)
    return layer_norm(x, p["norm.gain"], p["norm.bias"]) if pre_norm else x


def parameters(module):
    rng = np.random.default_rng(1)
    for _, value in module.named_parameters():  # gains of one and biases of zero hide mistakes
        value.copy_(
            nl.tensor(value.numpy() + 0.2 * rng.normal(size=value.shape).astype(np.float32))
        )
    return {name: value.numpy().astype(np.float64) for name, value in module.named_parameters()}


def numeric_gradient(f, x, dz, h=1e-6):
    gradient = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = h
        gradient[i] = ((f(x + step) - f(x - step)) * dz).sum() / (2 * h)
    return gradient


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_encoder_is_its_formula(pre_norm, layers):
    module = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, layers, pre_norm=pre_norm, dropout=0.3)
    p = parameters(module.eval())
    rng = np.random.default_rng(0)
    x, dz = rng.normal(size=(2, OFFSETS[-1], SIZE))
    given = nl.tensor(x.astype(np.float32), requires_grad=True)
    z = module(given, nl.tensor(OFFSETS))
    z.backward(nl.tensor(dz.astype(np.float32)))

    def formula(x):
        return encoder(x, p, OFFSETS, layers, pre_norm)

    np.testing.assert_allclose(z.numpy(), formula(x), atol=2e-5)
    np.testing.assert_allclose(given.grad.numpy(), numeric_gradient(formula, x, dz), atol=2e-4)


def test_one_sentence_needs_no_offsets():
    module = nl.nn.TransformerLayer(SIZE, HEADS, HIDDEN).eval()
    x = nl.randn((5, SIZE))
    whole = module(x, nl.tensor(np.array([0, 5])))
    np.testing.assert_array_equal(module(x).numpy(), whole.numpy())


def test_names_and_norms():
    module = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 2, norm="adanorm", C=1.5)
    names = [name for name, _ in module.named_modules()]
    assert [name for name in names if "norm" in name] == [
        "0.norm1", "0.norm2", "1.norm1", "1.norm2", "norm",
    ]  # fmt: skip
    post = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 1, pre_norm=False)
    assert "norm" not in [name for name, _ in post.named_modules()]
    for norm in nl.norm_variants():
        z = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 1, norm=norm)(nl.randn((4, SIZE)))
        assert np.isfinite(z.numpy()).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 6, "heads": 4}, "a positive multiple of heads, got size 6 and 4 heads"),
        ({"hidden": 0}, "hidden must be positive, got 0"),
        ({"layers": 0}, "layers must be positive, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1"),
        ({"norm": "layer"}, "layer"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(nl.ArgumentError, match=message):
        nl.nn.TransformerEncoder(**options)
