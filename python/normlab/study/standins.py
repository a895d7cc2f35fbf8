"""Tasks on generated data, for `normlab paper --quick` on a machine without the real ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..data import standin_reviews, standin_treebank
from .parsing import ParseTask, TreebankTensors
from .task import Task
from .text import TextSettings, TextTask, rt_task, sst5_task

_STANDIN_TREES = "stand-in trees (generated)"


class StandinParseTask(ParseTask):
    """The parser on sentences of a small grammar."""

    def load(self, *, quick: bool = False) -> TreebankTensors:
        """Generated trees, always; everything says so."""
        data = self.tensors(standin_treebank())
        return replace(data, origin=f"{_STANDIN_TREES}: {data.origin}", warning=_STANDIN_TREES)


def _reviews(real: Callable[[], TextTask], classes: int) -> TextTask:
    task = real()
    assert isinstance(task.settings, TextSettings)
    return TextTask(task.name, task.title, partial(standin_reviews, classes=classes), task.settings)


STANDINS: Mapping[str, Callable[[], Task[Any]]] = {
    "rt": partial(_reviews, rt_task, 2),
    "sst5": partial(_reviews, sst5_task, 5),
    "parse": StandinParseTask,
}
"""By the name of the task in whose place they stand. MNIST's task has its own."""
