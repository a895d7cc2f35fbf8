"""conv2d's dilation, groups and padding, pools with padding, losses with weights, beside NumPy."""

import numpy as np
import pytest

import normlab as nl

rng = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def spread(x, kernel, stride, padding, dilation, value=0.0):
    """Windows of x (N, C, H, W): (N, C, OH, OW, KH, KW); padding is ((top, bottom), (left, right)).

    What lies in the padding is ``value``.
    """
    x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def conv(x, w, b, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    n = len(x)
    o, each = w.shape[:2]
    windows = spread(x, w.shape[2:], stride, padding, dilation)
    windows = windows.reshape(n, groups, each, *windows.shape[2:])
    weight = w.reshape(groups, o // groups, each, *w.shape[2:])
    z = np.einsum("ngcyxhw,gochw->ngoyx", windows, weight)
    return z.reshape(n, o, *z.shape[3:]) + b[:, None, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "w", "options", "padding"),
    [
        ((2, 3, 9, 8), (4, 3, 3, 3), {"dilation": 2}, ((0, 0), (0, 0))),
        ((2, 3, 9, 8), (4, 3, 3, 2), {"dilation": (1, 3), "padding": (2, 1)}, ((2, 2), (1, 1))),
        ((2, 4, 7, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1, "stride": 2}, ((1, 1), (1, 1))),
        ((2, 5, 7, 6), (5, 1, 3, 3), {"groups": 5, "padding": "same"}, ((1, 1), (1, 1))),
        ((2, 3, 7, 6), (4, 3, 2, 4), {"padding": "same"}, ((0, 1), (1, 2))),
        ((2, 3, 7, 6), (4, 3, 2, 4), {"padding": "same", "dilation": 3}, ((1, 2), (4, 5))),
        ((2, 3, 7, 6), (4, 3, 2, 4), {"padding": "valid"}, ((0, 0), (0, 0))),
    ],
)
def test_conv2d_is_numpy_s(x, w, options, padding, dtype):
    x, w, b = (numbers(*shape).astype(dtype) for shape in (x, w, w[:1]))
    pair = {
        name: value if isinstance(value, tuple) else (value, value)
        for name, value in options.items()
        if name in ("stride", "dilation")
    }
    want = conv(x, w, b, padding=padding, groups=options.get("groups", 1), **pair)
    got = nl.conv2d(nl.tensor(x), nl.tensor(w), nl.tensor(b), **options).numpy()
    assert got.shape == want.shape
    assert np.allclose(got, want, atol=1e-4 if dtype == "float32" else 1e-12)


def test_the_module_is_its_op_and_says_so():
    layer = nl.nn.Conv2d(6, 12, 3, padding="same", dilation=(2, 1), groups=3)
    assert layer.weight.shape == (12, 2, 3, 3)
    assert str(layer) == (
        "Conv2d(6, 12, kernel=3, stride=1, padding='same', dilation=(2, 1), groups=3)"
    )
    x = nl.randn((2, 6, 5, 4))
    want = nl.conv2d(x, layer.weight, layer.bias, padding="same", dilation=(2, 1), groups=3)
    assert np.array_equal(layer(x).numpy(), want.numpy())
    depthwise = nl.nn.Conv2d(4, 4, 3, 1, 1, 1, 4, False)  # PyTorch's order
    assert depthwise.bias is None
    assert depthwise(nl.ones((1, 4, 5, 5))).shape == (1, 4, 5, 5)
    assert str(nl.nn.Conv2d(1, 2, 3)) == "Conv2d(1, 2, kernel=3, stride=1, padding=0)"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda x, w: nl.conv2d(x, w, padding="full"),
            "conv2d: padding must be 'same', 'valid', an int or (height, width), got 'full'",
        ),
        (
            lambda x, w: nl.conv2d(x, w, padding="same", stride=2),
            "conv2d: padding 'same' needs stride 1, got 2 along h",
        ),
        (
            lambda x, w: nl.conv2d(x, w, groups=3),
            "conv2d: weight [2, 4, 3, 3] must have 3 groups of outputs, as many each, got 2",
        ),
        (
            lambda x, w: nl.conv2d(x, w, dilation=0),
            "conv2d: dilation_h must be in [1, 1073741824], got 0",
        ),
        (
            lambda x, w: nl.nn.Conv2d(4, 6, 3, groups=4),
            "Conv2d: groups must divide both numbers of channels, got 4 for 4 to 6",
        ),
        (
            lambda x, w: nl.nn.Conv2d(4, 4, 3, 1, 0, False),  # once the place of bias
            "; dilation must be int | tuple[int, int], got False",
        ),
        (
            lambda x, w: nl.conv2d(x, w, padding=1.5),
            "conv2d: padding must be int | tuple[int, int] | str, got 1.5",
        ),
        (
            lambda x, w: nl.max_pool2d(x, 3, padding=2),
            "max_pool2d: padding_h must be in [0, 1], at most half of the window's 3, got 2",
        ),
        (
            lambda x, w: nl.max_pool2d(x, 3, count_include_pad=False),
            "max_pool2d: no argument count_include_pad; it takes x, kernel, stride, padding",
        ),
    ],
)
def test_what_cannot_be_is_said(call, said):
    with pytest.raises((nl.Error, TypeError)) as error:
        call(nl.ones((1, 4, 5, 5)), nl.ones((2, 4, 3, 3)))
    assert str(error.value).endswith(said)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 2, 1), (2, None, 1), ((5, 2), (1, 3), (2, 0)), ((3, 4), 1, (0, 2))],
)
def test_padded_pools_are_numpy_s(kernel, stride, padding, dtype):
    x = (numbers(2, 3, 7, 9) - 4).astype(dtype)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride or kernel, padding)]
    sides = tuple((p, p) for p in pairs[2])

    def windows(of, value):
        return spread(of, pairs[0], pairs[1], sides, (1, 1), value)

    got = nl.tensor(x)
    z = nl.max_pool2d(got, kernel, stride, padding)
    assert np.array_equal(z.numpy(), windows(x, -np.inf).max(axis=(-2, -1)))
    close = {"atol": 1e-5 if dtype == "float32" else 1e-13}
    mean = nl.avg_pool2d(got, kernel, stride, padding)
    assert np.allclose(mean.numpy(), windows(x, 0).mean(axis=(-2, -1)), **close)
    bare = nl.avg_pool2d(got, kernel, stride, padding, count_include_pad=False)
    counts = windows(np.ones_like(x), 0).sum(axis=(-2, -1))
    assert np.allclose(bare.numpy(), windows(x, 0).sum(axis=(-2, -1)) / counts, **close)


