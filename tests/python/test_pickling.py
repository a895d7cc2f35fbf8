"""pickle and copy of everything compiled: what was, or a refusal in words, in every protocol."""

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import normlab as nl
import normlab._core as core

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DTYPES = ["float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool"]
SHAPES = [(), (1,), (0,), (2, 0, 3), (2, 3), (1,) * 8]


def dtype_of(x: nl.Tensor) -> str:
    """NumPy has no bfloat16, so that x.dtype is an error."""
    return "bfloat16" if "dtype=bfloat16" in repr(x) else str(x.dtype)


def assert_same(a: nl.Tensor, b: nl.Tensor) -> None:
    assert a is not b and a.shape == b.shape and dtype_of(a) == dtype_of(b) and a.device == b.device
    assert a.requires_grad == b.requires_grad and b.is_leaf
    if dtype_of(a) == "bfloat16":
        a, b = a.detach().to("float32"), b.detach().to("float32")
    assert np.array_equal(a.numpy(), b.numpy())


def tensors() -> list[nl.Tensor]:
    made = []
    for dtype in DTYPES:
        for shape in SHAPES:
            x = nl.rand(shape, low=-3.0, high=3.0) > 0 if dtype == "bool" else None
            x = x if x is not None else nl.rand(shape, low=0.0, high=99.0).to(dtype)
            made.append(x)
            if "float" in dtype:
                made.append(nl.nn.Parameter(x.detach().clone()))
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors_come_back(protocol):
    for x in tensors():
        assert_same(x, pickle.loads(pickle.dumps(x, protocol=protocol)))
        # The version in Python takes another way than the one in C.
        assert_same(x, pickle._loads(pickle._dumps(x, protocol=protocol)))


def test_pickle_aborts_no_process():
    code = "import pickle, normlab as nl; print(len(pickle.dumps(nl.ones(2), protocol=0)) > 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def test_what_earlier_versions_wrote_is_read():
    old = pickle.dumps(Old(np.float32([[1.5, 2.5]]), True), protocol=2)
    x = pickle.loads(old.replace(b"test_pickling\nOld", b"normlab\nTensor"))
    assert isinstance(x, nl.Tensor) and x.requires_grad and x.tolist() == [[1.5, 2.5]]


class Old:
    """Pickles as tensors did before: its class by copyreg, and a state of three."""

    def __init__(self, array: Any, requires_grad: bool) -> None:
        self.state = (array, requires_grad, "cpu")

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        self.state = state


def test_bits_of_bfloat16_stay():
    bits = nl.tensor([1.0, -0.0, float("inf"), float("nan"), 1e-40, 3.140625]).to("bfloat16")
    back = pickle.loads(pickle.dumps(bits))
    assert str(back.to("float32").tolist()) == str(bits.to("float32").tolist())


def test_views_are_pickled_and_copied_on_their_own():
    base = nl.arange(6, dtype="float32").reshape(3, 2)
    row = base[1]
    assert len(pickle.dumps(nl.zeros(1_000_000)[:1])) < 1000
    for copies in (pickle.loads(pickle.dumps((base, row))), copy.deepcopy((base, row))):
        assert copies[1].tolist() == [2, 3]
        copies[0].fill_(9)
        assert copies[1].tolist() == [2, 3] and base.tolist()[1] == [2, 3]
    twice = pickle.loads(pickle.dumps([row, row]))
    assert twice[0] is twice[1]
    shared = copy.copy(row)
    shared.fill_(7)
    assert row.tolist() == [7, 7]


def test_gradients_stay_behind():
    p = nl.nn.Parameter(nl.ones(3))
    (p * 2).sum().backward()
    for made in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert made.requires_grad and made.is_leaf and made.grad is None
        (made * 3).sum().backward()
        assert made.grad.tolist() == [3, 3, 3] and p.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_results_of_recorded_operations_are_refused_in_words(protocol):
    x = nl.nn.Parameter(nl.ones(2)) * 2
    with pytest.raises(nl.GradError, match=r"^pickle: the result of a recorded op"):
        pickle.dumps(x, protocol=protocol)
    with pytest.raises(nl.GradError, match=r"^deepcopy: the result of a recorded op"):
        copy.deepcopy(x)


