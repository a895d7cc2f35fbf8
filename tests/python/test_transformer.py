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


def attend_to(q, k, v, offsets, key_offsets, causal=False):
    out = np.zeros_like(q)
    depth = SIZE // HEADS
    for s in range(len(offsets) - 1):
        own, others = slice(*offsets[s : s + 2]), slice(*key_offsets[s : s + 2])
        for h in range(HEADS):
            head = slice(h * depth, (h + 1) * depth)
            weights = np.exp(q[own, head] @ k[others, head].T / np.sqrt(depth))
            if causal:
                n, m = weights.shape
                weights *= np.tri(n, m, m - n)
            out[own, head] = weights / weights.sum(-1, keepdims=True) @ v[others, head]
    return out


def linear(x, p, name):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def attend(x, p, offsets, causal=False):
    q, k, v = np.split(linear(x, p, "attention.qkv"), 3, axis=1)
    return linear(attend_to(q, k, v, offsets, offsets, causal), p, "attention.out")


def cross(x, memory, p, offsets, memory_offsets):
    k, v = np.split(linear(memory, p, "cross.key_value"), 2, axis=1)
    out = attend_to(linear(x, p, "cross.query"), k, v, offsets, memory_offsets)
    return linear(out, p, "cross.out")


def feed_forward(x, p):
    hidden = np.maximum(x @ p["up.weight"].T + p["up.bias"], 0)
    return hidden @ p["down.weight"].T + p["down.bias"]


def residual(x, p, i, pre_norm, f):
    def norm(x):
        return layer_norm(x, p[f"norm{i}.gain"], p[f"norm{i}.bias"])

    return x + f(norm(x)) if pre_norm else norm(x + f(x))


def layer(x, p, offsets, pre_norm, causal=False):
    y = residual(x, p, 1, pre_norm, lambda t: attend(t, p, offsets, causal))
    return residual(y, p, 2, pre_norm, lambda t: feed_forward(t, p))


def decoder_layer(x, memory, p, offsets, memory_offsets, pre_norm):
    y = residual(x, p, 1, pre_norm, lambda t: attend(t, p, offsets, causal=True))
    y = residual(y, p, 2, pre_norm, lambda t: cross(t, memory, p, offsets, memory_offsets))
    return residual(y, p, 3, pre_norm, lambda t: feed_forward(t, p))


def stack(x, p, layers, pre_norm, run):
    for i in range(layers):
        own = {k.removeprefix(f"{i}."): v for k, v in p.items() if k.startswith(f"{i}.")}
        x = run(x, own)
    return layer_norm(x, p["norm.gain"], p["norm.bias"]) if pre_norm else x


def encoder(x, p, offsets, layers, pre_norm, causal=False):
    return stack(x, p, layers, pre_norm, lambda x, own: layer(x, own, offsets, pre_norm, causal))


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
@pytest.mark.parametrize("causal", [False, True])
def test_the_encoder_is_its_formula(pre_norm, layers, causal):
    module = nl.nn.TransformerEncoder(
        SIZE, HEADS, HIDDEN, layers, pre_norm=pre_norm, dropout=0.3, causal=causal
    )
    p = parameters(module.eval())
    rng = np.random.default_rng(0)
    x, dz = rng.normal(size=(2, OFFSETS[-1], SIZE))
    given = nl.tensor(x.astype(np.float32), requires_grad=True)
    z = module(given, nl.tensor(OFFSETS))
    z.backward(nl.tensor(dz.astype(np.float32)))

    def formula(x):
        return encoder(x, p, OFFSETS, layers, pre_norm, causal)

    np.testing.assert_allclose(z.numpy(), formula(x), atol=2e-5)
    np.testing.assert_allclose(given.grad.numpy(), numeric_gradient(formula, x, dz), atol=2e-4)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_decoder_is_its_formula(pre_norm, layers):
    module = nl.nn.TransformerDecoder(SIZE, HEADS, HIDDEN, layers, pre_norm=pre_norm, dropout=0.3)
    p = parameters(module.eval())
    rng = np.random.default_rng(0)
    memory_offsets = np.cumsum([0, 4, 2, 1, 3])
    x, dz = rng.normal(size=(2, OFFSETS[-1], SIZE))
    memory = rng.normal(size=(10, SIZE))
    given = nl.tensor(x.astype(np.float32), requires_grad=True)
    beside = nl.tensor(memory.astype(np.float32), requires_grad=True)
    z = module(given, beside, nl.tensor(OFFSETS), nl.tensor(memory_offsets))
    z.backward(nl.tensor(dz.astype(np.float32)))

    def formula(x, memory):
        def run(x, own):
            return decoder_layer(x, memory, own, OFFSETS, memory_offsets, pre_norm)

        return stack(x, p, layers, pre_norm, run)

    np.testing.assert_allclose(z.numpy(), formula(x, memory), atol=2e-5)
    dx = numeric_gradient(lambda x: formula(x, memory), x, dz)
    np.testing.assert_allclose(given.grad.numpy(), dx, atol=2e-4)
    dmemory = numeric_gradient(lambda memory: formula(x, memory), memory, dz)
    np.testing.assert_allclose(beside.grad.numpy(), dmemory, atol=2e-4)


def test_one_sentence_needs_no_offsets():
    x, memory = nl.randn((5, SIZE)), nl.randn((3, SIZE))
    offsets, memory_offsets = nl.tensor(np.array([0, 5])), nl.tensor(np.array([0, 3]))
    module = nl.nn.TransformerLayer(SIZE, HEADS, HIDDEN).eval()
    np.testing.assert_array_equal(module(x).numpy(), module(x, offsets).numpy())
    for module in (nl.nn.TransformerDecoder(SIZE, HEADS, HIDDEN, 1), nl.nn.CrossAttention(SIZE, 2)):
        whole = module.eval()(x, memory, offsets, memory_offsets)
        np.testing.assert_array_equal(module(x, memory).numpy(), whole.numpy())


def test_the_future_does_not_change_the_past():
    module = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 2, causal=True).eval()
    x = nl.randn((9, SIZE))
    whole = module(x).numpy()
    np.testing.assert_allclose(module(x[:4]).numpy(), whole[:4], atol=1e-6)
    assert np.abs(module(x[4:]).numpy() - whole[4:]).max() > 1e-3


def test_parts_of_a_decoder_layer():
    module = nl.nn.TransformerDecoderLayer(SIZE, HEADS, HIDDEN, norm="rmsnorm")
    assert [name for name, _ in module.named_modules() if "." not in name] == [
        "norm1", "attention", "norm2", "cross", "norm3", "up", "down",
    ]  # fmt: skip
    assert dict(module.named_modules())["attention"]._arguments()["causal"]
    with pytest.raises(nl.ArgumentError, match=r"a memory: forward\(x, memory, offsets"):
        nl.nn.Sequential(module)(nl.zeros((2, SIZE)))


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
