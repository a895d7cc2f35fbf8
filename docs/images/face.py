"""Makes face.png, the README's picture: python docs/images/face.py, with MNIST at hand."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import normlab as nl
from normlab import paper
from normlab.report import groups
from normlab.report.plots import tests
from normlab.study import TASKS, NormChoice, ResultFile

HERE = Path(__file__).parent
RT = HERE.parent / "results" / "rt"
STEPS, BATCH = 400, 32


def off_centre(variant: str) -> list[float]:
    """By step, |mean| over deviation of the rows of the gradient that leaves the last norm."""
    task = TASKS["mnist"]()
    data = task.load()
    nl.manual_seed(0)
    net = task.build(data, NormChoice(variant, {}))
    optimizer = nl.optim.Adam(net.parameters(), lr=1e-3)
    order = nl.permutation(len(data.splits["train"].labels))
    with nl.probe(net) as probe:
        for step in range(STEPS):
            index = order[step * BATCH : (step + 1) * BATCH]
            images = nl.take(data.splits["train"].images, index)
            labels = nl.take(data.splits["train"].labels, index)
            optimizer.zero_grad()
            nl.cross_entropy(net(images), labels).backward()
            optimizer.step()
            probe.next_step()
    last = [record for record in probe.records if record.layer == probe.records[-1].layer]
    return [record.dx.row_mean / np.sqrt(record.dx.row_var) for record in last]


def smoothed(values: list[float], width: int = 20) -> np.ndarray:
    """Geometric means of so many steps."""
    return np.exp(np.log(np.reshape(values, (-1, width))).mean(axis=1))


def main() -> None:
    """Two panels: what a norm does to the gradient, and whether the test tells."""
    with plt.style.context(nl.viz.style()):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.6, 3.9), width_ratios=(1.12, 1))
        for variant in paper.NORMS:
            values = smoothed(off_centre(variant))
            steps = np.arange(len(values)) * 20 + 10
            left.plot(steps, values, markevery=3, **nl.viz.look(variant))
        left.set_yscale("log")
        left.set_xlabel("training step (MNIST, batch 32)")
        left.set_ylabel("|mean| / deviation of a gradient row")
        left.set_title("The gradient that leaves the last norm:\nis it centred?")
        left.legend(loc="center right", bbox_to_anchor=(1.0, 0.55), ncols=2, fontsize=9)
        (group,) = groups(ResultFile(RT).read(), nl.norm_variants())
        tests(right, group)
        seeds = len(group.seeds)
        right.set_title(
            f"Accuracy on RT, {seeds} seeds, 95 % intervals;\nthe authors' one number: ◇"
        )
        right.set_xlabel("test accuracy, %")
        figure.savefig(HERE / "face.png", dpi=110)


if __name__ == "__main__":
    main()
