"""The GPU from Python; the engine's own tests compare its numbers with the CPU's."""

import contextlib
import ctypes
import gc
import os
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab.study import Study
from normlab.study.images import mnist_task
from normlab.study.loops import shuffled, train_pass

gpu = pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())


def test_without_a_gpu_the_reason_is_said(tmp_path: Path) -> None:
    if nl.cuda.is_available():
        assert nl.cuda.why_not() == ""
        return
    reason = nl.cuda.why_not()
    makers = [
        lambda: nl.zeros(2, device="cuda"),
        lambda: nl.tensor([1.0], device="cuda"),
        lambda: nl.randn(2, device="cuda"),
        lambda: nl.ones(2).to("cuda"),
        lambda: nl.nn.Linear(2, 2).to("cuda"),
        lambda: nl.cuda.Graph().capture(lambda: None),
        lambda: nl.cuda.stream(),
        lambda: Study([mnist_task()], ["none"], [0], tmp_path / "out", device="cuda").run(),
    ]
    for make in makers:
        with pytest.raises(nl.DeviceError) as error:
            make()
        assert reason in str(error.value)
    assert not (tmp_path / "out").exists()


@gpu
def test_a_forked_process_has_no_gpu() -> None:
    nl.ones(1, device="cuda").tolist()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(write, f"{nl.cuda.is_available()}: {nl.cuda.why_not()}".encode())
            nl.ones(1, device="cuda")
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    assert said.startswith("False: this process was forked"), said
    assert nl.cuda.is_available()


@gpu
def test_every_factory_takes_a_device() -> None:
    made = [
        nl.tensor([1.0, 2.0], device="cuda"),
        nl.zeros(2, device="cuda"),
        nl.ones((2, 3), device="cuda"),
        nl.full(2, 7, device="cuda"),
        nl.empty(2, device="cuda"),
        nl.arange(3, device="cuda"),
        nl.rand(3, device="cuda"),
        nl.randn(3, device="cuda"),
        nl.randint(0, 3, 4, device="cuda"),
        nl.permutation(5, device="cuda"),
    ]
    assert {t.device for t in made} == {"cuda"}
    assert nl.arange(3, device="cuda").tolist() == [0, 1, 2]
    leaf = nl.ones(2, device="cuda", requires_grad=True)
    assert leaf.requires_grad and leaf.is_leaf
    assert nl.tensor(leaf).device == "cuda"
    assert nl.tensor(leaf, device="cpu").tolist() == [1, 1]
    nl.manual_seed(1)
    here = nl.randn(5)
    nl.manual_seed(1)
    assert nl.randn(5, device="cuda").tolist() == here.tolist()


@gpu
def test_numpy_says_where_the_values_are() -> None:
    t = nl.ones((2, 2), device="cuda")
    for read in (t.numpy, lambda: np.asarray(t), lambda: memoryview(t)):
        with pytest.raises((nl.DeviceError, BufferError)):
            read()
    with pytest.raises(nl.DeviceError, match=r"x\.to\('cpu'\)"):
        t.numpy()
    assert np.asarray(t.to("cpu")).sum() == 4
    again = pickle.loads(pickle.dumps(t))
    assert again.device == "cuda"


@gpu
def test_modules_and_files(tmp_path: Path) -> None:
    model = nl.nn.Sequential(nl.nn.Linear(3, 4), nl.nn.Norm("batchnorm", 4))
    weight = model.parameters()[0]
    before = weight.tolist()
    assert model.to("cuda") is model
    assert {t.device for t in model.state().values()} == {"cuda"}
    assert weight.device == "cuda"
    assert weight.tolist() == before
    nl.save(tmp_path / "m", model.state())
    assert nl.load(tmp_path / "m")["0.weight"].device == "cpu"
    there = nl.load(tmp_path / "m", device="cuda")
    assert there["0.weight"].device == "cuda"
    assert nl.load_with_metadata(tmp_path / "m", device="cuda")[0]["0.weight"].tolist() == before
    model.to("cpu").load_state(there)
    assert weight.numpy().tolist() == before
    with pytest.raises(nl.ArgumentError, match="'cpu' or 'cuda'"):
        model.to("gpu")


# --- DLPack -----------------------------------------------------------------------------------


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    pass


Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(Managed))
Managed._fields_ = [("tensor", DLTensor), ("owner", ctypes.c_void_p), ("deleter", Deleter)]

