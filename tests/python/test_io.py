"""save and load."""

import io
import pickle
import zipfile

import numpy as np
import pytest

import normlab as nl


def sample():
    return {
        "weight": nl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        "f64": nl.ones(3, dtype="float64"),
        "i32": nl.ones((), dtype="int32"),
        "i64": nl.arange(4),
        "u8": nl.ones((2, 0), dtype="uint8"),
        "flags": nl.tensor([True, False]),
    }


@pytest.mark.parametrize("as_path", [str, lambda p: p], ids=["str", "PathLike"])
def test_round_trip(tmp_path, as_path):
    path = as_path(tmp_path / "ünïcode name.safetensors")
    nl.save(path, sample(), {"note": "text", "epoch": "3"})
    tensors, metadata = nl.load_with_metadata(path)
    assert metadata == {"note": "text", "epoch": "3"}
    assert tensors.keys() == sample().keys()
    for name, want in sample().items():
        assert tensors[name].dtype == want.dtype
        assert np.array_equal(tensors[name].numpy(), want.numpy())
        assert not tensors[name].requires_grad
    assert nl.load(path).keys() == tensors.keys()


def test_arrays_and_no_metadata(tmp_path):
    nl.save(tmp_path / "a", {"x": np.arange(3.0)})
    assert nl.load(tmp_path / "a")["x"].tolist() == [0, 1, 2]
    assert nl.load_with_metadata(tmp_path / "a")[1] == {}
    nl.save(tmp_path / "empty", {})
    assert nl.load(tmp_path / "empty") == {}


def test_others_read_it(tmp_path):
    st = pytest.importorskip("safetensors.numpy")
    nl.save(tmp_path / "ours", sample())
    theirs = st.load_file(tmp_path / "ours")
    for name, want in sample().items():
        assert np.array_equal(theirs[name], want.numpy())
    st.save_file({"x": np.arange(6.0).reshape(2, 3)}, tmp_path / "theirs", {"a": "b"})
    tensors, metadata = nl.load_with_metadata(tmp_path / "theirs")
    assert tensors["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert metadata == {"a": "b"}


def test_missing_file_is_an_os_error(tmp_path):
    for error in (nl.FileError, OSError, nl.Error):
        with pytest.raises(error, match="absent"):
            nl.load(tmp_path / "absent.safetensors")
    with pytest.raises(OSError, match="nowhere"):
        nl.save(tmp_path / "nowhere" / "x", {})


@pytest.mark.parametrize("content", [b"", b"123", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{]"])
def test_broken_files(tmp_path, content):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(nl.FileError, match="broken"):
        nl.load(path)


def foreign():
    """Files of other formats, and what is said of them."""
    zipped, array = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("model/data.txt", "1.0")
    np.save(array, np.zeros(3))
    return {
        "x.zip": (zipped.getvalue(), "is a zip archive, but none that torch.save has written"),
        "x.npy": (array.getvalue(), "is no safetensors file: it does not begin with the length"),
        "x.pkl": (pickle.dumps([0.5] * 9), "is no safetensors file: it does not begin with the"),
        "x.txt": (b"loss 0.5 at step 1", "is no safetensors file: it does not begin with the"),
    }


@pytest.mark.parametrize("name", foreign())
def test_foreign_files(tmp_path, name):
    content, said = foreign()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(nl.FileError, match=rf'{name}": {said}'):
        nl.load(tmp_path / name)


@pytest.mark.parametrize(
    ("dtype", "name", "ours"),
    [
        ("float16", "F16", "float32"),
        ("int8", "I8", "int32"),
        ("int16", "I16", "int32"),
        ("uint16", "U16", "int32"),
        ("uint32", "U32", "int64"),
        ("uint64", "U64", "int64"),
    ],
)
def test_types_that_there_are_none_of_here(tmp_path, dtype, name, ours):
    header = f'{{"x":{{"dtype":"{name}","shape":[%d],"data_offsets":[0,%d]}}}}'
    if dtype == "float16":  # all of them
        array = np.arange(2**16, dtype="u2").view(dtype)
    else:
        limits = np.iinfo(dtype)
        array = np.array([limits.min, 0, 1, limits.max], dtype)
    path = tmp_path / "x"

    def write(values, count):
        text = (header % (count, values.nbytes)).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + values.tobytes())

    if dtype == "uint64":
        write(array, 4)
        with pytest.raises(nl.FileError, match="U64 has numbers that int64 cannot hold"):
            nl.load(path)
        array = array[:3]
    write(array, len(array))
    x = nl.load(path)["x"]
    assert x.dtype == ours
    np.testing.assert_array_equal(x.numpy(), array.astype(ours))
    write(array, len(array) + 1)
    with pytest.raises(nl.FileError, match="does not fit"):
        nl.load(path)


def test_types_that_no_dtype_holds(tmp_path):
    text = b'{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + b"0")
    with pytest.raises(nl.FileError, match=r'dtype "F8_E4M3", known are I64, .*F16'):
        nl.load(tmp_path / "x")


def test_wrong_arguments(tmp_path):
    for bad in (
        lambda: nl.save(tmp_path / "x", {"a": "text"}),
        lambda: nl.save(tmp_path / "x", [nl.zeros(2)]),
        lambda: nl.save(tmp_path / "x", {1: nl.zeros(2)}),
        lambda: nl.save(tmp_path / "x", {}, {"a": 1}),
        lambda: nl.load(3),
    ):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(nl.ArgumentError):
        nl.save(tmp_path / "x", {"__metadata__": nl.zeros(2)})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_of_a_module(tmp_path):
    net = nl.nn.Sequential(nl.nn.Linear(3, 4), nl.nn.Norm("batchnorm", 4), nl.nn.Linear(4, 2))
    net(nl.randn((8, 3)))
    nl.save(tmp_path / "net", net.state())
    other = nl.nn.Sequential(nl.nn.Linear(3, 4), nl.nn.Norm("batchnorm", 4), nl.nn.Linear(4, 2))
    other.load_state(nl.load(tmp_path / "net"))
    x = nl.randn((5, 3))
    assert np.array_equal(net.eval()(x).numpy(), other.eval()(x).numpy())
