"""The GIL, threads, signals, the end of the interpreter."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import normlab as nl


class Net(nl.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nl.nn.Linear(16, 64, activation="relu")
        self.norm = nl.nn.Norm("layernorm", 64)
        self.rest = nl.nn.Sequential(nl.nn.Dropout(0.1), Last())

    def forward(self, x):
        return self.rest(self.norm(self.first(x)))


class Last(nl.nn.Module):
    """Written in Python, called from C++: the trampoline takes the GIL back."""

    def __init__(self):
        super().__init__()
        self.linear = nl.nn.Linear(64, 4)

    def forward(self, x):
        return self.linear(x)


def train(seed, steps=40):
    nl.manual_seed(seed)
    net = Net()
    opt = nl.optim.AdamW(net.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        x = nl.randn((128, 16))
        loss = nl.cross_entropy(net(x), nl.randint(0, 4, 128))
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses, {name: t.numpy().copy() for name, t in net.state().items()}


def test_two_trainings_at_once_give_the_same_numbers_as_alone():
    alone = [train(seed) for seed in (1, 2)]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(train, (1, 2)))
        for (losses, state), (want_losses, want_state) in zip(together, alone, strict=True):
            assert losses == want_losses
            for name, want in want_state.items():
                assert np.array_equal(state[name], want)


def test_thread_count_does_not_change_a_bit():
    results = []
    for threads in (1, 2, 4):
        nl.set_num_threads(threads)
        results.append(train(5, steps=10)[0])
    assert results[0] == results[1] == results[2]


def products():
    x = nl.randn((1500, 1500))
    for _ in range(20):
        nl.matmul(x, x)


def logits_of_many_words():
    words = nl.text.Vocabulary(["good", "bad"])
    network = nl.text.Classifier(len(words), 2, size=8, heads=2, hidden=12, layers=2)
    nl.text.Model(network, words, ["no", "yes"]).logits(["good"] * 3000)


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(products, id="matmul"),
        pytest.param(lambda: nl.text.tokenize("it's (so) good " * 200_000), id="tokenize"),
        pytest.param(logits_of_many_words, id="logits"),
        pytest.param(lambda: nl.text.token_batches(nl.arange(1_000_000), 10_000), id="batches"),
    ],
)
def test_other_threads_run_while_the_engine_computes(compute):
    running, done = threading.Event(), threading.Event()

    def work():
        running.set()
        compute()
        done.set()

    switch = sys.getswitchinterval()
    sys.setswitchinterval(60)  # the GIL moves only when it is given away
    thread = threading.Thread(target=work)
    thread.start()
    try:
        running.wait()
        turns = 0
        while not done.is_set():
            turns += 1
            time.sleep(0.0005)
    finally:
        thread.join()
        sys.setswitchinterval(switch)
    assert turns > 3


def test_arrays_are_released_from_any_thread():
    a = np.ones(1000)
    before = sys.getrefcount(a)

    def use():
        for _ in range(200):
            t = nl.tensor(a, requires_grad=True)
            (t * t).sum().backward()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(use) for _ in range(4)]:
            future.result()
    assert sys.getrefcount(a) == before


def test_one_module_in_many_threads():
    net = Net().eval()
    x = nl.randn((64, 16))
    want = net(x).numpy()
    with ThreadPoolExecutor(4) as pool:
        for z in pool.map(lambda _: net(x), range(100)):
            assert np.array_equal(z.numpy(), want)


def run(code, *, interrupt_after=None, **kwargs):
    """Runs code in a new interpreter; sends SIGINT when it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy(), **kwargs,
    )  # fmt: skip
    if interrupt_after:
        assert process.stdout is not None
        while interrupt_after not in process.stdout.readline():
            assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


TRAINING = """
    import normlab as nl
    net = nl.nn.Sequential(nl.nn.Linear(256, 256), nl.nn.Norm("layernorm", 256))
    opt = nl.optim.Adam(net.parameters())
    x = nl.randn((512, 256))
    def step():
        opt.zero_grad()
        (net(x) * x).sum().backward()
        opt.step()
"""


def test_ctrl_c_ends_a_training_loop_cleanly():
    code = textwrap.dedent(TRAINING) + textwrap.dedent("""
        try:
            print("training", flush=True)
            while True:
                step()
        except KeyboardInterrupt:
            step()
            print("interrupted, still fine")
    """)
    returncode, out, err = run(code, interrupt_after="training")
    assert "interrupted, still fine" in out
    assert (returncode, err) == (0, "")


def test_uncaught_ctrl_c_is_a_keyboard_interrupt():
    code = textwrap.dedent(TRAINING) + 'print("training", flush=True)\nwhile True: step()\n'
    returncode, _, err = run(code, interrupt_after="training")
    assert returncode in (-signal.SIGINT, 130), err
    assert err.strip().splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "raise SystemExit(0)",
        "import threading; threading.Thread(target=lambda: [step() for _ in range(50)]).start()",
        "import threading\ndef f():\n    while True: step()\n"
        "threading.Thread(target=f, daemon=True).start()\nimport time; time.sleep(0.3)",
        "import atexit; atexit.register(step)",
    ],
    ids=["plain", "SystemExit", "thread", "daemon", "atexit"],
)
def test_the_interpreter_ends_cleanly(ending):
    code = (
        textwrap.dedent(TRAINING)
        + textwrap.dedent("""
        import numpy as np
        shared = nl.tensor(np.ones(1000))
        view = nl.ones(1000).numpy()
        loss = (net(x) * x).sum()
        step()
        class Part(nl.nn.Module):
            def forward(self, x): return x
        keep = nl.nn.Sequential(Part())
        keep[0].parent = [keep]
    """)
        + ending
        + "\n"
    )
    returncode, _, err = run(code)
    assert (returncode, err) == (0, "")


def test_import_is_light():
    code = """
        import sys, time
        import numpy
        start = time.perf_counter()
        import normlab
        print(time.perf_counter() - start)
        heavy = {"matplotlib", "typer", "rich", "pooch", "tqdm", "requests", "torch"}
        print(sorted(heavy & set(sys.modules)))
    """
    returncode, out, err = run(code)
    assert (returncode, err) == (0, "")
    assert out.splitlines()[1] == "[]"


def test_lazy_submodules():
    code = """
        import normlab as nl
        assert nl.data.__name__ == "normlab.data"
        for name in ("absent", "_absent"):
            try:
                getattr(nl, name)
            except AttributeError as error:
                assert name in str(error)
            else:
                raise SystemExit(f"nl.{name} exists")
    """
    assert run(code)[0] == 0
