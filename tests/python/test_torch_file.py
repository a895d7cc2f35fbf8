"""Files of PyTorch: tensors come out, and nothing runs."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from torch_files import Name, Parameter, Storage, Tensor, Writer, archive, pickled, saved

import normlab as nl


def load(tmp_path, content, **options):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    return nl.load(path, **options)


def test_a_state(tmp_path):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    state = OrderedDict({"0.weight": weight, "0.bias": Parameter(np.ones(2, np.float32))})
    loaded = load(tmp_path, saved(state))
    assert list(loaded) == ["0.bias", "0.weight"]
    assert np.array_equal(loaded["0.weight"].numpy(), weight)
    assert not loaded["0.bias"].requires_grad
    net = nl.nn.Sequential(nl.nn.Linear(3, 2))
    net.load_state(loaded)
    assert np.array_equal(net[0].weight.numpy(), weight)


@pytest.mark.parametrize(
    ("dtype", "ours"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("int64", "int64"),
        ("int32", "int32"),
        ("int16", "int32"),
        ("int8", "int32"),
        ("uint8", "uint8"),
        ("bool", "bool"),
    ],
)
def test_types(tmp_path, dtype, ours):
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    if dtype.startswith(("f", "int")):
        array = array * np.array(-5, dtype)
    loaded = load(tmp_path, saved({"x": array, "none": np.zeros((0, 2), dtype)}))
    assert loaded["x"].dtype == ours
    assert np.array_equal(loaded["x"].numpy(), array)
    assert loaded["none"].shape == (0, 2)
    assert loaded["none"].dtype == ours


def test_bfloat16(tmp_path):
    bits = (np.array([1.5, -2, 3.25], np.float32).view("<u4") >> 16).astype("<u2")
    loaded = load(tmp_path, saved({"x": Tensor(Storage(bits, "BFloat16Storage"))}))
    assert str(loaded["x"].to("float32").tolist()) == "[1.5, -2.0, 3.25]"


def test_views(tmp_path):
    base = Storage(np.arange(12, dtype=np.float32))
    loaded = load(
        tmp_path,
        saved(
            {
                "all": Tensor(base),
                "tied": Tensor(base),
                "rows": Tensor(base, 3, (3, 3), (3, 1)),
                "transposed": Tensor(base, 0, (3, 4), (1, 3)),
                "every second": Tensor(base, 1, (6,), (2,)),
                "one": Tensor(base, 11, (), ()),
                "nothing": Tensor(base, 12, (0, 5), (5, 1)),
                "row": Tensor(base, 0, (1, 1, 4), (900, 70, 1)),
            }
        ),
    )
    x = np.arange(12, dtype=np.float32)
    assert np.array_equal(loaded["rows"].numpy(), x[3:].reshape(3, 3))
    assert np.array_equal(loaded["transposed"].numpy(), x.reshape(4, 3).T)
    assert loaded["every second"].tolist() == x[1::2].tolist()
    assert (loaded["one"].item(), loaded["one"].shape) == (11, ())
    assert loaded["nothing"].shape == (0, 5)
    assert loaded["row"].tolist() == [[[0, 1, 2, 3]]]
    loaded["all"].fill_(1)
    assert loaded["tied"].tolist() == [1] * 12


def test_a_checkpoint(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(
        saved(
            {
                "epoch": 3,
                "model": OrderedDict({"w": np.ones(2, np.float32)}),
                "optimizer": {"state": {0: {"exp_avg": np.zeros(2, np.float32)}}, "lr": 0.1},
                "history": [0.5, "text", None, True],
            }
        )
    )
    tensors, metadata = nl.load_with_metadata(path)
    assert list(tensors) == ["model.w", "optimizer.state.0.exp_avg"]
    assert metadata == {
        "epoch": "3",
        "optimizer.lr": "0.1",
        "history.0": "0.5",
        "history.1": "text",
        "history.3": "True",
    }
    assert list(load(tmp_path, saved(np.ones(3)))) == ["tensor"]
    assert load(tmp_path, saved({})) == {}


# --- hostile ones --------------------------------------------------------------------------------


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("call", "arguments"),
    [(os.system, ("touch owned",)), (eval, ("open('owned', 'w')",)), (getattr, ("", "join"))],
)
def test_nothing_runs(tmp_path, monkeypatch, protocol, call, arguments):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"x": Evil(call, *arguments)}, protocol)
    with pytest.raises(nl.FileError, match=r"model\.pt.*data\.pkl (asks for \w+\.|has the instr)"):
        load(tmp_path, archive(data, {}))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def instructions(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def doubled(i):
    """A list of twice the list of that number, as the next one."""
    return b"](h%ch%ceq%c" % (i, i, i + 1)


HOSTILE = {
    "a global": (saved({"x": Name("os", "system")}), r"asks for os\.system, which is no tensor"),
    "torch's own": (saved({"x": Name("torch", "load")}), r"asks for torch\.load"),
    "a dotted name": (
        archive(instructions(b"\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93"), {}),
        r"asks for collections\.OrderedDict\.fromkeys",
    ),
    "an extension": (archive(instructions(b"\x82\x01"), {}), "instruction EXT1"),
    "a class made anew": (archive(instructions(b"ccollections\nOrderedDict\n)\x81"), {}), "NEWOBJ"),
    "an instance": (archive(instructions(b"(ios\nsystem\n"), {}), "instruction INST"),
    "an object": (archive(instructions(b"(cos\nsystem\no"), {}), r"asks for os\.system"),
    "another persistent id": (archive(instructions(b"Phello\n"), {}), "instruction PERSID"),
    "state for a function": (
        archive(instructions(b"ctorch._utils\n_rebuild_tensor_v2\n}b"), {}),
        "is no tensor, number or text",
    ),
    "a call of a number": (archive(instructions(b"K\x01)R"), {}), "damaged: .* not callable"),
    "a call of a storage": (
        archive(instructions(b"ctorch\nFloatStorage\n)R"), {}),
        "damaged: .* not callable",
    ),
    "a call without arguments": (
        archive(instructions(b"ctorch._utils\n_rebuild_tensor_v2\n)R"), {}),
        "damaged: .* missing 4 required",
    ),
    "a call with a number": (
        archive(instructions(b"ctorch._utils\n_rebuild_tensor_v2\nK\x01R"), {}),
        "damaged: ",
    ),
    "nothing": (archive(b"", {}), "damaged: it ends too early"),
    "no end": (archive(b"\x80\x02}", {}), "damaged: it ends too early"),
    "an empty stack": (archive(instructions(), {}), "damaged: "),
    "beyond a mark": (archive(instructions(b"K\x01(\x85"), {}), "damaged"),
    "no mark": (archive(instructions(b"t"), {}), "damaged: "),
    "an odd dict": (archive(instructions(b"}(K\x01u"), {}), "damaged: "),
    "an unknown place": (archive(instructions(b"h\x07"), {}), "damaged: .* index 7"),
    "half a text": (archive(b"\x80\x02X\xff\xff\x00\x00abc", {}), "damaged: it ends too early"),
    "a list as a key": (archive(instructions(b"}]K\x01s"), {}), "a key that is neither"),
    "a deep key": (
        archive(instructions(b"})", b"\x85" * 100_000, b"K\x01s"), {}),
        "a key that is neither",
    ),
    "a key that takes forever to hash": (
        archive(instructions(b"})", b"q\x00h\x00\x86" * 60, b"K\x01s"), {}),
        "a key that is neither",
    ),
    "deep lists": (
        archive(instructions(b"]" * 100_000, b"a" * 99_999), {}),
        "or themselves",
    ),
    "half a character": (
        archive(instructions(b"}X\x03\0\0\0\xed\xa0\x80K\x01s"), {}),
        "is no text that can be written",
    ),
    "a later protocol": (archive(b"\x80\x63}.", {}), "protocol: 99"),
    "itself": (archive(instructions(b"]q\x00h\x00a"), {}), "or themselves"),
    "bombs": (archive(instructions(b"]q\x00", *map(doubled, range(30))), {}), "far more memory"),
    "a number where a name is": (saved({1: np.ones(1), "1": np.ones(1)}), "have the name '1'"),
    "beyond the storage": (
        saved({"x": Tensor(np.ones(4, np.float32), 1)}),
        r"shape \(4,\) .* does not lie within the 4 elements",
    ),
    "far beyond": (
        saved({"x": Tensor(np.ones(4, np.float32), 0, (2,), (2**62,))}),
        "does not lie within",
    ),
    "huge": (
        saved({"x": Tensor(np.ones(4, np.float32), 0, (2**40, 2**40), (0, 0))}),
        "does not lie within",
    ),
    "expanded": (
        saved({"x": Tensor(np.ones(4, np.float32), 0, (5,), (0,))}),
        "does not lie within",
    ),
    "a negative offset": (saved({"x": Tensor(np.ones(4), -1)}), "offset is no whole number"),
    "negative strides": (saved({"x": Tensor(np.ones(4), 3, (4,), (-1,))}), "stride is no whole"),
    "a shape of floats": (saved({"x": Tensor(np.ones(4), 0, (1.5,), (1,))}), "shape is no whole"),
    "more strides": (saved({"x": Tensor(np.ones(4), 0, (4,), (1, 1))}), "1 axes and 2 strides"),
    "empty, and of a length that no array has": (
        saved({"x": Tensor(np.ones(1), 0, (0, 2**62, 2**62), (1, 1, 1))}),
        "damaged: ",
    ),
    "many axes": (saved({"x": Tensor(np.ones(1), 0, (1,) * 9, (1,) * 9)}), "9 axes"),
    "a lying count": (
        saved({"x": Tensor(Storage(np.ones(4), count=5), 0, (5,), (1,))}),
        "32 bytes for 5 elements",
    ),
    "no bytes": (archive(pickled({"x": np.ones(4)})[0], {}), "data/0 is missing"),
    "other truths": (
        saved({"x": Tensor(Storage(np.array([0, 2], "u1"), "BoolStorage"))}),
        "neither 0 nor 1",
    ),
    "complex": (
        saved({"x": Tensor(Storage(np.ones(2, "c8"), "ComplexFloatStorage"))}),
        r"asks for torch\.ComplexFloatStorage",
    ),
    "packed": (saved({"x": np.ones(4)}, packed=True), "packed or encrypted"),
    "big-endian": (saved({"x": np.ones(4)}, byteorder=b"big"), "not little-endian"),
    "another archive": (archive(b"", {}).replace(b"data.pkl", b"data.txt"), "no data.pkl"),
    "cut off": (saved({"x": np.ones(400)})[:900], "no zip archive"),
    "a flipped bit": (
        saved({"x": np.full(4, 1.0)}).replace(np.full(4, 1.0).tobytes(), np.full(4, 2.0).tobytes()),
        "data/0 is damaged",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    content, said = HOSTILE[name]
    with pytest.raises(nl.FileError, match=rf'load: ".*model\.pt": .*{said}'):
        load(tmp_path, content)


def test_two_types_of_a_storage(tmp_path):
    writer = Writer()
    writer.out.write(b"\x80\x02}")
    shared = Storage(np.ones(4, np.float32))
    other = Storage(shared.array, "IntStorage")
    writer.storages = {id(shared): ("0", shared), id(other): ("0", other)}
    for key, storage in (("a", shared), ("b", other)):
        writer.value(key)
        writer.value(Tensor(storage))
        writer.out.write(b"s")
    writer.out.write(b".")
    content = archive(writer.out.getvalue(), {"0": shared.array.tobytes()})
    with pytest.raises(nl.FileError, match="data/0 is of two types"):
        load(tmp_path, content)


def test_transposes_cannot_fill_the_memory(tmp_path):
    base = Storage(np.zeros((512, 512), np.float32))
    many = {str(i): Tensor(base, i, (511, 510), (1, 512)) for i in range(40)}
    with pytest.raises(nl.FileError, match="far more memory"):
        load(tmp_path, saved(many))


def test_converted_views_cannot_fill_the_memory(tmp_path):
    base = Storage(np.zeros(1 << 18, np.int8))
    many = {str(i): Tensor(base, i, ((1 << 18) - i,), (1,)) for i in range(40)}
    with pytest.raises(nl.FileError, match="far more memory"):
        load(tmp_path, saved(many))


def test_names_and_texts_cannot_fill_the_memory(tmp_path):
    long = "a" * 100_000
    for value in ({long: [1] * 1000}, [long] * 1000):
        with pytest.raises(nl.FileError, match="names and texts take far more memory"):
            load(tmp_path, archive(pickle.dumps(value, 2), {}))


def test_a_far_place_takes_no_memory(tmp_path):
    assert load(tmp_path, archive(instructions(b"}r\xff\xff\xff\xff"), {})) == {}


def test_the_old_format(tmp_path):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    with pytest.raises(nl.FileError, match=r"PyTorch's format before 1\.6"):
        load(tmp_path, magic + pickle.dumps(1001, 2))


def test_every_cut_and_many_flips_are_told(tmp_path):
    content = saved({"x": np.arange(6, dtype=np.float32), "y": {"z": np.ones(2)}})
    random = np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(content)
        place = int(random.integers(len(broken)))
        if random.integers(2):
            del broken[place:]
        else:
            broken[place] ^= int(random.integers(1, 256))
        try:
            load(tmp_path, bytes(broken))
        except nl.FileError as error:
            assert "model.pt" in str(error)


# --- files that PyTorch 2.11 itself wrote: tests/reference/torch_state.py -------------------------

GOLDEN = Path(__file__).parent / "golden"


def expected():
    count = np.arange(12, dtype=np.float32)
    yield "0.weight", "float32", count.reshape(4, 3)
    for name in ("0.bias", "1.weight", "1.bias", "2.weight", "2.bias"):
        yield name, "float32", count[:4]
    for name in ("2.running_mean", "2.running_var"):
        yield name, "float32", count[:4]
    yield "2.num_batches_tracked", "int64", np.array(0)
    yield "view.rows", "float32", count[3:].reshape(3, 3)
    yield "view.transposed", "float32", count.reshape(4, 3).T
    yield "view.second", "float32", count[1::2]
    yield "scalar", "float32", np.array(2.5)
    yield "empty", "float32", np.zeros((0, 5))
    for dtype, ours in (
        *(("float64", "float64"), ("float16", "float32"), ("bfloat16", None)),
        *(("int64", "int64"), ("int32", "int32"), ("int16", "int32"), ("int8", "int32")),
        *(("uint8", "uint8"), ("bool", "bool")),
    ):
        yield f"dtype.{dtype}", ours, count[:5] != 0 if dtype == "bool" else count[:5]


def test_what_pytorch_wrote():
    loaded = nl.load(GOLDEN / "state.pt")
    values = list(expected())
    assert sorted(loaded) == sorted(key for key, _, _ in values)
    for key, dtype, array in values:
        assert dtype is None or loaded[key].dtype == dtype, key  # NumPy has no bfloat16
        assert loaded[key].shape == array.shape, key
        assert np.array_equal(loaded[key].to("float32").numpy(), array), key


def test_what_an_old_pytorch_wrote():
    with pytest.raises(nl.FileError, match=r"format before 1\.6; read it there and save it anew"):
        nl.load(GOLDEN / "state-legacy.pt")
