"""Processes that are forked from one that has computed: Python's default on Linux to 3.13."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import normlab as nl
from normlab import results
from normlab.data import fetch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
if sys.version_info >= (3, 12):
    pytestmark = [pytestmark, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]

_PATIENCE = 100.0
"""Seconds after which a child hangs, which needs one."""


def compute(seed: int = 0) -> bytes:
    """A step of a small network, whose shapes depend on the seed."""
    nl.manual_seed(seed)
    size = 10 + seed % 7
    net = nl.nn.Sequential(
        nl.nn.Conv2d(3, 8, 3, padding=1),
        nl.nn.MaxPool2d(3, 2, 1),
        nl.nn.Flatten(),
        nl.nn.Linear(8 * ((size + 1) // 2) ** 2, 300, activation="relu"),
        nl.nn.Norm("adanorm", 300),
        nl.nn.Linear(300, 5),
    )
    optimizer = nl.optim.Adam(net.parameters(), lr=1e-3)
    loss = nl.cross_entropy(net(nl.randn((64, 3, size, size))), nl.randint(0, 5, 64))
    loss.backward()
    optimizer.step()
    return b"".join(p.numpy().tobytes() for p in net.parameters())


def in_child(body: Callable[[], bool]) -> str:
    """How body ends in a child: "right", "wrong", "raised" or "hangs"."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if body() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return {0: "right", 1: "wrong"}.get(os.waitstatus_to_exitcode(status), "raised")
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@pytest.fixture
def four_threads():
    before = nl.num_threads()
    nl.set_num_threads(4)
    yield
    nl.set_num_threads(before)


def test_the_child_of_a_process_that_has_computed_computes(four_threads):
    total = (nl.ones(2000, 2000) + 1).sum().item()
    assert in_child(lambda: (nl.ones(2000, 2000) + 1).sum().item() == total) == "right"


def test_training_goes_on_in_a_child_bit_for_bit(four_threads):
    want = compute()
    assert in_child(lambda: nl.num_threads() == 1 and compute() == want) == "right"
    assert nl.num_threads() == 4
    assert compute() == want


def test_a_child_may_ask_for_threads(four_threads):
    want = compute()

    def body() -> bool:
        nl.set_num_threads(3)
        return nl.num_threads() == 3 and compute() == want

    assert in_child(body) == "right"


def test_a_child_s_child_computes(four_threads):
    want = compute()

    def body() -> bool:
        return compute() == want and in_child(lambda: compute() == want) == "right"

    assert in_child(body) == "right"


def test_a_tensor_of_the_parent_is_there_in_the_child(four_threads):
    x = nl.randn((500, 500))
    want = (x @ x).sum().item()
    assert in_child(lambda: (x @ x).sum().item() == want) == "right"


def test_a_fork_while_other_threads_compute(four_threads):
    want = compute()
    stop = threading.Event()

    def work(first: int) -> None:
        for seed in range(first, first + 10_000):
            compute(seed)
            if stop.is_set():
                return

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 20_000)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            assert in_child(lambda: compute() == want) == "right"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_pool_of_forked_workers(four_threads, chunk):
    want = [compute(seed) for seed in range(8)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(compute, range(8), chunksize=chunk).get(_PATIENCE) == want


def test_an_executor_of_forked_processes(four_threads):
    want = [compute(seed) for seed in range(4)]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(compute, range(4), timeout=_PATIENCE)) == want


def _send(connection, array: np.ndarray) -> None:
    connection.send((nl.tensor(array) @ nl.tensor(array)).numpy())
    connection.close()


def test_a_process_that_is_forked_sends_its_result(four_threads):
    array = np.arange(90_000, dtype=np.float32).reshape(300, 300) / 90_000
    want = (nl.tensor(array) @ nl.tensor(array)).numpy()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, array))
    process.start()
    try:
        assert ours.poll(_PATIENCE)
        assert np.array_equal(ours.recv(), want)
        process.join(_PATIENCE)
        assert process.exitcode == 0
    finally:
        if process.is_alive():
            process.kill()


@pytest.mark.parametrize(
    "hold", [lambda folder: results.locked(folder), lambda folder: fetch._exclusive(folder / "a")]
)
def test_a_child_does_not_keep_a_lock_that_its_parent_has_left(hold, tmp_path):
    with hold(tmp_path):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until the parent is done
            os._exit(0)
    try:
        # It waits for the lock, or is refused it, if it is still held.
        assert in_child(lambda: _can_take(hold, tmp_path)) == "right"
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(child, 0)


def _can_take(hold, folder) -> bool:
    signal.alarm(10)
    with hold(folder):
        return True
