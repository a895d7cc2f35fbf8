"""Sharing memory with NumPy and others: who copies, who keeps whom alive."""

import array
import gc
import re
import weakref

import numpy as np
import pytest

import normlab as nl

SHARED = ["float32", "float64", "int32", "int64", "uint8", "bool"]


def shares(a, b) -> bool:
    return np.shares_memory(np.asarray(a), np.asarray(b))


# --- from NumPy -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SHARED)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3, 4)])
def test_supported_arrays_are_shared(dtype, shape):
    a = np.ones(shape, dtype)
    t = nl.tensor(a)
    assert t.dtype == a.dtype
    assert t.shape == a.shape
    assert shares(t, a)
    a[...] = 0
    assert not np.any(t.numpy())
    assert not shares(nl.tensor(a, copy=True), a)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "a",
    [
        np.arange(12.0)[::2],
        np.arange(12.0)[::-1],
        np.arange(12.0).reshape(3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.broadcast_to(np.arange(3.0), (2, 3)),
        read_only(np.arange(3.0)),
        np.arange(3.0).astype(">f8"),
        np.arange(3).astype(">i4"),
        np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64),
    ],
    ids=["strided", "reversed", "transposed", "fortran", "broadcast", "read-only", "big-endian",
         "big-endian int", "unaligned"],
)  # fmt: skip
def test_other_layouts_are_copied(a):
    t = nl.tensor(a)
    assert not shares(t, a)
    assert np.array_equal(t.numpy(), a)
    assert t.dtype == a.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("given", "made"),
    [("float16", "float32"), ("longdouble", "float64"), ("int8", "int32"), ("int16", "int32"),
     ("uint16", "int32"), ("uint32", "int64"), ("uint64", "int64")],
)  # fmt: skip
def test_other_dtypes_are_converted(given, made):
    a = np.array([0, 1, 100], given)
    t = nl.tensor(a)
    assert t.dtype == made
    assert t.tolist() == [0, 1, 100]


def test_dtype_argument_converts():
    a = np.array([0.0, 1.5])
    assert nl.tensor(a, dtype="float32").tolist() == [0, 1.5]
    assert nl.tensor(a, dtype=np.int64).tolist() == [0, 1]
    assert nl.tensor(a, dtype=bool).tolist() == [False, True]
    assert shares(nl.tensor(a, dtype="float64"), a)


@pytest.mark.parametrize(
    "bad",
    [np.array([1j]), np.array([None]), np.array(["a"]), "text", b"bytes", [object()], None,
     np.array(["2020-01-01"], "datetime64[D]"), {"a": 1}, [1, "a"], 10**30,
     np.zeros(2, [("x", "f4")])],
    ids=lambda bad: re.sub(" at 0x[0-9a-f]+", "", repr(bad)),  # the same in every process
)  # fmt: skip
def test_what_is_not_numbers_is_refused(bad):
    with pytest.raises(nl.DtypeError, match="tensor: elements must be"):
        nl.tensor(bad)
    with pytest.raises(TypeError):
        nl.tensor(bad, dtype="float32")


def test_values_that_do_not_fit():
    with pytest.raises(nl.ArgumentError, match="int64"):
        nl.tensor(np.array([2**64 - 1], np.uint64))
    with pytest.raises(nl.ShapeError, match="length"):
        nl.tensor([[1, 2], [3]])
    with pytest.raises(nl.ShapeError, match="axes"):
        nl.tensor(np.zeros((1,) * 9))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_arrays(shape):
    t = nl.tensor(np.zeros(shape, np.float32))
    assert t.shape == shape
    assert t.numpy().shape == np.asarray(t).shape == np.from_dlpack(t).shape == shape


def test_buffers_and_sequences():
    a = array.array("d", [1, 2, 3])
    t = nl.tensor(a)
    assert t.dtype == "float64"
    assert t.tolist() == [1, 2, 3]
    assert nl.tensor(memoryview(a)).tolist() == [1, 2, 3]
    assert nl.tensor(range(3)).dtype == "int64"


