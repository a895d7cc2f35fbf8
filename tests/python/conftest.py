"""What every test of the Python package shares."""

from collections.abc import Iterator

import pytest

import normlab as nl


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Every test starts with the same random numbers and leaves the thread count as it was."""
    threads = nl.num_threads()
    nl.manual_seed(0)
    yield
    nl.set_num_threads(threads)
