"""Studies: train every variant over several seeds, and report means with intervals."""

from collections.abc import Callable, Mapping
from typing import Any

from ..results import Result, ResultFile, reference_results
from ..settings import Settings
from .charlm import charlm_task
from .images import fashion_mnist_task, mnist_task
from .parsing import parse_task
from .plan import Overrides
from .study import Interrupted, Study
from .task import Dataset, NormChoice, Score, Task
from .text import rt_task, sst5_task
from .translating import translate_task

TASKS: Mapping[str, Callable[[], Task[Any]]] = {
    "mnist": mnist_task,
    "fashion_mnist": fashion_mnist_task,
    "rt": rt_task,
    "sst5": sst5_task,
    "parse": parse_task,
    "charlm": charlm_task,
    "translate": translate_task,
}
"""Every task by its name; a new one is a row here."""

__all__ = [
    "TASKS",
    "Dataset",
    "Interrupted",
    "NormChoice",
    "Overrides",
    "Result",
    "ResultFile",
    "Score",
    "Settings",
    "Study",
    "Task",
    "reference_results",
]
