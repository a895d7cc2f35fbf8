"""The paper's columns, each with the runs that fill it."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ... import norm_variants
from ..._text_format import counted
from ...paper import RESULTS, Filler, PaperTask
from ...results import Result
from ...settings import finite
from ..groups import Group, Row, groups
from ..stats import Estimate, estimate

_NOT_RUN = "not run"
_MOST_LETTERS = 60  # of a reason in a cell
_SHORT = "the short settings of --quick"


@dataclass(frozen=True)
class Column:
    """A column of the paper, ours beside theirs.

    Attributes:
        name: Its key in paper.RESULTS.
        theirs: The authors' numbers.
        group: Our runs; None where there are none.
        reason: Why there are none; else empty.
        others: Titles of groups that could stand here, too, and do not.
    """

    name: str
    theirs: PaperTask
    group: Group | None = None
    reason: str = ""
    others: Sequence[str] = ()

    @property
    def filler(self) -> Filler | None:
        """The row of the column's table that the runs are of."""
        if self.group is None:
            return None
        task = self.group.first["task"]
        return next(each for each in self.theirs.fillers if each.task == task)

    @property
    def generated(self) -> bool:
        """True if the data were generated: such numbers say nothing of the paper's claims."""
        return self.group is not None and bool(self.group.warning)

    @property
    def label(self) -> str:
        """The data where they are not the paper's, else empty."""
        if self.group is None or self.filler is None:
            return ""
        if self.generated or self.filler.data:
            return f"{self.group.name}, in place of {self.theirs.title}"
        return ""

    @property
    def limits(self) -> list[str]:
        """All that keeps the numbers from being the paper's experiment."""
        if self.group is None:
            return []
        few = self.group.limits[1:] if self.generated else self.group.limits
        short = _SHORT if is_quick(self.group) else ""
        return [text for text in (self.label, short, *few) if text]

    def row(self, norm: str) -> Row | None:
        """The variant's runs; of several rows, with other C's, the one with most seeds."""
        rows = [row for row in self.group.rows if row.norm == norm] if self.group else []
        return max(rows, key=lambda row: (len(row.results), len(row.candidates)), default=None)

    def tests(self, norm: str) -> dict[int, float]:
        """Test number by seed, without runs that diverged."""
        row = self.row(norm)
        return {r["seed"]: r["test"] for r in row.results if not _diverged(r)} if row else {}

    def mean(self, norm: str) -> Estimate | None:
        """The mean over the runs that did not diverge; None if there are none."""
        tests = self.tests(norm)
        return estimate(list(tests.values())) if tests else None

    def diverged(self, norm: str) -> int:
        """Runs of the variant that diverged."""
        row = self.row(norm)
        return sum(map(_diverged, row.results)) if row else 0

    @property
    def why(self) -> str:
        """The reason, cut short for a cell; the notes have all of it."""
        return textwrap.shorten(self.reason, _MOST_LETTERS, placeholder=" …")

    @property
    def seeds(self) -> str:
        """How many seeds, in words."""
        return counted(len(self.group.seeds), "seed") if self.group else ""


def is_quick(group: Group) -> bool:
    """True if the runs have the settings of `normlab paper --quick`."""
    task, settings = group.first["task"], group.settings
    shorts = [x.quick for column in RESULTS.values() for x in column.fillers if x.task == task]
    same = any(short.items() <= settings.items() for short in shorts)
    return same and settings["patience"] == settings["epochs"]


def columns(results: Iterable[Result], reasons: Mapping[str, str]) -> list[Column]:
    """All columns of the paper in its order.

    Args:
        results: A study's.
        reasons: Why a column has no runs, by its name.
    """
    found = groups(results, norm_variants())
    return [_column(name, theirs, found, reasons) for name, theirs in RESULTS.items()]


def _column(
    name: str, theirs: PaperTask, found: Sequence[Group], reasons: Mapping[str, str]
) -> Column:
    tasks = [filler.task for filler in theirs.fillers]
    ours = [group for group in found if group.first["task"] in tasks]
    if not ours:
        return Column(name, theirs, reason=reasons.get(name) or _NOT_RUN)

    def rank(group: Group) -> tuple[bool, int, int, int]:
        place = tasks.index(group.first["task"])
        return bool(group.warning), place, len(group.limits), -len(group.results)

    best, *others = sorted(ours, key=rank)
    return Column(name, theirs, best, others=[_described(group) for group in others])


def _described(group: Group) -> str:
    return f"{group.title} ({counted(len(group.results), 'result')})"


def _diverged(result: Mapping[str, object]) -> bool:
    return bool(result["diverged"]) or not finite(result["test"])
