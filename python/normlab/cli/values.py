"""Values of options: lists in words, each checked; errors name the option."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import normlab as nl

MOST_SEED, MOST_COUNT = 2**64 - 1, 2**63 - 1  # that the engine takes
_MOST_SEEDS = 1_000_000
_MOST_OF_STUDY = 2**31 - 1  # whose products fit the engine's numbers
_MANY = ("--task", "--norm", "--seeds", "--C")  # options of several values


def path(name: str, given: str) -> Path:
    """The path; ArgumentError if it is empty, which would mean the current folder."""
    if not given:
        raise nl.ArgumentError(f"{name}: must be a path, is empty")
    return Path(given)


def tasks(words: list[str], **options: Mapping[str, Any]) -> list[Any]:
    """The tasks of these names; `options` are by tasks' names, None where one is not given."""
    from normlab.study import TASKS

    names = known("--task", words, list(TASKS))
    given = {
        task: {name: value for name, value in values.items() if value is not None}
        for task, values in options.items()
    }
    for task, values in given.items():
        if values and task not in names:
            raise nl.ArgumentError(f"--{next(iter(values))}: needs --task {task}")
    return [TASKS[name](**given.get(name, {})) for name in names]


def norms(words: list[str]) -> list[str]:
    """Names of variants, with all and paper replaced by theirs."""
    from normlab.paper import NORMS

    sets = {"all": list(nl.norm_variants()), "paper": list(NORMS)}
    names = known("--norm", words, [*sets, *sets["all"]])
    return list(dict.fromkeys(each for name in names for each in sets.get(name, [name])))


def _items(words: list[str]) -> list[str]:
    """The values, once each, separated by spaces, commas or both."""
    return list(dict.fromkeys(item for word in words for item in word.split(",") if item))


def known(option: str, words: list[str], known: list[str]) -> list[str]:
    """The names in lower case; ArgumentError for one that is not known."""
    for name in (names := [item.lower() for item in _items(words)]):
        if name not in known:
            raise nl.ArgumentError(f"{option}: must be of {', '.join(known)}; is {name!r}")
    return names


def positive(option: str, words: list[str]) -> tuple[float, ...]:
    """Positive numbers."""
    try:
        numbers = tuple(float(item) for item in _items(words))
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError
    except ValueError:
        raise nl.ArgumentError(
            f"{option}: must be positive numbers, are {' '.join(words)!r}"
        ) from None
    return numbers


def finite(option: str, number: float | None) -> float | None:
    """The number, if there is one; ArgumentError unless it is finite."""
    if number is not None and not math.isfinite(number):
        raise nl.ArgumentError(f"{option}: must be a finite number, is {number}")
    return number


def at_most(option: str, number: int | None, most: int) -> int | None:
    """The number, if there is one; ArgumentError if it is larger."""
    if number is not None and number > most:
        raise nl.ArgumentError(f"{option}: must be at most {most:,}, is {number:,}")
    return number


def counts(**options: int | None) -> None:
    """ArgumentError for an option of a study that is larger than any study's."""
    for name, number in options.items():
        at_most(f"--{name}", number, _MOST_OF_STUDY)


def seeds(words: list[str]) -> list[int]:
    """Seeds 0 to n - 1 for a single number n, else the listed ones."""
    listed = len(words) > 1 or "," in words[0]
    try:
        numbers = [int(item) for item in _items(words)]
        if not numbers or min(numbers) < (0 if listed else 1):
            raise ValueError
    except ValueError:
        raise nl.ArgumentError(
            f"--seeds: must be how many (1 or more) or a list such as 0,3,7; is {' '.join(words)!r}"
        ) from None
    at_most("--seeds", max(numbers), MOST_SEED if listed else _MOST_SEEDS)
    return numbers if listed else list(range(numbers[0]))


def spread(words: list[str]) -> list[str]:
    """Repeats the name of a list option before each value: `--norm a b` is `--norm a --norm b`."""
    result: list[str] = []
    option = None
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("-"):
            option = name if (name := word.partition("=")[0]) in _MANY else None
        elif option and before != option:
            result.append(option)
        result.append(word)
    return result
