# ruff: noqa: RUF001  (typographic minus)
"""The paper's table and the verdicts in words, for the page, the PDF and the terminal."""

import shlex
from collections.abc import Sequence

from ...paper import NAMES, VARIANTS
from ..groups import Group
from ..stats import POWER
from ..table import authors, difference, number
from .columns import Column, is_quick
from .verdicts import BETTER, MISSING, UNDECIDED, WORSE, Comparison, Finding

HEADINGS = ("task", "difference", "at 95 %", "p", "p, Holm", "more seeds", "authors")
"""Of the table of a claim."""

HOW_TO_READ = (
    "± is half of the 95 % interval of Student's t over the seeds. Differences are taken seed by "
    "seed (same initial weights, same order of the data) and signed so that + favours the first "
    "variant, also where less is better.",
    "Better and worse: the interval of the paired difference leaves zero out. Holm's p-values are "
    "corrected for all comparisons of this page; the tests over all tasks are corrected among "
    "themselves, and they alone decide a verdict. Generated data count for none.",
    "The relative difference is the mean over tasks of the difference in per cent of the "
    "baseline's number, with an interval over tasks; Stouffer's test takes the t tests of all "
    "tasks together.",
    f"More seeds: how many more give a chance of {POWER:.0%} to tell a difference as large as "
    "the one seen, at the deviation seen. Both are uncertain, the more the fewer the seeds.",
    "The authors give one number a cell, without an interval.",
)


def headings(columns: Sequence[Column]) -> list[list[str]]:
    """The lines of each column's heading."""
    found = []
    for column in columns:
        arrow = "" if column.theirs.higher_is_better else " (less is better)"
        lines = [column.theirs.title, f"{column.theirs.metric}{arrow}"]
        found.append([*lines, *column.limits, column.seeds or column.why])
    return found


def ours(column: Column, norm: str) -> str:
    """A cell of ours: 77.54 ± 1.27, or that training diverges."""
    lost, mean = column.diverged(norm), column.mean(norm)
    if mean is None:
        return "diverges" if lost else "–"
    assert column.group is not None
    return number(mean, column.group.digits) + (
        f" ({lost} of {lost + mean.n} diverged)" if lost else ""
    )


def theirs(column: Column, norm: str) -> str:
    """A cell of theirs."""
    return authors(column.theirs.results.get(norm))


