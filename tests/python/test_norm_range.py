"""Rows of every scale, of equal elements and of none; what a variant does not take."""

import numpy as np
import pytest

import normlab as nl
from normlab import nn

WITH_STATISTICS = [
    name
    for name in nl.norm_variants()
    if nl.norm_traits(name)["scale"] in ("std", "rms", "l2")
    and nl.norm_traits(name)["group"] == "row"
]
SCALES = {
    "float32": [3e-45, 1e-38, 1e-30, 1e-22, 1e-15, 1, 1e15, 1e19, 1e30, 8e37],
    "float64": [1e-322, 1e-300, 1e-160, 1, 1e155, 1e200, 4e307],
}


def exact(variant, rows, eps, std_eps):
    """Z in long double, whose range these rows do not leave."""
    x = rows.astype(np.longdouble)
    scale = nl.norm_traits(variant)["scale"]
    mean = x.mean(-1, keepdims=True) if scale == "std" else np.longdouble(0)
    d = x - mean
    size = x.shape[-1]
    count = 1 if scale == "l2" else size - 1 if std_eps and scale == "std" else size
    var = (d * d).sum(-1, keepdims=True) / count
    sigma = np.sqrt(var) + eps if std_eps else np.sqrt(var + np.longdouble(eps))
    y = d / sigma
    if variant == "adanorm":
        return (1 - np.longdouble("0.1") * y) * y
    return x + y if variant == "gradnorm" else y