def test_tensor_keeps_the_array_alive():
    class Tracked(np.ndarray):
        pass

    a = np.arange(5.0).view(Tracked)
    gone = weakref.ref(a)
    t = nl.tensor(a)
    view = t[1:3]
    del a
    gc.collect()
    assert gone() is not None
    assert t.tolist() == [0, 1, 2, 3, 4]
    del t
    gc.collect()
    assert view.tolist() == [1, 2]
    del view
    gc.collect()
    assert gone() is None


def test_no_references_are_left_behind():
    import sys

    a = np.arange(5.0)
    before = sys.getrefcount(a)
    for _ in range(100):
        nl.tensor(a).sum()
        np.from_dlpack(nl.tensor(a))
        nl.from_dlpack(a)
        nl.tensor(a).__dlpack__()
    gc.collect()
    assert sys.getrefcount(a) == before


# --- to NumPy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SHARED)
def test_views_of_a_tensor(dtype):
    t = nl.ones((2, 3), dtype=dtype)
    for view in (
        t.numpy(),
        np.asarray(t),
        np.from_dlpack(t),
        np.array(t, copy=False) if np.__version__ >= "2" else t.numpy(),
        np.asarray(memoryview(t)),
    ):
        assert view.dtype == dtype
        assert view.shape == (2, 3)
        assert np.all(view == 1)
        assert shares(view, t)
    assert t.numpy().flags.writeable
    assert not shares(np.array(t), t)


def test_array_outlives_the_tensor():
    gc.collect()
    before = nl.memory_stats()["in_use"]
    t = nl.full((1000,), 3)
    views = [t.numpy(), np.asarray(t), np.from_dlpack(t)]
    del t
    gc.collect()
    assert nl.memory_stats()["in_use"] > before
    while views:
        assert np.all(views.pop() == 3)
    gc.collect()
    assert nl.memory_stats()["in_use"] == before


def test_writing_through_the_view():
    t = nl.zeros(3)
    t.numpy()[1] = 5
    assert t.tolist() == [0, 5, 0]


def test_view_of_what_requires_a_gradient_is_detached():
    t = nl.ones(3, requires_grad=True)
    z = t * 2
    for x in (t, z):
        for view in (x.numpy(), np.asarray(x), np.from_dlpack(x)):
            assert view.sum() in (3, 6)
    z.sum().backward()
    assert t.grad.tolist() == [2, 2, 2]


def test_array_protocol_arguments():
    t = nl.tensor([1.5, 2.5])
    assert np.asarray(t, dtype="int64").tolist() == [1, 2]
    assert t.__array__(np.float64).dtype == "float64"
    assert not shares(t.__array__(copy=True), t)
    with pytest.raises(ValueError, match="copy"):
        t.__array__(np.float64, copy=False)
    assert np.exp(nl.zeros(2)).tolist() == [1, 1]
    assert np.stack([nl.zeros(2), nl.ones(2)]).tolist() == [[0, 0], [1, 1]]


def test_numpy_operators_are_recorded():
    a = np.array([1.0, 2.0], np.float32)
    for code, gradient in {
        "a + w": [1, 1],
        "a * w": [1, 2],
        "a @ w": [1, 2],
        "np.multiply(w, a)": [1, 2],
        "np.float64(3) * w": [3, 3],
        "np.float32(3) - w": [-1, -1],
        "np.array(3.0) * w": [3, 3],
        "np.power(w, 2)": [2, 2],
    }.items():
        w = nl.ones(2, requires_grad=True)
        z = eval(code, {"np": np, "a": a, "w": w})
        assert isinstance(z, nl.Tensor) and z.dtype == "float32", code
        z.sum().backward()
        assert w.grad.tolist() == gradient, code
    assert (a > nl.ones(2)).tolist() == [False, True]


