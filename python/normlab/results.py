"""results.jsonl: one line a finished run, safe against a crash at any moment."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from ._core import FileError
from .settings import Settings, finite

Result = dict[str, Any]


HISTORY = ("train_loss", "train", "valid_loss", "valid")
_NUMBER = (int, float)
_REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "task", "title", "norm", "metric", "unit", "data"), str),
    **dict.fromkeys(("warning", "version", "fingerprint"), str),
    **dict.fromkeys(("seed", "epochs", "best_epoch", "train_items"), int),
    **dict.fromkeys(("valid", "test", "seconds"), _NUMBER),
    **dict.fromkeys(("candidate", "diverged"), bool),
    **dict.fromkeys(("settings", "history"), dict),
    "C": (int, float, type(None)),
}
_OPTIONAL: Mapping[str, type] = {"higher_is_better": bool}  # early versions lacked it: True
_REQUIRED_WITHIN = {
    "settings": [field.name for field in fields(Settings)],
    "history": HISTORY,
}
_PACKAGE = Path(__file__).resolve().parent
NOTHING_IS_LOST = "Nothing is lost: make room and run the same command again"
_PROBE_BYTES = 8 << 20  # more than the largest checkpoint and the report need


def signed(number: float, higher_is_better: bool) -> float:
    """A metric's number, signed so that more is better."""
    return number if higher_is_better else -number


def score(result: Mapping[str, Any], number: str) -> float:
    """The metric "valid" or "test" of a result, signed so that more is better."""
    return signed(float(result[number]), result.get("higher_is_better", True))


def decimals(result: Mapping[str, Any]) -> int:
    """Of the metric: small differences of bits count."""
    return 3 if result["unit"] == "bits" else 2


def with_unit(number: str, result: Mapping[str, Any]) -> str:
    """The number with the unit of the result's metric."""
    return f"{number} {result['unit']}".strip()


def identify(facts: Mapping[str, Any]) -> str:
    """A short name for exactly these facts."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for one study; the system frees it however the process ends.

    Raises:
        FileError: The folder cannot be made or written, is full, or another study has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{folder}: the output folder cannot be written: {reason}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            raise FileError(
                f"{folder}: another study{owner and f' (process {owner})'} is running "
                "in this folder; wait for it or choose another --out"
            ) from None
        _probe(folder)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open, too


def _probe(folder: Path) -> None:
    """Finds out before hours of training whether a study's files have room."""
    probe = folder / ".probe"
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(
            f"{folder}: the output folder must take {_PROBE_BYTES >> 20} MiB: "
            f"{error.strerror or error}"
        ) from error
    finally:
        probe.unlink(missing_ok=True)


class ResultFile:
    """The results in a folder. Writing wants the folder's lock."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / "results.jsonl"

    def read(self) -> list[Result]:
        """All whole lines; a last line that a crash cut is passed over.

        Raises:
            FileError: A line that is not cut is no result: its number and what is wrong.
        """
        whole, cut = self._split()
        results = [self._parse(number, line) for number, line in enumerate(whole, 1)]
        if cut and (complete := _loads(cut)) is not None:
            results.append(self._check(len(whole) + 1, complete))
        return results

    def repair(self) -> str | None:
        """Removes a last line that a crash cut; the warning to show, None if all is well."""
        whole, cut = self._split()
        if not cut:
            return None
        if _loads(cut) is not None:  # only its newline is missing
            self._write(b"\n")
            return None
        with self._opened() as file:
            os.ftruncate(file, os.lseek(file, 0, os.SEEK_END) - len(cut))
            os.fsync(file)
        return (
            f"{self.path}: line {len(whole) + 1} was cut in the middle, by a crash or a full "
            "disk; removed it, that run goes on from its checkpoint"
        )

    def append(self, result: Result) -> None:
        """Adds a line, durably: after a failure the file is as it was."""
        line = json.dumps(result, allow_nan=False, ensure_ascii=False) + "\n"
        self._write(line.encode("utf-8", "replace"))  # a name may hold what is no text

    def _write(self, data: bytes) -> None:
        with self._opened() as file:
            before = os.lseek(file, 0, os.SEEK_END)
            try:
                while data:
                    data = data[os.write(file, data) :]
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, before)
                raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be written: {error.strerror or error}. {NOTHING_IS_LOST}"
            ) from error

    def _split(self) -> tuple[list[bytes], bytes]:
        """Whole lines, and what follows the last newline."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], b""
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        *whole, cut = data.split(b"\n")
        return whole, cut

    def _parse(self, number: int, line: bytes) -> Result:
        value = _loads(line)
        if value is None:
            start = line[:40].decode("utf-8", "replace")
            raise FileError(
                f"{self.path}: line {number} is no JSON object: {start!r}. Restore the "
                "line or remove it: its run is then trained again"
            )
        return self._check(number, value)

    def _check(self, number: int, value: Result) -> Result:
        for name, kind in _REQUIRED.items():
            if name not in value or not isinstance(value[name], kind):
                self._refuse(number, name, value)
            if isinstance(value[name], float) and not finite(value[name]):
                self._refuse(number, name, value)
        for name, kind in _OPTIONAL.items():
            if not isinstance(value.get(name, kind()), kind):
                self._refuse(number, name, value)
        for name, inner in _REQUIRED_WITHIN.items():
            for each in inner:
                if each not in value[name]:
                    self._refuse(number, each, value[name])
        self._check_history(number, value["history"])
        return value

    def _check_history(self, number: int, history: Mapping[str, Any]) -> None:
        """A number an epoch, None where it was not finite: what the pictures draw."""
        for name in HISTORY:
            curve = history[name]
            if not isinstance(curve, list) or not all(x is None or finite(x) for x in curve):
                self._refuse(number, name, history)
        lengths = {name: len(history[name]) for name in HISTORY}
        if len(set(lengths.values())) > 1 or not history["valid"]:
            raise FileError(
                f"{self.path}: line {number} is no result: 'history' must have a number of each "
                f"kind for every epoch, has {lengths}"
            )

    def _refuse(self, number: int, name: str, facts: Mapping[str, Any]) -> None:
        found = repr(facts[name])[:40] if name in facts else "missing"
        raise FileError(f"{self.path}: line {number} is no result: {name!r} is {found}")


def reference_results() -> dict[str, list[Result]]:
    """Normlab's own studies, by task: those that the README speaks of.

    Returns:
        Their lines, for report.groups(); empty where the installation has none.

    Example:
        >>> {line["title"] for line in nl.study.reference_results()["rt"]}
        {'RT'}
    """
    for folder in (_PACKAGE / "_results", _PACKAGE.parents[1] / "docs" / "results"):
        if folder.is_dir():
            return {
                path.parent.name: ResultFile(path.parent).read()
                for path in sorted(folder.glob("*/results.jsonl"))
            }
    return {}


def _loads(line: bytes) -> Result | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