@pytest.mark.parametrize("variant", WITH_STATISTICS)
@pytest.mark.parametrize("dtype", SCALES)
def test_a_row_of_any_scale_is_normalised(variant, dtype):
    rng = np.random.default_rng(1)
    base = np.clip(rng.standard_normal((len(SCALES[dtype]), 57)), -4, 4)
    rows = (base * np.array(SCALES[dtype])[:, None]).astype(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for eps in (0, 1e-5, 1e-60):
        for denominator in ("var_eps", "std_eps"):
            x = nl.tensor(rows)
            x.requires_grad = True
            z = nl.normalize(x, variant, eps=eps, denominator=denominator)
            want = exact(variant, rows, eps, denominator == "std_eps")
            size = np.abs(want).max(-1, keepdims=True)
            assert np.all(np.abs(z.numpy() - want) <= tolerance * size + 1e-44)
            z.backward(nl.ones(rows.shape, dtype=dtype))
            assert not np.any(np.isnan(x.grad.numpy()))


@pytest.mark.parametrize("variant", WITH_STATISTICS)
@pytest.mark.parametrize("dtype", SCALES)
def test_equal_elements_give_zero_with_any_eps(variant, dtype):
    zero_only = nl.norm_traits(variant)["scale"] != "std"
    values = [0.0] if zero_only else [0.0, 0.1, -1e-30, 12345.678, 3e38, 1e-45]
    for eps in (0, 1e-5):
        for denominator in ("var_eps", "std_eps"):
            for size in (2, 7, 401, 3000):
                rows = np.repeat(np.array(values, dtype)[:, None], size, axis=1)
                x = nl.tensor(rows)
                x.requires_grad = True
                z = nl.normalize(x, variant, eps=eps, denominator=denominator)
                y = z.numpy() - (rows if variant == "gradnorm" else 0)
                assert np.all(y == 0), "y = 0"
                z.backward(nl.randn(rows.shape, dtype=dtype))
                assert np.all(np.isfinite(x.grad.numpy()))
                if eps == 0:
                    assert np.all(x.grad.numpy() == 0), "the divisor is 0, and so is dx"


def test_a_row_of_one_element_is_zero():
    for value in (0.0, 2.5, 1e30, 1e-40):
        x = nl.tensor(np.full((3, 1), value, np.float32))
        assert np.all(nl.normalize(x, "layernorm", eps=0).numpy() == 0)


def test_infinity_and_nan_stay_in_their_row():
    rows = np.ones((3, 40), np.float32) * np.arange(40, dtype=np.float32)
    rows[1, 7] = np.nan
    for value in (np.nan, np.inf):
        rows[1, 7] = value
        z = nl.normalize(nl.tensor(rows), "layernorm").numpy()
        assert np.all(np.isnan(z[1])) and np.all(np.isfinite(z[[0, 2]]))


@pytest.mark.parametrize(
    ("variant", "options", "text"),
    [
        ("layernorm", {"C": 2}, "variant 'layernorm' takes no C, got 2"),
        ("layernorm", {"k": 0.2}, "variant 'layernorm' takes no k, got 0.2"),
        ("rmsnorm", {"topk_share": 0.1}, "variant 'rmsnorm' takes no topk_share, got 0.1"),
        ("adanorm", {"groups": 2}, "variant 'adanorm' takes no groups, got 2"),
        ("groupnorm", {"momentum": 0.5}, "variant 'groupnorm' takes no momentum, got 0.5"),
    ],
)
def test_options_of_another_variant_are_refused(variant, options, text):
    with pytest.raises(nl.ArgumentError, match=f"^normalize: {text}"):
        nl.normalize(nl.zeros(2, 8), variant, **options)
    with pytest.raises(ValueError, match=f"^Norm: {text}"):
        nn.Norm(variant, 8, **options)


def test_options_of_another_variant_are_refused_alpha_and_running():
    with pytest.raises(nl.ArgumentError, match="takes no alpha"):
        nl.normalize(nl.zeros(2, 8), "layernorm", alpha=nl.ones(1))
    with pytest.raises(nl.ArgumentError, match="takes no running_mean"):
        nl.normalize(nl.zeros(2, 8), "groupnorm", running_mean=nl.ones(8), running_var=nl.ones(8))
    refusal = "^Norm: variant 'groupnorm' takes no track_running_stats"
    with pytest.raises(nl.ArgumentError, match=refusal):
        nn.Norm("groupnorm", 8, track_running_stats=True)


def test_an_empty_batch_leaves_the_running_statistics_alone():
    for shape in ((0, 5), (0, 5, 3), (4, 5, 0)):
        norm = nn.Norm("batchnorm", shape[1:] if shape[-1] else 5)
        if not shape[-1]:
            mean, var = nl.zeros(5), nl.ones(5)
            z = nl.normalize(nl.zeros(*shape), "batchnorm", running_mean=mean, running_var=var)
        else:
            mean, var = norm.running_mean, norm.running_var
            z = norm(nl.zeros(*shape))
        assert z.shape == shape
        assert np.all(mean.numpy() == 0) and np.all(var.numpy() == 1)


def test_instancenorm_tracks_as_pytorchs_does():
    rng = np.random.default_rng(2)
    batches = [rng.normal(1, 2, (4, 3, 5, 5)).astype(np.float32) for _ in range(3)]
    norm = nn.Norm("instancenorm", (3, 5, 5), momentum=0.2, track_running_stats=True)
    assert "running_mean" not in nn.Norm("instancenorm", (3, 5, 5)).state()
    assert repr(norm) == "Norm('instancenorm', (3, 5, 5), momentum=0.2, track_running_stats=True)"
    mean, var = np.zeros(3), np.ones(3)
    for x in batches:
        norm(nl.tensor(x))
        mean = 0.8 * mean + 0.2 * x.mean((2, 3)).mean(0)
        var = 0.8 * var + 0.2 * x.var((2, 3), ddof=1).mean(0)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), var, rtol=1e-5)
    norm.eval()
    want = (batches[0] - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    np.testing.assert_allclose(norm(nl.tensor(batches[0])).numpy(), want, rtol=1e-4, atol=1e-5)
    again = nn.Norm("instancenorm", (3, 5, 5), track_running_stats=True)
    again.load_state(norm.state())
    again.eval()
    assert np.array_equal(again(nl.tensor(batches[1])).numpy(), norm(nl.tensor(batches[1])).numpy())


def test_a_variance_far_below_eps_is_tracked():
    x = np.random.default_rng(3).normal(5, 1e-3, (64, 4)).astype(np.float32)
    mean, var = nl.zeros(4), nl.zeros(4)
    nl.normalize(nl.tensor(x), "batchnorm", running_mean=mean, running_var=var, momentum=1, eps=10)
    np.testing.assert_allclose(var.numpy(), x.astype(np.float64).var(0, ddof=1), rtol=1e-4)
