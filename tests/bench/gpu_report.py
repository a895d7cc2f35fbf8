"""Makes the tables of results.md from what `tests/bench/gpu run` has left.

python gpu_report.py build/gpu-out

A ratio above 1 means that ours is faster. Shares of bandwidth count what a pass must move: x and z
forward; x, dz and dx backward, whose time is that of both passes less the forward one.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

# GB/s by the makers' data sheets.
PEAKS = {
    "NVIDIA H100 80GB HBM3": 3352,
    "NVIDIA H200": 4800,
    "NVIDIA A100-SXM4-80GB": 2039,
    "NVIDIA A100-SXM4-40GB": 1555,
}
BYTES = {"float32": 4, "bfloat16": 2}
LARGE = 64 << 20
Record = dict[str, Any]


def records(path: Path) -> list[Record]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown GPU"
    return done.stdout.strip()


def median(found: list[Record], field: str) -> float:
    return statistics.median(r[field] for r in found)


def norm_rows(found: list[Record]) -> list[str]:
    """A row for each shape, norm and dtype: shares of the peak and the best of the others."""
    by_case: dict[tuple[str, str, str], dict[str, list[Record]]] = defaultdict(dict)
    for r in found:
        case = by_case[(r["dtype"], r["shape"], r["norm"])]
        case.setdefault(r["side"], []).append(r)
    rows = []
    for (dtype, shape, norm), sides in by_case.items():
        if "ours" not in sides:
            continue
        ours = sides["ours"]
        rows_n, cols = map(int, shape.split("x"))
        nbytes = rows_n * cols * BYTES[dtype]
        peak = PEAKS.get(ours[0]["device"])
        forward, both = median(ours, "forward_us"), median(ours, "both_us")
        cells = [norm, shape, dtype, f"{forward:.1f}", f"{both - forward:.1f}"]
        for moved, us in ((2, forward), (3, both - forward)):
            rate = moved * nbytes / us * 1e-3
            cells.append(f"{rate / peak:.0%}" if peak and nbytes >= LARGE else f"{rate:.0f} GB/s")
        copy = 2 * nbytes / median(ours, "copy_us") * 1e-3
        cells.append(f"{copy:.0f}")
        others = {side: r for side, r in sides.items() if side != "ours"}
        for field in ("forward_us", "both_us"):
            best = min(others, key=lambda s: median(others[s], field), default=None)
            if best is None:
                cells += [""]
                continue
            ratio = median(others[best], field) / median(ours, field)
            cells.append(f"{ratio:.2f} ({best})")
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def step_rows(found: list[Record]) -> list[str]:
    by_case: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(dict)
    for r in found:
        side = "torch" if r.get("peer") == "torch" else "graph" if r.get("graph") else "ours"
        task = next(t for t in ("mnist", "text", "pars") if t in r["task"])
        by_case[(task, r["norm"])].setdefault(side, []).append(r)
    rows = []
    for (task, norm), sides in by_case.items():
        cells = [{"pars": "parse"}.get(task, task), norm]
        speeds = {side: median(r, "items_per_s") for side, r in sides.items()}
        for side in ("ours", "graph", "torch"):
            cells.append(f"{speeds[side]:.0f}" if side in speeds else "")
        for side in ("ours", "graph"):
            known = side in speeds and "torch" in speeds
            cells.append(f"{speeds[side] / speeds['torch']:.2f}" if known else "")
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    out = Path(sys.argv[1])
    phases = json.loads((out / "phases.json").read_text())
    lines = [f"## {gpu()}, {time.strftime('%Y-%m-%d')}", ""]
    lines += ["| phase | outcome | s |", "|---|---|---|"]
    lines += [f"| {p['phase']} | {p['outcome']} | {p['seconds']} |" for p in phases]
    norms, steps = norm_rows(records(out / "norms.jsonl")), step_rows(records(out / "steps.jsonl"))
    if norms:
        lines += [
            "",
            "Norms, medians. Backward: both passes less the forward one. Shares are of the data "
            "sheet's bandwidth.",
            "",
            "| norm | rows x H | dtype | forward us | backward us | forward | backward | copy GB/s "
            "| fastest other / ours, forward | both |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *norms,
        ]
    if steps:
        lines += [
            "",
            "Training steps, items a second; a graph is captured once and replayed.",
            "",
            "| task | norm | ours | ours, graph | torch eager | ours / torch | graph / torch |",
            "|---|---|---|---|---|---|---|",
            *steps,
        ]
    (out / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
