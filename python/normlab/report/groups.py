# ruff: noqa: RUF001  (typographic minus, dash, times; Greek)
"""Groups of comparable results: one for each task, data and settings."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import paper
from .._text_format import counted
from ..results import decimals, signed
from .stats import Estimate, estimate, paired_difference

Result = Mapping[str, Any]
BASELINE = "layernorm"
_USUAL = {"denominator": "var_eps"}


@dataclass(frozen=True)
class Row:
    """One variant over its seeds, sorted."""

    norm: str
    results: Sequence[Result]

    @property
    def candidates(self) -> Sequence[str]:
        """Values of C that were tried; empty for variants without one."""
        return list(self.results[0].get("C_candidates") or ())

    @property
    def searched(self) -> bool:
        """True if C was chosen among several."""
        return len(self.candidates) > 1

    @property
    def name(self) -> str:
        """The variant, with its C where that was given."""
        given = bool(self.candidates) and not self.searched
        return f"{self.norm} (C = {self.candidates[0]})" if given else self.norm

    @property
    def scales(self) -> str:
        """The chosen C's with their counts; empty where nothing was chosen."""
        if not self.searched:
            return ""
        found = [result["C"] for result in self.results]
        counts = {scale: found.count(scale) for scale in sorted(set(found))}
        return ", ".join(
            f"{scale:g}" + (f" ({n}×)" if len(found) > 1 else "") for scale, n in counts.items()
        )

    @property
    def tests(self) -> dict[int, float]:
        """Test number by seed."""
        return {result["seed"]: result["test"] for result in self.results}

    @property
    def test(self) -> Estimate:
        """Mean test number."""
        return estimate(list(self.tests.values()))

    def mean(self, name: str) -> Estimate | None:
        """Mean of another score of the test, where runs have it."""
        found = [result[name] for result in self.results if name in result]
        return estimate(found) if found else None

    @property
    def seconds(self) -> float:
        """Mean time of a run."""
        return statistics.fmean(result["seconds"] for result in self.results)

    @property
    def best_epoch(self) -> float:
        """Mean number of the epoch whose weights were tested."""
        return statistics.fmean(result["best_epoch"] for result in self.results)

    @property
    def diverged(self) -> int:
        """Runs that diverged."""
        return sum(result["diverged"] for result in self.results)

    @property
    def diverged_at(self) -> list[int]:
        """The steps at which runs diverged, of tasks that tell."""
        return [step for result in self.results if (step := result.get("diverged_at"))]

    def curve(self, name: str) -> list[list[float | None]]:
        """The history of that name, a list for each seed."""
        return [result["history"][name] for result in self.results]