def test_the_pool_modules_are_their_ops_and_say_so():
    x = nl.randn((2, 3, 8, 7))
    layer = nl.nn.MaxPool2d(3, 2, 1)
    assert np.array_equal(layer(x).numpy(), nl.max_pool2d(x, 3, 2, 1).numpy())
    assert str(layer) == "MaxPool2d(kernel=3, stride=2, padding=1)"
    mean = nl.nn.AvgPool2d(3, padding=(1, 0), count_include_pad=False)
    want = nl.avg_pool2d(x, 3, padding=(1, 0), count_include_pad=False)
    assert np.array_equal(mean(x).numpy(), want.numpy())
    assert str(mean) == "AvgPool2d(kernel=3, padding=(1, 0), count_include_pad=False)"


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_losses_are_pytorch_s(smoothing):
    x, w = numbers(4, 3, 6), rng.random(6) + 0.1
    classes = rng.integers(0, 6, (4, 3))
    classes[1, 2] = -1
    logp, counts = log_softmax(x), classes >= 0
    own = -np.take_along_axis(logp, np.maximum(classes, 0)[..., None], -1)[..., 0] * w[classes]
    each = ((1 - smoothing) * own - smoothing / 6 * (logp * w).sum(axis=-1)) * counts
    options = {"weight": nl.tensor(w), "ignore_index": -1, "label_smoothing": smoothing}

    def loss(reduction):
        got = nl.cross_entropy(nl.tensor(x), nl.tensor(classes), reduction=reduction, **options)
        return got.numpy()

    assert np.allclose(loss("none"), each)
    assert np.allclose(loss("sum"), each.sum())
    assert np.allclose(loss("mean"), each.sum() / (w[classes] * counts).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_of_probabilities_are_pytorch_s(smoothing, weighted):
    x, w = numbers(4, 3, 6), rng.random(6) + 0.1 if weighted else np.ones(6)
    t = rng.dirichlet(np.ones(6), (4, 3))
    logp = log_softmax(x)
    each = -(w * (t * (1 - smoothing) + smoothing / 6) * logp).sum(axis=-1)
    logits, targets = nl.tensor(x, requires_grad=True), nl.tensor(t, requires_grad=True)
    options = {"label_smoothing": smoothing, "weight": nl.tensor(w) if weighted else None}
    assert np.allclose(nl.cross_entropy(logits, targets, reduction="none", **options).numpy(), each)
    loss = nl.cross_entropy(logits, targets, **options)
    assert np.isclose(loss.item(), each.mean())
    loss.backward()
    q = w * (t * (1 - smoothing) + smoothing / 6)
    assert np.allclose(logits.grad.numpy(), (np.exp(logp) * q.sum(-1, keepdims=True) - q) / 12)
    assert np.allclose(targets.grad.numpy(), -w * (1 - smoothing) * logp / 12)


def test_a_weight_that_would_want_a_gradient_is_refused():
    weight = nl.nn.Parameter(nl.ones(3))
    with pytest.raises(nl.GradError, match="weight is a constant here and gets no gradient"):
        nl.cross_entropy(nl.zeros((2, 3)), nl.tensor([0, 1]), weight=weight)