def p_text(p: float | None) -> str:
    """0.031, < 0.001 or a dash."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def claim_title(finding: Finding) -> str:
    """Claim 3: AdaNorm is better than LayerNorm."""
    return f"Claim {finding.claim.number}: {finding.claim.text}"


def comparison_cells(each: Comparison) -> list[str]:
    """A row under HEADINGS."""
    column, label = each.column, each.column.label
    return [
        column.theirs.title + (f" ({label})" if label else ""),
        difference(each.estimate, column.group.digits if column.group else 2).lstrip("▲▼≈ "),
        each.word + (f" ({each.why})" if each.why else ""),
        p_text(each.p),
        p_text(each.holm),
        each.more_seeds or "–",
        each.authors or "–",
    ]


def verdict(finding: Finding) -> str:
    """The verdict on a claim in a few sentences."""
    word = finding.verdict
    head = {
        "holds": "The claim holds here.",
        "is contradicted": "The claim is contradicted here.",
        UNDECIDED: "Undecided: these numbers neither confirm nor refute the claim.",
        MISSING: "Not measured.",
    }.get(word, f"No verdict: {word}.")
    parts = [head, *_over_all(finding), *_seeds(finding), *_authors(finding), *_limits(finding)]
    return " ".join(parts)


def _over_all(finding: Finding) -> list[str]:
    n = len(finding.counted)
    if not n:
        return []
    words = ", ".join(f"{word} on {finding.number(word)}" for word in (BETTER, WORSE, UNDECIDED))
    one, other = NAMES[finding.claim.variant], NAMES[finding.claim.baseline]
    found = [f"{one} against {other}, {n} task{'s' if n > 1 else ''}: {words} (95 %)."]
    if finding.signs_p is not None:
        up, down = finding.signs
        found.append(
            f"Sign test over tasks: mean better on {up}, worse on {down}, "
            f"p {_equals(finding.signs_p)}, corrected {p_text(finding.signs_holm)}."
        )
    if finding.pooled is not None:
        mean = difference(finding.pooled).lstrip("▲▼≈ ")
        found.append(f"Relative difference, per cent of {other}'s number: {mean}.")
    if finding.combined_p is not None:
        found.append(
            f"Stouffer's test of all tasks together: p {_equals(finding.combined_p)}, "
            f"corrected {p_text(finding.combined_holm)}."
        )
    return found


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _seeds(finding: Finding) -> list[str]:
    needed = [f"{x.column.theirs.title} {x.more_seeds}" for x in finding.counted if x.more_seeds]
    return [f"More seeds that would decide it: {', '.join(needed)}."] if needed else []


def _authors(finding: Finding) -> list[str]:
    agreed, n = finding.authors
    if not n:
        return ["The authors give no numbers for it."]
    word = BETTER if finding.claim.sign > 0 else WORSE
    return [f"By the authors' single numbers it is {word} on {agreed} of {n}."]


def _limits(finding: Finding) -> list[str]:
    limits = dict.fromkeys(limit for each in finding.counted for limit in each.column.limits)
    return [f"Not the paper's experiment: {'; '.join(limits)}."] if limits else []


def versions(columns: Sequence[Column]) -> list[str]:
    """The versions of normlab that the runs are of."""
    return sorted({r["version"] for c in columns if c.group for r in c.group.results})


def notes(columns: Sequence[Column]) -> list[str]:
    """Notes on this page's own numbers, then how to read it."""
    found = []
    if any(column.group and len(column.group.seeds) == 1 for column in columns):
        found.append("One seed: no interval. Which variant is better cannot be told from it.")
    if len(several := versions(columns)) > 1:
        found.append(
            f"The runs are of several versions of normlab ({', '.join(several)}): a difference "
            "may be one between versions."
        )
    found += [
        f"{column.theirs.title}: {column.reason}"
        for column in columns
        if column.why != column.reason
    ]
    found += [
        f"For {column.theirs.title} this folder also has: {'; '.join(column.others)}."
        for column in columns
        if column.others
    ]
    return [*found, *HOW_TO_READ]


def repeat(group: Group) -> str:
    """The command that trains the group's runs again."""
    settings, first = group.settings, group.first
    seeds = ",".join(map(str, group.seeds)) + ","  # the comma makes a list of a single one
    if is_quick(group):
        return f"normlab paper --quick --seeds {seeds}"
    names = list(dict.fromkeys(row.norm for row in group.rows))
    candidates = next((row.candidates for row in group.rows if row.candidates), [])
    task = first.get("task_words", [first["task"]])
    words = ["normlab", "study", "--task", *task, "--norm", *names, "--seeds", seeds]
    if settings["train_items"] is not None or group.warning:
        words.append("--quick")
    if candidates:
        words += ["--C", *candidates]
    for name in ("epochs", "patience", "batch", "lr", "denominator"):
        words += [f"--{name}", str(settings[name])]
    if (device := first.get("device", "cpu")) != "cpu":
        words += ["--device", device]
    return shlex.join(words)


def markdown(columns: Sequence[Column], found: Sequence[Finding]) -> str:
    """Table and verdicts for a terminal: ours, and the authors' number in brackets."""
    head = [", ".join(lines) for lines in headings(columns)]
    rows = [
        [NAMES[norm], *(f"{ours(column, norm)} [{theirs(column, norm)}]" for column in columns)]
        for norm in VARIANTS
    ]
    table = _table(["variant", *head], rows)
    said = [f"- **{claim_title(each)}.** {verdict(each)}" for each in found]
    return "\n".join(["# The paper's table: ours [the authors']", "", table, *said, ""])


def document(columns: Sequence[Column], found: Sequence[Finding]) -> str:
    """paper.md: table and verdicts, the numbers behind them, and how to read all that."""
    parts = [markdown(columns, found)]
    for each in found:
        rows = [comparison_cells(one) for one in each.comparisons if one.word != MISSING]
        if rows:
            parts.append(f"## {claim_title(each)}\n\n{_table(HEADINGS, rows)}")
    parts.append("\n".join(f"- {note}" for note in notes(columns)) + "\n")
    return "\n".join(parts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
