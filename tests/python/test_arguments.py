"""The argument that is wrong is the one that the error names, down to the item inside."""

import os
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import normlab as nl

HALF = "\ud800"
NUL = "a\0b"
HUGE = 2**70

T = nl.ones(2, 2)


def said(error: type[Exception], call: Any) -> str:
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, nl.Error) and "\n" not in str(caught.value)
    return str(caught.value)


# --- paths ------------------------------------------------------------------------------------

SENTENCE = nl.parse.Sentence(["a"])
PATHS: dict[str, Any] = {
    "save": lambda path: nl.save(path, {"a": T}),
    "load": nl.load,
    "load_with_metadata": nl.load_with_metadata,
    "text.load_model": nl.text.load_model,
    "language.load_model": nl.language.load_model,
    "parse.load_model": nl.parse.load_model,
    "read_conllu": nl.parse.read_conllu,
    "write_conllu": lambda path: nl.parse.write_conllu(path, [SENTENCE]),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", [NUL, NUL.encode()])
def test_a_path_with_nul_is_what_is_accused(name, path):
    text = said(nl.ArgumentError, lambda: PATHS[name](path))
    function = name.rpartition(".")[2]
    assert text == f"{function}: path must be PathLike, got {path!r}: a path has no NUL characters"


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_no_file_can_have(name):
    text = said(nl.ArgumentError, lambda: PATHS[name](f"/tmp/{HALF}"))
    assert ": path must be PathLike, got " in text and "surrogates" in text


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_not_utf8_is_a_path(name, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path / "none") + b"/\xff")
    text = said(nl.FileError, lambda: PATHS[name](path))
    assert path.replace("\udcff", "?") in text


def test_files_whose_name_is_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.safetensors")
    nl.save(path, {"a": T})
    assert nl.load(path)["a"].tolist() == T.tolist()


# --- what is inside ---------------------------------------------------------------------------

INSIDE: dict[str, tuple[Any, str]] = {
    "a value of a dict": (
        lambda: nl.save("x", {"a": T, "b": None}),  # type: ignore[dict-item]
        "save: tensors['b'] must be Tensor, got None",
    ),
    "a key of a dict": (
        lambda: nl.save("x", {"a": T, 1: T}),  # type: ignore[dict-item]
        "save: a key of tensors must be str, got 1",
    ),
    "another dict": (
        lambda: nl.save("x", {"a": T}, metadata={"n": 3}),  # type: ignore[dict-item]
        "save: metadata['n'] must be str, got 3",
    ),
    "a state": (
        lambda: nl.nn.Linear(2, 2).load_state({"weight": T, "bias": [1, 2]}),  # type: ignore[dict-item]
        "load_state: state['bias'] must be Tensor, got [1, 2]",
    ),
    "an array that is no tensor": (
        lambda: nl.save("x", {"a": np.array(["b"])}),  # type: ignore[dict-item]
        "save: tensors['a'] must be Tensor; tensor: elements must be real numbers or booleans, "
        "got dtype <U1",
    ),
    "an item of a list": (
        lambda: nl.concat([T, T, "a"]),  # type: ignore[list-item]
        "concat: parts[2] must be Tensor, got 'a'",
    ),
    "a parameter": (
        lambda: nl.optim.Adam([nl.nn.Parameter(T.clone()), None]),  # type: ignore[list-item]
        "optimizer: params[1] must be a Tensor or a (name, Tensor) pair, got NoneType",
    ),
    "a parameter of an iterator": (
        lambda: nl.optim.Adam(iter([nl.nn.Parameter(T.clone()), 3])),  # type: ignore[list-item]
        "optimizer: params[1] must be a Tensor or a (name, Tensor) pair, got int",
    ),
    "a length": (
        lambda: nl.zeros((2, 2.5)),  # type: ignore[arg-type]
        "zeros: shape[1] must be int, got 2.5",
    ),
    "a word": (
        lambda: nl.text.Vocabulary(["a", 3]),  # type: ignore[list-item]
        "Vocabulary: words[1] must be str, got 3",
    ),
    "a list of a list": (
        lambda: nl.text.Vocabulary.of([["a"], ["b", None]]),  # type: ignore[list-item]
        "of: sentences[1][1] must be str, got None",
    ),
    "one of several types": (
        lambda: nl.parse.Sentence(["a", 3]),  # type: ignore[list-item]
        "Sentence: words[1] must be Word | str, got 3",
    ),
    "of an overload": (
        lambda: nl.parse.check_tree([0, "a"]),  # type: ignore[list-item]
        "check_tree: tree[1] must be int | None, got 'a'",
    ),
    "a pair": (
        lambda: nl.optim.Adam([nl.nn.Parameter(T.clone())], betas=(0.9, "a")),  # type: ignore[arg-type]
        "Adam: betas[1] must be float, got 'a'",
    ),
    "half a pair": (
        lambda: nl.optim.Adam([nl.nn.Parameter(T.clone())], betas=(0.9,)),  # type: ignore[arg-type]
        "Adam: betas must be tuple[float, float], got (0.9,)",
    ),
}


