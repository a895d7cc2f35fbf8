"""What every test of the Python package shares."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_server import Server

import normlab as nl


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Every test starts with the same random numbers and leaves the thread count as it was."""
    threads = nl.num_threads()
    nl.manual_seed(0)
    yield
    nl.set_num_threads(threads)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data, an empty cache, no waiting between attempts."""
    for name in ("NORMLAB_DATA", "NORMLAB_MIRROR", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def output_folder(tmp_path: Path) -> Path:
    """Where a test leaves what a person may want to look at: NORMLAB_TEST_OUTPUT, if it is set."""
    folder = Path(os.environ.get("NORMLAB_TEST_OUTPUT") or tmp_path / "output")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()
