"""Writes what follows from the committed results anew: python docs/results/tables.py.

These are table.md of each study, paper.md, and the README's table of claims. A test compares them.
"""

import re
from pathlib import Path

import normlab as nl
from normlab.report import groups
from normlab.report.paper import Finding, columns, findings
from normlab.report.paper.verdicts import BETTER, UNDECIDED, WORSE
from normlab.report.paper.words import document
from normlab.report.table import markdown
from normlab.results import Result, ResultFile
from normlab.study.paper import untasked

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
_CLAIMS = re.compile(
    r"(?<=\| claim of the paper \| here \| task by task \|\n\|---\|---\|---\|\n)(\|.*\n)+"
)


def texts() -> dict[Path, str]:
    """Each file with its text."""
    studies = {path.parent: ResultFile(path.parent).read() for path in HERE.glob("*/results.jsonl")}
    found: dict[Path, str] = {
        folder / "table.md": markdown(groups(lines, nl.norm_variants()))
        for folder, lines in studies.items()
    }
    lines = [line for folder in sorted(studies) for line in studies[folder]]
    paper = columns(lines, untasked())
    found[HERE / "paper.md"] = document(paper, findings(paper))
    found[README] = _CLAIMS.sub(_claims(lines).replace("\\", r"\\"), README.read_text("utf-8"))
    return found


def _claims(lines: list[Result]) -> str:
    rows = map(_row, findings(columns(lines, {})))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(finding: Finding) -> tuple[str, str, str]:
    """A claim, whether it holds here, and on which tasks the variant is better or worse."""
    found = []
    for word in (BETTER, WORSE, UNDECIDED):
        alike = [each.column for each in finding.counted if each.word == word]
        names = [(each.filler and each.filler.data) or each.theirs.title for each in alike]
        if names:
            found.append(f"{word} on {', '.join(names)}")
    verdict = "cannot be told" if finding.verdict == UNDECIDED else finding.verdict
    return f"{finding.claim.number}. {finding.claim.text}", verdict, "; ".join(found)


def main() -> None:
    """Writes them."""
    for path, text in texts().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