def test_numpy_functions_do_not_drop_the_tape():
    w = nl.ones(2, requires_grad=True)
    for function, instead in {
        np.exp: r"np.exp: NumPy's functions are not recorded; use nl\.exp\(\.\.\.\), or x\.",
        np.absolute: r"use nl\.abs\(",
        np.tan: r"np.tan: .*; use x\.numpy\(\) for the values alone$",
        np.add.reduce: "np.add: ",
    }.items():
        with pytest.raises(nl.GradError, match=instead):
            function(w)
        with nl.no_grad():
            function(w)
        assert np.all(function(w.numpy()) == function(w.detach()))
    a = np.zeros(2, np.float32)
    a += nl.ones(2)  # into the array
    assert isinstance(a, np.ndarray) and a.tolist() == [1, 1]
    with pytest.raises(nl.GradError, match=r"np\.add"):
        a += w
    with pytest.raises(TypeError, match="out must be arrays"):
        np.add(a, a, out=nl.zeros(2))
    assert np.allclose(w, 1) and np.stack([w, w]).shape == (2, 2)


# --- DLPack -----------------------------------------------------------------------------------


class Exporter:
    """An object that is known by its DLPack methods only."""

    def __init__(self, a, **fixed):
        self.a = a
        self.fixed = fixed

    def __dlpack__(self, **kwargs):
        return self.a.__dlpack__(**(self.fixed or kwargs))

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


class OldExporter(Exporter):
    """From before DLPack 1.0: takes no max_version."""

    def __dlpack__(self, stream=None):
        return self.a.__dlpack__()


@pytest.mark.parametrize("dtype", SHARED)
@pytest.mark.parametrize("wrap", [Exporter, OldExporter])
def test_from_dlpack_shares(dtype, wrap):
    a = nl.ones((2, 3), dtype=dtype)
    for make in (nl.from_dlpack, nl.tensor):
        t = make(wrap(a))
        assert t.dtype == dtype
        assert t.shape == (2, 3)
        assert shares(t, a)


def test_from_dlpack_copies_what_it_cannot_share():
    a = np.arange(12.0).reshape(3, 4)
    assert shares(nl.from_dlpack(a), a)
    t = nl.from_dlpack(a.T)
    assert not shares(t, a)
    assert np.array_equal(t.numpy(), a.T)
    assert nl.from_dlpack(Exporter(a[:, 1:3])).tolist() == a[:, 1:3].tolist()
    assert nl.from_dlpack(Exporter(np.ones(3, np.float16))).dtype == "float32"


def test_dlpack_capsules():
    t = nl.ones(3)
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0)))
    assert '"dltensor"' in repr(t.__dlpack__())
    assert '"dltensor"' in repr(t.__dlpack__(max_version=(0, 8)))
    assert t.__dlpack_device__() == (1, 0)
    copied = nl.from_dlpack(Exporter(t, max_version=(1, 0), copy=True))
    assert not shares(copied, t)
    assert shares(nl.from_dlpack(Exporter(t, dl_device=(1, 0))), t)
    with pytest.raises(BufferError):
        t.__dlpack__(dl_device=(2, 0))
    with pytest.raises(nl.ArgumentError, match="stream"):
        t.__dlpack__(stream=1)


def test_dlpack_keeps_memory_alive():
    gc.collect()
    before = nl.memory_stats()["in_use"]
    capsule = nl.ones(1000).__dlpack__()
    assert nl.memory_stats()["in_use"] > before
    del capsule  # nobody took it
    assert nl.memory_stats()["in_use"] == before
    t = nl.from_dlpack(Exporter(nl.full((1000,), 2)))
    gc.collect()
    assert np.all(t.numpy() == 2)
    del t
    assert nl.memory_stats()["in_use"] == before


def test_dlpack_refusals():
    class Gpu(Exporter):
        def __dlpack_device__(self):
            return (10, 0)

    with pytest.raises(nl.DeviceError, match="CPU"):
        nl.from_dlpack(Gpu(np.ones(2)))
    with pytest.raises(nl.DtypeError, match=r"complex|code"):
        nl.from_dlpack(Exporter(np.ones(2, np.complex64)))
    with pytest.raises(nl.DtypeError, match="__dlpack__"):
        nl.from_dlpack([1, 2])


def test_torch_if_there():
    torch = pytest.importorskip("torch")
    a = torch.arange(6.0).reshape(2, 3)
    t = nl.from_dlpack(a)
    a[0, 0] = 9
    assert t[0, 0].item() == 9
    back = torch.from_dlpack(t)
    back[0, 1] = 8
    assert a[0, 1] == 8
