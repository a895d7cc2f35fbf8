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
        archive.writestr("model/data.pkl", pickle.dumps([1.0]))
    np.save(array, np.zeros(3))
    return {
        "model.pt": (zipped.getvalue(), r"write it there with safetensors\.torch\.save_file\("),
        "x.npy": (array.getvalue(), "does not begin with the length of a header"),
        "x.pkl": (pickle.dumps([0.5] * 9), "does not begin with the length of a header"),
        "x.txt": (b"loss 0.5 at step 1", "does not begin with the length of a header"),
    }


@pytest.mark.parametrize("name", foreign())
def test_foreign_files(tmp_path, name):
    content, said = foreign()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(nl.FileError, match=rf'{name}": is no safetensors file.*{said}'):
        nl.load(tmp_path / name)


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
