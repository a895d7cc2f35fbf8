"""The layers of networks on sparse features beside formulas in NumPy, in float64."""

import numpy as np
import pytest

import normlab as nl

V, E, N, P, H = 12, 5, 40, 6, 9
VARIANTS = ["layernorm", "adanorm", "detachnorm", "rmsnorm_simple"]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.integers(0, V, size=(N, P)).astype(np.int32)
    names = {"table": (V, E), "weight": (P, E, H), "bias": (H,), "gain": (P * E,)}
    arrays = {name: rng.normal(size=shape) for name, shape in names.items()}
    arrays["norm_bias"] = rng.normal(size=P * E)
    return features, arrays, rng.normal(size=(N, H))


def leaves(arrays, *names):
    return [nl.tensor(arrays[name], requires_grad=True) for name in names]


def by_row(features, dx):
    """The gradient of the joined rows as one of the table."""
    sums = np.zeros((V, E))
    np.add.at(sums, features, dx.reshape(N, P, E))
    return sums


def test_feature_linear_is_its_formula(data):
    features, arrays, dz = data
    table, weight, bias = leaves(arrays, "table", "weight", "bias")
    z = nl.feature_linear(table, nl.tensor(features), weight, bias)
    z.backward(nl.tensor(dz))
    x = arrays["table"][features].reshape(N, P * E)
    matrix = arrays["weight"].reshape(P * E, H)
    np.testing.assert_allclose(z.numpy(), x @ matrix + arrays["bias"], atol=1e-12)
    np.testing.assert_allclose(table.grad.numpy(), by_row(features, dz @ matrix.T), atol=1e-12)
    np.testing.assert_allclose(weight.grad.numpy().reshape(P * E, H), x.T @ dz, atol=1e-12)
    np.testing.assert_allclose(bias.grad.numpy(), dz.sum(0), atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_feature_norm_linear_is_its_formula(data, variant):
    """Xu et al., NeurIPS 2019, sections 2 to 4: y, then dx = R(dy) but for what is detached."""
    features, arrays, dz = data
    affine = variant == "layernorm"
    names = ["table", "weight", "bias"] + (["gain", "norm_bias"] if affine else [])
    table, weight, bias, *learned = leaves(arrays, *names)
    options = dict(zip(("gain", "norm_bias"), learned, strict=False))
    numbers = {"C": 1.5, "k": 0.2} if variant == "adanorm" else {}
    z = nl.feature_norm_linear(
        table, nl.tensor(features), weight, bias, variant, **options, eps=1e-3, **numbers
    )
    z.backward(nl.tensor(dz))

    x = arrays["table"][features].reshape(N, P * E)
    matrix = arrays["weight"].reshape(P * E, H)
    centred = x if variant == "rmsnorm_simple" else x - x.mean(1, keepdims=True)
    sigma = np.sqrt((centred**2).mean(1, keepdims=True) + 1e-3)
    y = centred / sigma
    factor = np.ones_like(y)
    if variant == "adanorm":
        factor = 1.5 * (1 - 0.2 * y)
    elif affine:
        factor = factor * arrays["gain"]
    out = factor * y + (arrays["norm_bias"] if affine else 0)
    np.testing.assert_allclose(z.numpy(), out @ matrix + arrays["bias"], atol=1e-12)

    u = dz @ matrix.T
    dy = factor * u
    dx = dy.copy()
    if variant != "detachnorm":
        dx -= y * (dy * y).mean(1, keepdims=True)
        if variant != "rmsnorm_simple":
            dx -= dy.mean(1, keepdims=True)
    np.testing.assert_allclose(table.grad.numpy(), by_row(features, dx / sigma), atol=1e-11)
    np.testing.assert_allclose(weight.grad.numpy().reshape(P * E, H), out.T @ dz, atol=1e-11)
    if affine:
        np.testing.assert_allclose(learned[0].grad.numpy(), (y * u).sum(0), atol=1e-11)
        np.testing.assert_allclose(learned[1].grad.numpy(), u.sum(0), atol=1e-11)


def test_feature_norm_linear_names_the_variants_that_split(data):
    features, arrays, _ = data
    table, weight = leaves(arrays, "table", "weight")
    with pytest.raises(nl.ArgumentError, match=r"'topk' does not split over features.*adanorm"):
        nl.feature_norm_linear(table, nl.tensor(features), weight, variant="topk")