@pytest.mark.parametrize("state", [(), (1,), (np.ones(2), True, "cpu", "bfloat16", 1), ("a",) * 3])
def test_a_broken_state_is_an_error(state):
    with pytest.raises((nl.Error, TypeError, ValueError)):
        nl.Tensor.__new__(nl.Tensor).__setstate__(state)


def test_tensors_of_a_gpu_need_one():
    if nl.cuda.is_available():
        x = nl.tensor([1.5, 2.5], requires_grad=True, device="cuda")
        for made in (x, x.detach().to("bfloat16")):
            back = pickle.loads(pickle.dumps(made))
            assert back.device == "cuda"
            assert back.to("cpu").to("float32").tolist() == [1.5, 2.5]
        return
    x = nl.Tensor.__new__(nl.Tensor)
    with pytest.raises(nl.DeviceError, match="is not available"):
        x.__setstate__((np.ones(2, np.float32), False, "cuda"))


# --- every class ------------------------------------------------------------------------------


def classes() -> list[type]:
    modules = (core, core.nn, core.optim, core.text, core.cuda, core.parse)
    found = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and not issubclass(value, BaseException)
    ]
    assert len(found) > 40
    return found


# Prints what became of each class, line by line: a process that ends early is seen.
ALL = """
import copy, pickle, sys
import normlab as nl
from test_pickling import classes
for cls in classes():
    shell = cls.__new__(cls)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for dumps in (pickle.dumps, pickle._dumps):
            try:
                dumps(shell, protocol=protocol)
            except Exception as error:
                print(cls.__name__, protocol, type(error).__name__, str(error)[:60], flush=True)
            else:
                print(cls.__name__, protocol, "pickled", flush=True)
    for make in (copy.copy, copy.deepcopy):
        try:
            make(shell)
        except Exception as error:
            assert isinstance(error, (nl.Error, TypeError)), error
"""


def test_no_class_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", ALL],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=inspect.getfile(sys.modules[__name__]).rpartition("/")[0],
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1:], done.stderr)
    assert len(lines) == len(classes()) * len(PROTOCOLS) * 2
    for line in lines:  # shells are refused, whatever the class
        assert line.split(" ", 2)[2] != "pickled", line


def instances() -> list[Any]:
    word = nl.parse.Word("a", upos="DET", head=0, deprel="root")
    sentence = nl.parse.Sentence([word])
    vocabulary = nl.parse.Vocabulary(["a"], ["DET"], ["root"], "root")
    with nl.probe() as probe:
        nl.nn.Norm("layernorm", 4)(nl.randn(2, 4))
    table = nl.ones((5, 2), requires_grad=True)
    nl.embedding(table, nl.tensor([3, 1])).sum().backward()
    return [
        *(word, sentence, vocabulary, vocabulary.transitions, probe, probe.records[0]),
        *(probe.records[0].x, table.sparse_grad, core._NoGradGuard(), nl.cuda.Graph()),
        *(nl.text.Vocabulary(["a"]), nl.text.pack([[1, 2]]), nl.parse.Reader([])),
        nl.language.Vocabulary("a"),
        nl.parse.examples([sentence], vocabulary),
        nl.parse.score([sentence], [sentence]),
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_not_pickled_says_so(protocol):
    for value in instances():
        for refused in (
            lambda: pickle.dumps(value, protocol=protocol),  # noqa: B023
            lambda: copy.copy(value),  # noqa: B023
            lambda: copy.deepcopy(value),  # noqa: B023
        ):
            with pytest.raises(nl.DtypeError, match="cannot be copied or pickled") as caught:
                refused()
            assert type(value).__name__ in str(caught.value)


class Mine(nl.parse.Word):
    """A subclass that says how it is pickled."""

    def __reduce__(self) -> Any:
        return Mine, (self.form,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subclasses_may_say_how(protocol):
    word = pickle.loads(pickle.dumps(Mine("tree"), protocol=protocol))
    assert type(word) is Mine and word.form == "tree"
