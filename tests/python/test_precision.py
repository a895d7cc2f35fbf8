"""bfloat16 on the CPU: rounded products, stored tensors, NumPy's and PyTorch's views of them."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import normlab as nl


def rounded(x: np.ndarray) -> np.ndarray:
    """To the nearest bfloat16, ties to even, by the definition on the bits."""
    word = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    word = (word + 0x7FFF + ((word >> 16) & 1)) & 0xFFFF0000
    return word.astype(np.uint32).view(np.float32)


@pytest.fixture(autouse=True)
def float32_again():
    yield
    nl.set_matmul_precision("float32")


def test_products_take_rounded_inputs_and_sum_in_float32() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((70, 90), (90, 110)))
    exact = a.astype(np.float64) @ b
    want = rounded(a).astype(np.float64) @ rounded(b)
    nl.set_matmul_precision("bfloat16")
    assert nl.get_matmul_precision() == "bfloat16"
    got = nl.matmul(nl.tensor(a), nl.tensor(b)).numpy()
    np.testing.assert_allclose(got, want, atol=2e-5)
    assert np.abs(got - exact).max() > 1e-3


def test_a_block_is_its_threads_own_and_reaches_into_backward() -> None:
    rng = np.random.default_rng(1)
    a = nl.tensor(rng.standard_normal((40, 50)).astype(np.float32), requires_grad=True)
    b = nl.tensor(rng.standard_normal((50, 60)).astype(np.float32))
    seen = []
    with nl.matmul_precision("bfloat16"):
        z = nl.matmul(a, b)
        thread = threading.Thread(target=lambda: seen.append(nl.get_matmul_precision()))
        thread.start()
        thread.join()
        with nl.matmul_precision("float32"):
            assert nl.get_matmul_precision() == "float32"
        assert nl.get_matmul_precision() == "bfloat16"
    assert nl.get_matmul_precision() == "float32" and seen == ["float32"]
    g = rng.standard_normal((40, 60)).astype(np.float32)
    z.backward(nl.tensor(g))
    want = rounded(g).astype(np.float64) @ rounded(b.numpy()).T
    np.testing.assert_allclose(a.grad.numpy(), want, atol=2e-5)


def test_a_block_ends_in_the_thread_that_entered_it() -> None:
    block = nl.matmul_precision("bfloat16")
    block.__enter__()
    errors = []

    def leave() -> None:
        try:
            block.__exit__(None, None, None)
        except nl.ArgumentError as error:
            errors.append(str(error))

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert "has not entered" in errors[0]
    block.__exit__(None, None, None)
    assert nl.get_matmul_precision() == "float32"


@pytest.mark.parametrize("set_it", [nl.set_matmul_precision, nl.matmul_precision])
def test_other_names_are_refused(set_it) -> None:
    with pytest.raises(nl.ArgumentError, match='must be "float32" or "bfloat16", got "tf32"'):
        set_it("tf32")
    with pytest.raises(TypeError):
        set_it(None)


def test_build_info_says_how_bfloat16_is_multiplied() -> None:
    how = nl.build_info(gpu=False)["bfloat16_products"]
    assert how in ("AMX", "AVX512-BF16", "float32, after rounding")
    code = "import normlab as nl; print(nl.build_info(gpu=False)['bfloat16_products'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"NORMLAB_BFLOAT16": "float32", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "float32, after rounding"


def test_a_model_in_bfloat16_computes_near_its_float32_self() -> None:
    nl.manual_seed(0)
    net = nl.nn.Sequential(
        nl.nn.Linear(32, 64),
        nl.nn.Norm("layernorm", 64),
        nl.nn.GELU(),
        nl.nn.BatchNorm1d(64) if hasattr(nl.nn, "BatchNorm1d") else nl.nn.Norm("adanorm", 64),
        nl.nn.Linear(64, 5),
    )
    net.eval()
    x = nl.randn((7, 32))
    want = net(x).numpy()
    net.to("bfloat16")
    z = net(x.to("bfloat16"))
    assert "dtype=bfloat16" in repr(z)
    assert all("dtype=bfloat16" in repr(p) for p in net.parameters())
    assert np.abs(z.to("float32").numpy() - want).max() < 0.05


def test_statistics_of_a_model_in_bfloat16_stay_float32() -> None:
    net = nl.nn.Norm("batchnorm", (4, 2, 2))
    net.to("bfloat16")
    state = net.state()
    assert "dtype=bfloat16" in repr(state["gain"])
    assert state["running_mean"].dtype == state["running_var"].dtype == "float32"
    net(nl.randn((3, 4, 2, 2)).to("bfloat16"))
    assert np.isfinite(state["running_var"].numpy()).all()


def test_numpy_reads_and_writes_bfloat16_by_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = nl.tensor([[1.5, -2.0, 3.140625]], dtype="bfloat16")
    view = x.numpy()
    assert view.dtype == ml_dtypes.bfloat16 and x.dtype == ml_dtypes.bfloat16
    assert view.tolist() == [[1.5, -2.0, 3.140625]]
    view[0, 0] = 7
    assert x.to("float32").tolist() == [[7, -2, 3.140625]]
    array = np.array([1, 2.5], ml_dtypes.bfloat16)
    shared = nl.tensor(array)
    assert "dtype=bfloat16" in repr(shared)
    array[1] = -1
    assert shared.to("float32").tolist() == [1, -1]
    assert nl.tensor(array[::-1]).to("float32").tolist() == [-1, 1]
    assert nl.tensor(array, dtype="float32").tolist() == [1, -1]
    assert nl.tensor(array, dtype=ml_dtypes.bfloat16).shape == (2,)


def test_without_ml_dtypes_the_error_names_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(nl.DtypeError, match="pip install ml_dtypes"):
        nl.ones(2, dtype="bfloat16").numpy()


def test_a_study_records_its_precision_and_trains_anew(tmp_path: Path) -> None:
    from normlab.study import TASKS, Overrides, Study

    results = []
    for precision in ("float32", "bfloat16"):
        study = Study(
            [TASKS["mnist"]()],
            ["layernorm"],
            [0],
            tmp_path,
            overrides=Overrides(epochs=1),
            quick=True,
            precision=precision,
        )
        results += study.run()
    assert [result["precision"] for result in results] == ["float32", "bfloat16"]
    assert results[0]["id"] != results[1]["id"] and results[0]["valid"] > 20
    assert results[0]["history"]["train_loss"] != results[1]["history"]["train_loss"]
    assert nl.get_matmul_precision() == "float32"
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["precision"] for line in lines] == ["float32", "bfloat16"]
    assert "bfloat16 products" in (tmp_path / "table.md").read_text()


def test_a_study_refuses_a_precision_that_does_not_apply(tmp_path: Path) -> None:
    from normlab.study import TASKS, Study

    def run(**options) -> None:
        Study([TASKS["mnist"]()], ["none"], [0], tmp_path, **options).run()

    with pytest.raises(nl.ArgumentError, match="float32"):
        run(precision="float16")
    with pytest.raises(nl.ArgumentError, match="for the CPU's products"):
        run(precision="bfloat16", device="cuda")