new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype = ctypes.c_void_p
capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def facts(capsule: object) -> Managed:
    """What a consumer sees, as long as it keeps this."""
    managed = ctypes.cast(capsule_pointer(capsule, b"dltensor"), ctypes.POINTER(Managed)).contents
    managed.capsule = capsule
    return managed


class Producer:
    """Another library's tensor: lends the memory of one of ours."""

    def __init__(self, memory: nl.Tensor, shape=None, strides=None, code=2, device=(2, 0)):
        self.memory, self.deleted, self.stream, self.device = memory, 0, None, device
        shape = memory.shape if shape is None else shape
        given = facts(memory.__dlpack__(stream=-1) if memory.device == "cuda" else
                      memory.__dlpack__()).tensor  # fmt: skip
        self._shape = (ctypes.c_int64 * len(shape))(*shape)
        self._strides = (ctypes.c_int64 * len(shape))(*(strides or ()))
        self._deleter = Deleter(self._delete)
        self._managed = Managed(
            DLTensor(given.data, *device, len(shape), code, 32, 1, self._shape,
                     self._strides if strides else None, 0), None, self._deleter,
        )  # fmt: skip

    def _delete(self, _managed: object) -> None:
        self.deleted += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: int | None = None) -> object:  # from before DLPack 1.0
        self.stream = stream
        return new_capsule(ctypes.addressof(self._managed), b"dltensor", None)


@gpu
def test_dlpack_lends_memory_of_the_gpu() -> None:
    t = nl.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), device="cuda")[1:]
    assert t.__dlpack_device__() == (2, 0)
    for stream in (None, 1, 2, -1):
        lent = facts(t.__dlpack__(stream=stream)).tensor
        assert (lent.device_type, lent.device_id, lent.ndim) == (2, 0, 2)
        assert (lent.code, lent.bits) == (2, 32)
        assert list(lent.shape[:2]) == [1, 3]
    with pytest.raises(nl.ArgumentError, match="stream"):
        t.__dlpack__(stream=0)
    again = nl.from_dlpack(t)
    assert again.device == "cuda"
    assert facts(again.__dlpack__()).tensor.data == lent.data
    assert np.from_dlpack(t.to("cpu")).tolist() == [[3, 4, 5]]
    copy = t.__dlpack__(dl_device=(1, 0), max_version=(0, 8))
    assert facts(copy).tensor.device_type == 1
    for how in ({"dl_device": (1, 0), "copy": False}, {"dl_device": (10, 0)}):
        with pytest.raises(BufferError):
            t.__dlpack__(**how)
    with pytest.raises((BufferError, RuntimeError)):
        np.from_dlpack(t)


@gpu
def test_dlpack_takes_memory_of_the_gpu() -> None:
    memory = nl.tensor(np.arange(6, dtype=np.float32), device="cuda")
    producer = Producer(memory, shape=(2, 3))
    t = nl.from_dlpack(producer)
    assert producer.stream == nl.cuda.stream()
    assert t.device == "cuda"
    assert t.tolist() == [[0, 1, 2], [3, 4, 5]]
    memory.fill_(7)
    assert t.tolist() == [[7] * 3] * 2
    part = t[1:]
    del t
    assert producer.deleted == 0
    del part
    gc.collect()
    nl.cuda.synchronize()
    assert producer.deleted == 1
    assert nl.tensor(Producer(memory)).device == "cuda"

    one = Producer(memory, shape=(1, 6), strides=(1, 1))
    assert nl.from_dlpack(one).shape == (1, 6)
    with pytest.raises(nl.ShapeError, match="contiguous"):
        nl.from_dlpack(Producer(memory, shape=(3, 2), strides=(1, 3)))
    with pytest.raises(nl.DtypeError, match="type code 5"):
        nl.from_dlpack(Producer(memory, code=5))
    with pytest.raises(nl.DeviceError, match="number 1"):
        nl.from_dlpack(Producer(memory, device=(2, 1)))


def test_dlpack_of_a_gpu_that_is_not_there() -> None:
    if nl.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(nl.DeviceError, match="not available"):
        nl.from_dlpack(Producer(nl.ones(2)))
    with pytest.raises(nl.DeviceError, match="type 10"):
        nl.from_dlpack(Producer(nl.ones(2), device=(10, 0)))


