"""Exceptions: their classes, what else they can be caught as, and their texts."""

import gc

import numpy as np
import pytest

import normlab as nl


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (nl.Error, (Exception,)),
        (nl.ArgumentError, (nl.Error, ValueError)),
        (nl.ShapeError, (nl.ArgumentError, ValueError)),
        (nl.DeviceError, (nl.ArgumentError, ValueError)),
        (nl.GradError, (nl.ArgumentError, ValueError)),
        (nl.DtypeError, (nl.Error, TypeError)),
        (nl.RangeError, (nl.Error, IndexError)),
        (nl.FileError, (nl.Error, OSError)),
        (nl.OutOfMemoryError, (nl.Error, MemoryError)),
    ],
)
def test_classes(error, bases):
    for base in bases:
        assert issubclass(error, base)
    assert error.__module__ == "normlab"
    assert error.__doc__
    assert str(error("op: text")) == "op: text"
    with pytest.raises(nl.Error):
        raise error("op: text")


def test_engine_errors_arrive_as_their_class(tmp_path):
    x = nl.zeros((2, 3))
    for error, fails in [
        (nl.ShapeError, lambda: x + nl.zeros((2, 4))),
        (nl.ShapeError, lambda: nl.matmul(x, x)),
        (nl.ArgumentError, lambda: nl.dropout(x, 2.0)),
        (nl.DtypeError, lambda: x + nl.zeros((2, 3), dtype="float64")),
        (nl.GradError, lambda: x.backward()),
        (nl.RangeError, lambda: nl.softmax(x, 5)),
        (nl.RangeError, lambda: x[2]),
        (nl.FileError, lambda: nl.load(tmp_path / "absent")),
        (nl.OutOfMemoryError, lambda: nl.zeros((1 << 45,))),
        (nl.ArgumentError, lambda: nl.norm_traits("no such norm")),
    ]:
        with pytest.raises(error) as caught:
            fails()
        assert type(caught.value) is error
        assert ": " in str(caught.value)


def test_texts_name_what_came():
    with pytest.raises(nl.ShapeError, match=r"\[2, 3\].*\[2, 4\]"):
        nl.zeros((2, 3)) + nl.zeros((2, 4))
    with pytest.raises(nl.RangeError, match="7"):
        nl.cross_entropy(nl.zeros((2, 3)), nl.tensor([0, 7]))
    with pytest.raises(nl.ArgumentError, match="layernorm"):
        nl.normalize(nl.zeros((2, 3)), "lay")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: nl.zeros(2, device="cuda"),
        lambda: nl.tensor([1.0], device="cuda"),
        lambda: nl.full(2, 1, device="cuda"),
        lambda: nl.zeros(2).to("cuda"),
    ],
)
def test_no_gpu_is_said_in_words(ask):
    if nl.cuda.is_available():
        pytest.skip("there is a device")
    assert nl.cuda.why_not()
    with pytest.raises(nl.DeviceError, match=r"cuda.*not available") as caught:
        ask()
    assert nl.cuda.why_not() in str(caught.value)
    assert nl.zeros(2).sum().item() == 0, "the process goes on"


@pytest.mark.parametrize("ask", ["properties", "synchronize", "memory_stats", "empty_cache"])
def test_what_needs_a_gpu_says_so(ask):
    if nl.cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(nl.DeviceError, match="not available"):
        getattr(nl.cuda, ask)()


def test_tf32_is_off_until_turned_on():
    assert not nl.cuda.tf32_allowed()
    nl.cuda.allow_tf32(True)
    try:
        assert nl.cuda.tf32_allowed()
    finally:
        nl.cuda.allow_tf32(False)
    assert not nl.cuda.tf32_allowed()


def test_unknown_device():
    with pytest.raises(nl.ArgumentError, match="'tpu'"):
        nl.zeros(2, device="tpu")


def test_wrong_types_are_type_errors():
    for bad in (
        lambda: nl.exp("a"),
        lambda: nl.zeros("a"),
        lambda: nl.zeros((1.5,)),
        lambda: nl.zeros((True, 2)),
        lambda: nl.matmul(nl.zeros((2, 2)), None),
        lambda: nl.linear(nl.zeros((2, 2)), nl.zeros((2, 2)), activation=3),
        lambda: nl.conv2d(nl.zeros((1, 1, 4, 4)), nl.zeros((1, 1, 2, 2)), stride=(1, 2, 3)),
    ):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(nl.ArgumentError, match="'swish'"):
        nl.linear(nl.zeros((2, 2)), nl.zeros((2, 2)), activation="swish")
    with pytest.raises(nl.ArgumentError, match="'median'"):
        nl.cross_entropy(nl.zeros((2, 3)), nl.tensor([0, 1]), reduction="median")
    with pytest.raises(nl.ArgumentError, match="stride"):
        nl.max_pool2d(nl.zeros((1, 1, 4, 4)), 2, 0)


def test_negative_shapes():
    with pytest.raises(nl.ShapeError, match="negative"):
        nl.zeros((2, -1))
    with pytest.raises(nl.ShapeError, match="memory can address"):
        nl.zeros((1 << 40, 1 << 40))


def test_no_product_of_lengths_overflows():
    for call in (
        lambda: nl.ones(4).reshape((1 << 62) + 1, 4),
        lambda: nl.ones(0).reshape(1 << 62, 4),
        lambda: nl.ones(4).reshape(-1, 1 << 32, 1 << 32),
        lambda: nl.zeros(0, 1 << 40, 1 << 40),
        lambda: nl.zeros(1 << 32, 1, 0) + nl.zeros(1, 1 << 32, 0),
    ):
        with pytest.raises(nl.ShapeError, match="memory can address"):
            call()
    with pytest.raises(nl.ShapeError, match=r"concat: axis 0 .* longer"):
        nl.concat([nl.zeros(1 << 61, 0, dtype="uint8")] * 8)


def test_every_public_name_has_a_docstring():
    for module in (nl, nl.nn, nl.optim):
        for name in module.__all__:
            value = getattr(module, name, None)
            if callable(value):
                assert value.__doc__, name
    for cls in (nl.Tensor, nl.nn.Module, nl.nn.Linear, nl.optim.Adam, nl.probe):
        for name in dir(cls):
            if not name.startswith("_"):
                assert getattr(cls, name).__doc__, f"{cls.__name__}.{name}"


def test_failing_ops_leave_no_memory_behind():
    gc.collect()
    before = nl.memory_stats()["in_use"]
    for _ in range(10):
        with pytest.raises(nl.ShapeError):
            nl.zeros((100, 3)) @ nl.zeros((100, 3))
        with pytest.raises(nl.DtypeError):
            nl.tensor(np.zeros(5), copy=True) + nl.zeros(5)
    assert nl.memory_stats()["in_use"] == before
