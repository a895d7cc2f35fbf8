"""Two engines in processes of their own that take the same cases in turn. Needs neither of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Case = dict[str, Any]
Tokens = list[list[int]]
Work = Callable[[], Tokens]


def serve(prepare: Callable[[Case], Work]) -> None:
    """Answers cases, a JSON line each on standard input: what a call takes, and its tokens."""
    ready: dict[str, tuple[Work, int, Tokens]] = {}
    for line in sys.stdin:
        if line not in ready:
            work = prepare(json.loads(line))
            tokens = work()  # makes what is made at a first time
            start = time.perf_counter()
            work()
            seconds = time.perf_counter() - start
            ready[line] = work, max(1, round(0.3 / seconds)), tokens
        work, calls, tokens = ready[line]
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            work()
        answer = {
            "seconds": (time.perf_counter() - start) / calls,
            "cpu_s": (time.process_time() - cpu) / calls,
            "tokens": tokens,
        }
        print(json.dumps(answer), flush=True)


class Engine:
    """A process that serves."""

    def __init__(self, command: Sequence[object]):
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, case: Case) -> dict[str, Any]:
        """What a call takes, and its tokens."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"{self._process.args}: ended, and has said why above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def agreement(a: Tokens, b: Tokens) -> float:
    """The share of equal tokens, which rounding alone takes below 1."""
    pairs = [pair for one, other in zip(a, b, strict=True) for pair in zip(one, other, strict=True)]
    return sum(x == y for x, y in pairs) / len(pairs)