@gpu
def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    theirs = torch.arange(6, dtype=torch.float32, device="cuda").reshape(2, 3)
    ours = nl.from_dlpack(theirs)
    theirs += 1
    assert ours.tolist() == theirs.tolist()
    back = torch.from_dlpack(ours * 2)
    assert back.device.type == "cuda"
    assert back.tolist() == (2 * theirs).tolist()


# --- graphs -----------------------------------------------------------------------------------


class Steps:
    """A small network's training, with dropout, on batches that are copied in."""

    def __init__(self) -> None:
        nl.manual_seed(3)
        self.model = nl.nn.Sequential(
            nl.nn.Linear(5, 16, activation="relu"),
            nl.nn.Norm("layernorm", 16),
            nl.nn.Dropout(0.5),
            nl.nn.Linear(16, 3),
        ).to("cuda")
        self.optimizer = nl.optim.Adam(self.model.parameters(), lr=0.01)
        self.x = nl.zeros((8, 5), device="cuda")
        self.y = nl.zeros(8, dtype="int64", device="cuda")
        self.data = nl.Generator(7)

    def feed(self) -> None:
        self.x.copy_(nl.randn((8, 5), generator=self.data))
        self.y.copy_(nl.randint(0, 3, 8, generator=self.data))

    def __call__(self) -> nl.Tensor:
        self.optimizer.zero_grad()
        loss = nl.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def values(self) -> list[object]:
        state = {**self.model.state(), **self.optimizer.state()}
        return [nl.get_rng_state(), *(t.tolist() for t in state.values())]


@gpu
def test_a_graph_replays_steps_bit_for_bit() -> None:
    def run(captured: bool) -> tuple[list[float], list[object]]:
        steps, losses = Steps(), []
        graph = nl.cuda.Graph()
        steps.feed()
        steps()
        if captured:
            loss = graph.capture(steps)
        for lr in (0.01, 0.02, 0.03, 0.01):
            steps.feed()
            steps.optimizer.lr = lr
            if captured:
                graph.replay()
            else:
                loss = steps()
            losses.append(loss.item())
        return losses, steps.values()

    assert run(captured=True) == run(captured=False)


@gpu
def test_a_graph_keeps_what_it_uses_and_says_what_it_cannot() -> None:
    graph = nl.cuda.Graph()
    assert not graph.captured
    with pytest.raises(nl.ArgumentError, match="nothing is captured"):
        graph.replay()
    steps = Steps()
    steps.feed()
    steps()
    loss = graph.capture(steps)
    gone = weakref.ref(steps)
    del steps
    gc.collect()
    graph.replay()
    assert np.isfinite(loss.item())
    nl.manual_seed(4)
    with pytest.raises(nl.ArgumentError, match="seed"):
        graph.replay()
    del graph
    gc.collect()
    assert gone() is None

    graph, steps = nl.cuda.Graph(), Steps()
    for body in (lambda: steps().item(), lambda: steps().to("cpu"), nl.cuda.synchronize):
        with pytest.raises(nl.DeviceError, match="a capture has no values yet"):
            graph.capture(body)
        assert not graph.captured
        assert np.isfinite(steps().item())
    with pytest.raises(ZeroDivisionError):
        graph.capture(lambda: 1 / 0)


@gpu
def test_a_captured_pass_is_the_pass() -> None:
    def run(capture: bool) -> tuple[object, list[object]]:
        steps = Steps()
        x = nl.randn((30, 5), generator=steps.data).to("cuda")
        y = nl.randint(0, 3, 30, generator=steps.data).to("cuda")

        def step(index: nl.Tensor) -> tuple[nl.Tensor, nl.Tensor, nl.Tensor]:
            logits, classes = steps.model(nl.take(x, index)), nl.take(y, index)
            return nl.cross_entropy(logits, classes), logits, classes

        batches = shuffled(30, 8, "cuda")  # the last one is shorter
        return train_pass(steps.optimizer, batches, 30, step, capture=capture), steps.values()

    assert run(capture=True) == run(capture=False)


# --- probes -----------------------------------------------------------------------------------


@gpu
def test_a_probe_reads_from_the_gpu() -> None:
    layer, x = nl.nn.Norm("layernorm", 8), nl.randn((4, 8))
    with nl.probe(layer) as here:
        layer(x)
    layer.to("cuda")
    with nl.probe(layer) as there:
        layer(x.to("cuda"))
    assert there.records[0].x.row_var == pytest.approx(here.records[0].x.row_var)
    assert there.records[0].z.norm == pytest.approx(here.records[0].z.norm)