@pytest.mark.parametrize("what", INSIDE)
def test_the_item_is_named(what):
    call, text = INSIDE[what]
    assert said(nl.DtypeError, call).startswith(text)


# --- values of the right type -----------------------------------------------------------------

VALUES: dict[str, tuple[Any, str]] = {
    "text": (
        lambda: nl.text.tokenize(f"a {HALF}"),
        "tokenize: line must be str; there is half a surrogate pair at 2",
    ),
    "text in a list": (
        lambda: nl.text.Vocabulary(["a", HALF]),
        "Vocabulary: words[1] must be str; there is half a surrogate pair at 0",
    ),
    "a key": (lambda: nl.save("x", {HALF: T}), "save: a key of tensors must be str; there is half"),
    "text that may be bytes": (
        lambda: nl.parse.sentence_of(f"a {HALF}"),
        "sentence_of: line must be text; there is half a surrogate pair at 2",
    ),
    "lines": (
        lambda: next(nl.parse.Reader(["# a", HALF])),
        "Reader: lines must be text; there is half a surrogate pair at 0",
    ),
    "an option": (lambda: nl.normalize(T, HALF), "normalize: variant must be str; there is half"),
    "an integer": (lambda: nl.nn.Linear(HUGE, 3), "Linear: in_size must fit 64 bits, got 11"),
    "a length": (lambda: nl.zeros((2, HUGE)), "integer: must fit 64 bits, got one of 71 bits"),
    "lengths": (lambda: nl.zeros(2, HUGE), "integer: must fit 64 bits, got one of 71 bits"),
    "an axis": (lambda: T.sum(HUGE), "integer: must fit 64 bits, got one of 71 bits"),
    "a float": (
        lambda: nl.optim.constant(10**400),
        "constant: lr must fit 64 bits, got an integer of 1329 bits",
    ),
    "an array": (
        lambda: nl.relu(np.array([2**64 - 1], np.uint64)),
        "relu: x must be Tensor; tensor: value 18446744073709551615 does not fit int64",
    ),
    "axes of an array": (
        lambda: nl.relu(np.ones((1,) * 9, np.float32)),
        "relu: x must be Tensor; ",
    ),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_value_of_the_right_type_is_an_argument_error(what):
    call, text = VALUES[what]
    assert said(nl.ArgumentError, call).startswith(text)


INTEGERS: dict[str, Any] = {
    "n": nl.arange,
    "in_size": lambda n: nl.nn.Linear(n, 2),
    "high": lambda n: nl.randint(0, n, 2),
    "groups": lambda n: nl.normalize(nl.ones(2, 3), "groupnorm", groups=n),
    "stop": lambda n: nl.zeros(4).copy_(nl.arange(0, n, 1)),
    "axis": lambda n: nl.softmax(nl.ones((1,) * 5), n),
}
CUT: list[Any] = [np.float32(3.7), Decimal("3.7"), Fraction(37, 10), np.array(3.7), nl.tensor(3.7)]


@pytest.mark.parametrize("name", [name for name in INTEGERS if name != "stop"])
@pytest.mark.parametrize("value", CUT, ids=lambda value: type(value).__name__)
def test_an_integer_is_not_cut_from_a_fraction(name, value):
    assert f": {name} must be int" in said(nl.DtypeError, lambda: INTEGERS[name](value))


@pytest.mark.parametrize("value", [np.complex64(3 + 1j), np.complex128(3 + 1j), 3 + 1j])
def test_a_number_is_not_cut_from_a_complex_one(value):
    assert ": value must be float" in said(nl.DtypeError, lambda: nl.full(2, value))
    assert ": lr must be float" in said(nl.DtypeError, lambda: nl.optim.constant(value))
    assert ": n must be int" in said(nl.DtypeError, lambda: nl.arange(value))
    with pytest.raises(TypeError):
        T * value


@pytest.mark.parametrize("name", INTEGERS)
def test_an_integer_takes_no_gradient(name):
    value = nl.tensor(3.0, requires_grad=True)
    said(nl.DtypeError if name != "stop" else nl.GradError, lambda: INTEGERS[name](value))


@pytest.mark.parametrize("value", [np.int8(3), np.uint64(3), nl.tensor([3]), np.array(3), True])
def test_integers_of_all_types(value):
    assert len(nl.arange(value)) == int(value)
    assert nl.nn.Linear(value, 2).weight.shape == (2, int(value))


@pytest.mark.parametrize("axis", [2**31, 2**32, -(2**32) - 1])
def test_an_axis_does_not_wrap(axis):
    for call in (
        lambda: T.sum(axis),
        lambda: T.sum((0, axis)),
        lambda: T.transpose(axis, 0),
        lambda: nl.logsumexp(T, axis),
        lambda: nl.softmax(T, axis),
        lambda: nl.concat([T, T], axis),
        lambda: T.var(correction=axis),
    ):
        text = said(nl.ArgumentError, call)  # type: ignore[no-untyped-call, unused-ignore]
        assert text == f"integer: must fit 32 bits, got {axis}"


@pytest.mark.parametrize("dtype", [HALF, "\udc80", "no", NUL])
def test_names_of_dtypes(dtype):
    for call in (lambda: nl.zeros(2, dtype=dtype), lambda: T.to(dtype), lambda: T.astype(dtype)):
        assert said(nl.DtypeError, call).startswith("dtype: must be one of ")


def test_text_that_comes_as_bytes():
    call: Any = nl.normalize
    assert "\udcff" in said(nl.ArgumentError, lambda: call(T, b"\xff"))
    assert nl.text.tokenize(b"A dog.") == ["a", "dog", "."]  # type: ignore[arg-type]


def test_devices():
    for device in (NUL, "gpu"):
        text = said(nl.ArgumentError, lambda d=device: nl.ones(2, device=d))
        assert device.partition("\0")[0] in text


def test_attributes_of_modules():
    net = nl.nn.Module()
    for name in (HALF, "\udc80"):
        with pytest.raises((nl.Error, UnicodeEncodeError)):
            setattr(net, name, nl.nn.ReLU())
        with pytest.raises(AttributeError):
            getattr(net, name)


# --- who is innocent --------------------------------------------------------------------------


def test_what_fits_is_not_accused():
    call: Any = nl.save
    assert "path must" not in said(nl.DtypeError, lambda: call("x", {"a": None}))
    assert "tensors must" not in said(nl.DtypeError, lambda: call(3, {"a": T}))
    assert "tensors must" not in said(nl.ArgumentError, lambda: call(NUL, {"a": T, "b": T}))
    call = nl.zeros
    text = said(nl.DtypeError, lambda: call((2, 3), dtype="float32", requires_grad="yes"))
    assert text == "zeros: requires_grad must be bool, got 'yes'"
    call = nl.normalize
    text = said(nl.DtypeError, lambda: call(np.ones((2, 3)), "layernorm", axes="all"))
    assert text == "normalize: axes must be int | None, got 'all'"


def test_properties_say_whose_they_are():
    shape: Any = type(T).shape
    assert said(nl.DtypeError, lambda: shape.fget(3)) == "shape: self must be Tensor, got 3"
    weight: Any = nl.nn.Linear.weight
    text = said(nl.DtypeError, lambda: weight.__get__(nl.nn.ReLU()))
    assert text == "weight: self must be Linear, got ReLU"
    with pytest.raises(nl.DtypeError, match=r"^bias must be Tensor, got 3$"):
        nl.nn.Linear(2, 2).bias = 3  # type: ignore[assignment]


def test_errors_of_arguments_can_be_pickled():
    with pytest.raises(nl.DtypeError) as caught:
        nl.exp(None)  # type: ignore[arg-type]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
