"""Numbers and dtypes: what converts keeps its value or is refused, and ints stay exact."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import normlab as nl

BIG = 2**53 + 1  # no float64
INTEGERS = ("uint8", "int32", "int64")


# --- conversions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (300, "uint8"),
        (-1, "uint8"),
        (2**31, "int32"),
        (-(2**31) - 1, "int32"),
        (1e30, "int64"),
        (float("nan"), "int32"),
        (float("inf"), "int64"),
        (-1.0, "uint8"),
    ],
)
def test_what_does_not_fit_is_refused_wherever_it_comes_from(value: float, dtype: str) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: nl.tensor([value]).to(dtype),
        lambda: nl.tensor([value]).astype(dtype),
        lambda: nl.tensor([value], dtype=dtype),
        lambda: nl.tensor(value, dtype=dtype),
        lambda: nl.tensor(np.array([value]), dtype=dtype),
        lambda: nl.tensor(np.array([[value]], ">f8"), dtype=dtype),
        lambda: nl.tensor(nl.tensor([value]), dtype=dtype),
        lambda: nl.full((2,), value, dtype=dtype),
        lambda: nl.zeros(2, dtype=dtype).fill_(value),
    ]
    for make in makers:
        with pytest.raises(nl.ArgumentError, match=rf"not fit {dtype}|{dtype} holds exactly"):
            make()
    with pytest.raises(nl.ArgumentError, match=r"value .* at \[1, 0\] does not fit"):
        nl.tensor([[0], [value]], dtype=dtype)


def test_conversions_that_numpy_would_wrap() -> None:
    for array in (np.array([300], np.int16), np.array([-1], np.int8), np.array([70000], np.uint32)):
        with pytest.raises(nl.ArgumentError, match="does not fit uint8"):
            nl.tensor(array, dtype="uint8")
    with pytest.raises(nl.ArgumentError, match=r"value 18446744073709551615 does not fit int64"):
        nl.tensor(np.array([2**64 - 1], np.uint64))
    with pytest.raises(nl.ArgumentError, match="does not fit int"):
        nl.tensor(np.array([2**63], np.uint64), dtype="int32")
    assert nl.tensor(np.array([2**63], np.uint64), dtype="float64").item() == 2.0**63
    assert nl.tensor(np.array([7], np.uint64), dtype="uint8").tolist() == [7]
    assert nl.tensor([1.75, -0.5], dtype="uint8").tolist() == [1, 0]
    assert nl.tensor([0.5, float("nan"), 0], dtype="bool").tolist() == [True, True, False]
    assert nl.tensor([1, 2], dtype="bfloat16").to("float32").tolist() == [1, 2]
    assert nl.tensor([1e300], dtype="float64").to("float32").item() == float("inf")
    with pytest.raises(nl.ArgumentError, match="does not fit uint8"):
        nl.arange(257, dtype="uint8")
    with pytest.raises(nl.ArgumentError, match="does not fit uint8"):
        nl.arange(250, 260, dtype="uint8")
    with pytest.raises(nl.ArgumentError, match="bool holds 0 and 1 alone"):
        nl.arange(3, dtype="bool")
    with pytest.raises(nl.DtypeError, match="of at most 64 bits, got dtype object"):
        nl.tensor([2**64])


def test_arange_to_the_ends_of_int64() -> None:
    low, high = -(2**63), 2**63 - 1
    assert nl.arange(low, high, 2**62).tolist() == [low, -(2**62), 0, 2**62]
    assert nl.arange(high, low, -(2**62)).tolist() == [high - i * 2**62 for i in range(4)]
    assert nl.arange(high - 2, high).tolist() == [high - 2, high - 1]
    assert nl.arange(low, low + 2).tolist() == [low, low + 1]


def test_no_dtype_is_an_error() -> None:
    x = nl.ones(2)
    for call in (lambda: x.to(None), lambda: x.astype(None), lambda: x.astype(x)):
        with pytest.raises(nl.DtypeError, match="dtype: must be one of float32"):
            call()
    assert x.to(nl.ones(1, dtype="float64")).dtype == "float64"


# --- Python's ints beside tensors -------------------------------------------------------------


WHOLE = (BIG, BIG - 1, -BIG, 2**63 - 1, 2**63, -(2**63), 2**70, -(2**70), 0, 1, 255, 256, True)
REAL = (0.5, -0.5, 1.5, 254.5, 2.0**53, 2.0**63, float("inf"), -float("inf"), float("nan"))
NUMPYS = (np.int64(BIG), np.float32(0.5), np.uint64(2**63))


@pytest.mark.parametrize("number", [*WHOLE, *REAL, *NUMPYS])
def test_integers_compare_exactly(number: float) -> None:
    exact = number.item() if isinstance(number, np.generic) else number
    for values, dtype in (
        ([BIG, BIG - 1, -BIG, 2**63 - 1, -(2**63), 0, 1], "int64"),
        ([0, 1, 254, 255], "uint8"),
        ([False, True], "bool"),
    ):
        x = nl.tensor(values, dtype=dtype)
        for name in ("eq", "ne", "lt", "le", "gt", "ge"):
            compare = getattr(operator, name)
            assert compare(x, number).tolist() == [compare(v, exact) for v in values]
            assert getattr(nl, name)(x, number).tolist() == [compare(v, exact) for v in values]
            if not isinstance(number, np.generic):
                assert compare(number, x).tolist() == [compare(exact, v) for v in values]


def test_integers_stay_exact() -> None:
    x = nl.tensor([BIG, -3])
    for number in (BIG, np.int64(BIG), nl.tensor(BIG)):
        assert (x == number).tolist() == [True, False]
        assert (x + number)[0].item() == 2 * BIG
        assert (number - x)[1].item() == BIG + 3
        assert (x - number)[0].item() == 0
        assert nl.maximum(x, number)[1].item() == BIG
        assert nl.where(x > 0, number, x)[0].item() == BIG
        assert nl.where(x > 0, x, number)[1].item() == BIG
        assert x.masked_fill(x < 0, number)[1].item() == BIG
    assert (x * 3)[0].item() == 3 * BIG
    assert (x // 3).tolist() == [BIG // 3, -1]
    assert (x % 1000).tolist() == [BIG % 1000, 997]
    assert nl.full((1,), BIG, dtype="int64").item() == BIG
    assert nl.zeros(1, dtype="int64").fill_(BIG).item() == BIG
    assert x.clone().add_(BIG)[0].item() == 2 * BIG
    assert x.clone().add_(1, alpha=BIG)[0].item() == 2 * BIG
    assert x.clone().sub_(BIG)[0].item() == 0
    assert nl.zeros(1, dtype="float64").add_(1, alpha=0.1).item() == 0.1
    y = x.clone()
    y += BIG
    y -= 1
    assert y[0].item() == 2 * BIG - 1
    assert x.max().item() == BIG
    assert x.sum().item() == BIG - 3
    assert x.argmax().item() == 0
    assert str(BIG) in repr(x)
    assert int(x[0]) == BIG


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.fill_(2.5),
        lambda x: x.fill_(2**63),
        lambda x: x.fill_(float("nan")),
        lambda x: nl.full((2,), 2.5, dtype="int64"),
        lambda x: nl.full((2,), 2, dtype="bool"),
    ],
)
def test_a_value_that_an_integer_is_not(wrong: Any) -> None:
    x = nl.tensor([1, 2])
    with pytest.raises(nl.ArgumentError, match=r"the value must be one that .* holds exactly, got"):
        wrong(x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x + 2.5,
        lambda x: x + 2**63,
        lambda x: nl.maximum(x, 2.5),
        lambda x: nl.where(x > 1, x, 2.5),
        lambda x: x.masked_fill(x > 1, 2.5),
        lambda x: x**0.5,
        lambda x: 2.5 // x,
        lambda x: x % 2.5,
    ],
)
def test_a_number_that_does_not_go_with_integers(wrong: Any) -> None:
    with pytest.raises(nl.DtypeError, match=r"the scalar must be a number that int64 holds, got"):
        wrong(nl.tensor([1, 2]))


def test_division_and_means_of_integers_are_float32() -> None:
    for dtype in INTEGERS:
        x = nl.tensor([1, 2, 4], dtype=dtype)
        for got, want in ((x / 2, [0.5, 1, 2]), (1 / x, [1, 0.5, 0.25]), (x / x, [1, 1, 1])):
            assert got.dtype == "float32" and got.tolist() == want
        assert x.mean().dtype == "float32" and x.mean().item() == np.float32(7 / 3)
        assert (x < 1.5).tolist() == [True, False, False]
        with pytest.raises(nl.DtypeError, match=rf"/=: x is {dtype} and the result float32"):
            x /= 2
    assert nl.tensor([True, False]).mean().item() == 0.5
    assert nl.tensor([[1, 2], [3, 5]]).mean(axis=0).tolist() == [2, 3.5]


def test_scalars_have_axes_0_and_minus_1() -> None:
    x = nl.tensor(3.5)
    for axis in (0, -1):
        for name in ("sum", "mean", "logsumexp", "softmax"):
            getattr(x, name)(axis)
        assert x.max(axis=axis).item() == 3.5
        assert x.argmax(axis).item() == 0
        assert x.sum(axis, keepdim=True).shape == ()
    with pytest.raises(nl.RangeError):
        x.sum(1)


# --- a tensor where a number is wanted --------------------------------------------------------

E = nl.tensor(3.0, requires_grad=True)
X = nl.ones((4, 3))


@pytest.mark.parametrize(
    "use",
    [
        lambda e: nl.full((2,), e),
        lambda e: nl.zeros(2).fill_(e),
        lambda e: nl.normalize(X, "layernorm", eps=e),
        lambda e: nl.normalize(X, "adanorm", C=e),
        lambda e: nl.normalize(X, "adanorm", k=e),
        lambda e: nl.nn.Norm("adanorm", 3, C=e),
        lambda e: nl.nn.Norm("layernorm", 3, eps=e),
        lambda e: nl.l2_normalize(X, eps=e),
        lambda e: nl.dropout(X, e / 4),
        lambda e: nl.nn.Dropout(e / 4),
        lambda e: nl.randn(2, std=e),
        lambda e: nl.rand(2, high=e),
        lambda e: nl.arange(0.0, e),
        lambda e: nl.zeros(2).add_(nl.ones(2), alpha=e),
        lambda e: nl.optim.SGD([nl.ones(1, requires_grad=True)], lr=e),
        lambda e: nl.optim.Adam([nl.ones(1, requires_grad=True)], betas=(e / 4, 0.9)),
        lambda e: nl.optim.clip_grad_norm([nl.ones(1, requires_grad=True)], e),
        lambda e: nl.optim.cosine(e, total=10)(1),
        lambda e: nl.cross_entropy(X, nl.tensor([0, 1, 2, 0]), label_smoothing=e / 4),
        lambda e: setattr(nl.optim.SGD([nl.ones(1, requires_grad=True)], lr=1.0), "lr", e),
    ],
)
def test_a_gradient_is_not_lost_in_a_number(use: Any) -> None:
    with pytest.raises(nl.GradError, match=r"number: .* requires a gradient.*x\.item\(\)"):
        use(E)
    use(E.detach())
    use(E.item())
    with nl.no_grad():
        use(E)


def test_a_gradient_is_not_lost_in_a_list() -> None:
    for nested in ([E, 1.0], (1.0, [2.0, E]), [[E]]):
        with pytest.raises(nl.GradError, match=r"tensor: a tensor in a list"):
            nl.tensor(nested)
    assert nl.tensor([E.detach(), 1.0]).tolist() == [3, 1]
    assert float(E) == 3 and int(E) == 3 and f"{E:.1f}" == "3.0"


def test_pow_and_masked_fill_differentiate() -> None:
    e = nl.tensor(3.0, requires_grad=True)
    x = nl.tensor([1.0, 2.0, 4.0])
    nl.pow(x, e).sum().backward()
    np.testing.assert_allclose(e.grad.item(), (8 * np.log(2) + 64 * np.log(4)), rtol=1e-6)
    e.zero_grad()
    nl.masked_fill(x, x > 1, e).sum().backward()
    assert e.grad.item() == 2
    e.zero_grad()
    x.masked_fill(x > 3, e).sum().backward()
    assert e.grad.item() == 1
    assert x.masked_fill(x > 1, nl.tensor(7)).tolist() == [1, 7, 7]
    assert (x ** nl.tensor([2])).tolist() == [1, 4, 16]
    with pytest.raises(nl.DtypeError, match="one dtype"):
        x ** nl.tensor([2, 3, 4])


# --- powers and floored division --------------------------------------------------------------


def test_powers_of_numbers_are_exact_where_they_can_be() -> None:
    k = np.arange(-149, 128)
    assert np.array_equal((2.0 ** nl.tensor(k.astype(np.float32))).numpy(), np.ldexp(1.0, k))
    assert (10.0 ** nl.tensor(5.0)).item() == 100000
    assert (1.0 ** nl.tensor(float("nan"))).item() == 1
    assert ((-2.0) ** nl.tensor([2.0, 3.0])).tolist() == [4, -8]
    assert (2 ** nl.tensor([0, 1, 62])).tolist() == [1, 2, 2**62]
    assert (nl.tensor([3, -3]) ** 3).tolist() == [27, -27]
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 9, (3, 4)), rng.normal(size=4)
    np.testing.assert_allclose((nl.tensor(a) ** nl.tensor(b)).numpy(), a**b, rtol=1e-14)
    with pytest.raises(nl.ArgumentError, match="exponent must not be negative"):
        nl.tensor([1, 2]) ** -1


def test_floored_division_is_that_of_numpy() -> None:
    special = np.array([0.0, -0.0, 1, -1, 0.1, -7, 7, 2, -2, np.inf, -np.inf, np.nan, 1e30, 5e-324])
    for dtype in (np.float32, np.float64):
        a, b = special.astype(dtype)[:, None], special.astype(dtype)
        with np.errstate(all="ignore"):
            want = {"//": a // b, "%": a % b}
        for op, expected in want.items():
            got = eval(f"a {op} b", {"a": nl.tensor(a), "b": nl.tensor(b)}).numpy()
            np.testing.assert_array_equal(got, expected)
            numbers = ~np.isnan(got)
            assert np.array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))
    assert (1.0 // nl.tensor(0.1, dtype="float64")).item() == 9
    integers = np.array([7, -7, 6, -6, 0, 2**62, -(2**63)])
    for divisor in (3, -3, 1, -1, 2**40):
        x = nl.tensor(integers)
        assert (x // divisor).tolist() == (integers // divisor).tolist()
        assert (x % divisor).tolist() == (integers % divisor).tolist()
    for wrong in (lambda: nl.tensor([1]) // 0, lambda: 5 % nl.tensor([1, 0])):
        with pytest.raises(nl.ArgumentError, match="divisor must not be 0"):
            wrong()


def test_more_operators_in_place() -> None:
    a = np.array([7.0, -7.0, 2.5], np.float32)
    for op in ("//=", "%=", "**="):
        mine, theirs = nl.tensor(a, copy=True), a.copy()
        scope: dict[str, Any] = {"x": mine, "y": theirs}
        exec(f"x {op} 2; y {op} 2", scope)
        assert scope["x"] is mine and np.array_equal(mine.numpy(), theirs)
        with pytest.raises(nl.GradError, match="a leaf that requires a gradient"):
            exec(f"x {op} 2", {"x": nl.ones(3, requires_grad=True)})
    w = nl.ones(3, requires_grad=True)
    h = w * 3
    h **= 2
    h.sum().backward()
    assert w.grad.tolist() == [18, 18, 18]


def test_arrays_on_the_left() -> None:
    a, x = np.array([7.0, -7.0], np.float32), nl.tensor([2.0, 2.0], requires_grad=True)
    for op in ("//", "%", "**"):
        got = eval(f"a {op} x", {"a": a, "x": x})
        assert isinstance(got, nl.Tensor) and got.requires_grad
        assert np.array_equal(got.numpy(), eval(f"a {op} x", {"a": a, "x": x.numpy()}))
        with pytest.raises(nl.ArgumentError, match="got 0"):
            eval("a // x", {"a": np.array([1, 2]), "x": nl.tensor([1, 0])})


def test_masks_take_true_and_false() -> None:
    m = nl.tensor([True, False])
    assert (m & True).tolist() == [True, False] and (1 | m).tolist() == [True, True]
    for wrong in (lambda: m & 2, lambda: m | 0.5, lambda: m ^ float("nan")):
        with pytest.raises(nl.DtypeError, match="needs bool tensors, True or False, got"):
            wrong()


def test_scalar_tensors_are_lengths() -> None:
    for three in (nl.tensor(3), np.array(3), nl.tensor(3, dtype="uint8")):
        assert nl.zeros(three).shape == (3,) and nl.ones(12).reshape(three, 4).shape == (3, 4)
    with pytest.raises(nl.DtypeError, match="index: needs an integer tensor"):
        nl.zeros(nl.tensor(3.0))


def test_logsumexp_and_l2_normalize() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)) * 5
    t = nl.tensor(x)
    np.testing.assert_allclose(t.logsumexp(1).numpy(), np.log(np.exp(x).sum(1)), rtol=1e-13)
    np.testing.assert_allclose(nl.logsumexp(t).item(), np.log(np.exp(x).sum()), rtol=1e-13)
    assert nl.logsumexp(nl.full((2, 3), -float("inf")), (0, 1)).item() == -float("inf")
    unit = x / np.linalg.norm(x, axis=0, keepdims=True)
    np.testing.assert_allclose(nl.l2_normalize(t, axis=0).numpy(), unit, rtol=1e-13)
    assert t.l2_normalize().shape == (3, 4)
    with pytest.raises(nl.RangeError, match=r"l2_normalize: axis must be in \[-2, 2\)"):
        nl.l2_normalize(t, 2)
    assert nl.l2_normalize(nl.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


# --- DLPack -----------------------------------------------------------------------------------


class Lender:
    """Lends one capsule, again and again."""

    def __init__(self, x: nl.Tensor, *, versioned: bool) -> None:
        self.capsule = x.__dlpack__(max_version=(1, 0) if versioned else None)

    def __dlpack__(self, **how: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


@pytest.mark.parametrize("versioned", [False, True])
def test_a_capsule_is_taken_once(versioned: bool) -> None:
    for dtype in ("float32", "bfloat16"):
        lender = Lender(nl.ones(2, dtype=dtype), versioned=versioned)
        nl.from_dlpack(lender)
        for again in (lender, lender.capsule):
            with pytest.raises(nl.ArgumentError, match="from_dlpack: a capsule can be taken once"):
                nl.from_dlpack(again)
    x = nl.from_dlpack(nl.tensor([1.0, 2.0]).__dlpack__())
    assert x.tolist() == [1, 2]
    with pytest.raises(nl.DtypeError, match="from_dlpack: needs a DLPack capsule, got int"):
        lender.capsule = 3
        nl.from_dlpack(lender)


@pytest.mark.parametrize("versioned", [False, True])
def test_bfloat16_is_lent_on_the_cpu(versioned: bool) -> None:
    x = nl.tensor([[1.5, -2.0, 0.25]], dtype="bfloat16")
    y = nl.from_dlpack(Lender(x, versioned=versioned))
    assert repr(y) == repr(x) and "bfloat16" in repr(y)
    x.fill_(3)
    assert y.to("float32").tolist() == [[3, 3, 3]]
    del x
    assert y.to("float32").tolist() == [[3, 3, 3]]
    assert nl.from_dlpack(nl.zeros((0, 2), dtype="bfloat16")).shape == (0, 2)
    with pytest.raises((BufferError, TypeError, RuntimeError)):
        np.from_dlpack(y)