@dataclass(frozen=True)
class Group:
    """Runs of one task on the same data with the same settings."""

    rows: Sequence[Row]

    # For notebooks. summary.py sets it, because the table depends on this module.
    _repr_html_: ClassVar[Callable[["Group"], str]]

    @property
    def first(self) -> Result:
        """One result, for facts that are equal in all."""
        return self.rows[0].results[0]

    @property
    def results(self) -> list[Result]:
        """All lines, variant by variant."""
        return [result for row in self.rows for result in row.results]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that all share."""
        settings: Mapping[str, Any] = self.first["settings"]
        return settings

    @property
    def warning(self) -> str:
        """A warning about the data, shown beside every number."""
        return str(self.first["warning"])

    @property
    def subset(self) -> str:
        """Which part of the training data was used; empty for all of it."""
        used, all_items = self.settings["train_items"], self.first["train_items"]
        if used is None or used >= all_items:
            return ""
        return f"first {used:,} of {all_items:,} training examples"

    @property
    def fewer_epochs(self) -> str:
        """Number of epochs, if the authors trained for more."""
        column, epochs = paper.RESULTS.get(self.first["task"]), self.settings["epochs"]
        fewer = column is not None and column.epochs is not None and epochs < column.epochs
        return f"at most {counted(epochs, 'epoch')}" if fewer else ""

    @property
    def limits(self) -> list[str]:
        """Reasons against a comparison with the authors' numbers; empty if there are none."""
        return [text for text in (self.warning, self.subset, self.fewer_epochs) if text]

    @property
    def name(self) -> str:
        """The data set's, or what stands in for it."""
        return self.warning or str(self.first["title"])

    @property
    def heading(self) -> str:
        """The name, with settings that are not the usual ones."""
        unusual = [
            str(self.settings[x]) for x, usual in _USUAL.items() if self.settings[x] != usual
        ]
        if self.first.get("device", "cpu") != "cpu":
            unusual.append(f"on {self.first['device']}")
        if self.first.get("precision", "float32") != "float32":
            unusual.append(f"{self.first['precision']} products")
        return ", ".join([self.name, *unusual])

    @property
    def title(self) -> str:
        """The heading with all limits, for tables and pictures without a page."""
        return ", ".join(dict.fromkeys([self.heading, *self.limits]))

    @property
    def metric(self) -> str:
        """Name and unit of the numbers, and their direction where less is better."""
        name, unit = self.first["metric"], self.first["unit"]
        named = name if unit in name else f"{name}, {unit}"
        return named if self.higher_is_better else f"{named} (less is better)"

    @property
    def higher_is_better(self) -> bool:
        """The metric's direction."""
        return bool(self.first.get("higher_is_better", True))

    @property
    def digits(self) -> int:
        """Decimals of the metric."""
        return decimals(self.first)

    @property
    def seeds(self) -> list[int]:
        """Every seed that occurs."""
        return sorted({result["seed"] for result in self.results})

    @property
    def origins(self) -> list[str]:
        """Where the data came from, in words."""
        return sorted({result["data"] for result in self.results})

    @property
    def best(self) -> Row:
        """The variant with the best mean."""
        return max(self.rows, key=lambda row: signed(row.test.mean, self.higher_is_better))

    @property
    def marked(self) -> int | None:
        """Index of the best row; None for one seed or one row, where tables mark none."""
        several = len(self.rows) > 1 and len(self.seeds) > 1
        return self.rows.index(self.best) if several else None

    @property
    def baseline(self) -> Row | None:
        """Layernorm, if the group has it."""
        return next((row for row in self.rows if row.norm == BASELINE), None)

    def difference(self, row: Row) -> Estimate | None:
        """The row's paired difference to layernorm; None for layernorm itself or without it."""
        baseline = self.baseline
        if baseline is None or row is baseline:
            return None
        return paired_difference(row.tests, baseline.tests)

    def authors(self, row: Row) -> float | None:
        """The authors' number; None on other data than theirs."""
        return None if self.warning else paper.result(self.first["task"], row.norm)

    @property
    def counterpart(self) -> str:
        """The authors' data set if it differs from this one; else empty."""
        task = self.first["task"]
        return paper.RESULTS[paper.COUNTERPARTS[task]].title if task in paper.COUNTERPARTS else ""

    @property
    def has_authors(self) -> bool:
        """True if the paper has numbers for this task."""
        return any(self.authors(row) is not None for row in self.rows)


def groups(results: Iterable[Result], order: Sequence[str]) -> list[Group]:
    """Groups in order of appearance, their rows in the order given; candidates left out.

    Example:
        >>> lines = nl.study.reference_results()["rt"]
        >>> [row.norm for row in nl.report.groups(lines, ["layernorm", "adanorm"])[0].rows][:2]
        ['layernorm', 'adanorm']
    """
    found: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        if not result["candidate"]:
            key = json.dumps(
                [
                    result["task"],
                    result["fingerprint"],
                    result["settings"],
                    result.get("device", "cpu"),
                    result.get("precision", "float32"),
                ],
                sort_keys=True,
            )
            # One variant searched over different C's is not one row.
            row = json.dumps([result["norm"], sorted(result.get("C_candidates") or ())])
            found.setdefault(key, {}).setdefault(row, []).append(result)

    def place(results: list[Result]) -> int:
        norm = results[0]["norm"]
        return order.index(norm) if norm in order else len(order)

    return [
        Group(
            [
                Row(lines[0]["norm"], sorted(lines, key=lambda line: line["seed"]))
                for lines in sorted(rows.values(), key=place)
            ]
        )
        for rows in found.values()
    ]
