"""The layer of networks on sparse features beside its formula in NumPy, in float64."""

import numpy as np
import pytest

import normlab as nl

V, E, N, P, H = 12, 5, 40, 6, 9


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.integers(0, V, size=(N, P)).astype(np.int32)
    names = {"table": (V, E), "weight": (P, E, H), "bias": (H,)}
    arrays = {name: rng.normal(size=shape) for name, shape in names.items()}
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
