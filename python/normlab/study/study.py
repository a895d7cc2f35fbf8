"""A study: every variant over every seed, in a folder from which it can be resumed."""

from collections.abc import Callable, Generator, Mapping, Sequence, Sized
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import cuda, matmul_precision, num_threads, set_num_threads
from .._core import ArgumentError, FileError
from ..results import Result, ResultFile, locked
from ..settings import finite, whole
from .cluster import check_scheduler, run_on_cluster
from .display import Display, display
from .norms import norm_options
from .plan import Choice, Overrides, choices
from .run import Run
from .saved import BestModel
from .shown import Results
from .task import NormChoice, Task
from .workers import Loaded, check_main_part, checkpoint_of, model_of, run_here, run_in_processes

# What every element of an argument must be, and the words for it.
_EACH: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "tasks": (lambda task: hasattr(task, "load"), "tasks, as TASKS['mnist']() is"),
    "norms": (lambda norm: isinstance(norm, str), "names of variants"),
    "seeds": (lambda seed: whole(seed, 0), "whole numbers of 0 or more"),
    "scales": (lambda scale: finite(scale) and scale > 0, "positive numbers"),
}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a study. The text tells how many runs are finished."""

    def __init__(self, finished: int, total: int):
        super().__init__(f"{finished} of {total} runs are finished")


@dataclass(frozen=True)
class Study:
    """A plan: networks to train and a folder for the results.

    Attributes:
        tasks: Task objects, see task.Task.
        norms: Names of variants.
        seeds: One run each for every variant.
        out: Folder of results.jsonl and the report.
        scales: Candidates for AdaNorm's C; None: the tasks' own.
        overrides: Settings instead of the tasks' own.
        quick: The tasks' short settings: fewer epochs, and only a part of the images.
        threads: None: as the engine chose. No number depends on it.
        jobs: Runs at a time, sharing the threads.
        save: Keep the model of the run that is best on validation as model.safetensors.
        device: "cpu" or "cuda", where networks are trained and tested.
        precision: "float32", or "bfloat16" for products of rounded inputs, see
            set_matmul_precision.
        scheduler: Address or scheduler file of a Dask scheduler, whose workers train instead of
            this process. Without `threads`, each takes its part of its host's cores.
        report: Write the report at the end.
    """

    tasks: Sequence[Task[Any]]
    norms: Sequence[str]
    seeds: Sequence[int]
    out: Path
    scales: Sequence[float] | None = None
    overrides: Overrides = field(default_factory=Overrides)
    quick: bool = False
    threads: int | None = None
    jobs: int = 1
    save: bool = False
    device: str = "cpu"
    precision: str = "float32"
    scheduler: str | None = None
    report: bool = True

    def __post_init__(self) -> None:
        """ArgumentError for all errors that need no data."""
        if not str(self.out):
            raise ArgumentError("out: must be a path, is empty")
        object.__setattr__(self, "out", Path(self.out))
        for name, (fits, rule) in _EACH.items():
            given = getattr(self, name)
            if name != "scales" or given is not None:
                _check_each(name, given, fits, rule)
        self._check_names()
        object.__setattr__(self, "seeds", [int(seed) for seed in self.seeds])  # NumPy's are no JSON
        for name in ("threads", "jobs"):
            given = getattr(self, name)
            if not whole(given, 1) and (name, given) != ("threads", None):
                raise ArgumentError(f"{name}: must be a whole number of 1 or more; is {given!r}")
        if self.scheduler is not None:
            check_scheduler(self.scheduler)
            if self.jobs > 1:
                raise ArgumentError("jobs: is for this machine alone; leave out jobs or scheduler")
        if not isinstance(self.overrides, Overrides):
            raise ArgumentError(
                f"overrides: must be Overrides, as Overrides(epochs=1) is; is {self.overrides!r}"
            )

    def _check_names(self) -> None:
        """Of two tasks of one name, such as charlm on two texts, only one would be trained."""
        names = [task.name for task in self.tasks]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ArgumentError(
                f"tasks: must have names of their own, two are {twice!r}; run a study each, into "
                "the same out if you like"
            )

    def run(self, show: Display | None = None) -> Results:
        """Trains unfinished runs, writes the report and returns this study's results.

        They are a list of dicts, which notebooks show as a table.

        Raises:
            FileError: No data, data that cannot be trained on, or an output folder that cannot be
                used; before any training.
            ArgumentError: Several jobs or a scheduler, but a task that other processes cannot
                import; a scheduler, but no Dask.
            DeviceError: No GPU for device "cuda", with the reason; before anything else.
            Error: A worker or the scheduler failed, with the reason.
            Interrupted: Ctrl-C. The same call goes on.
        """
        from ..report import write_report

        check_main_part()
        if self.save and len(self.tasks) > 1:
            raise ArgumentError("save: keeps one model, so it takes one task")
        if self.device not in ("cpu", "cuda"):
            raise ArgumentError(f"device: must be 'cpu' or 'cuda'; is {self.device!r}")
        matmul_precision(self.precision)
        if (self.precision, self.device) == ("bfloat16", "cuda"):
            raise ArgumentError("precision: bfloat16 is for the CPU's products; leave out one")
        here = "cpu" if self.scheduler else self.device  # GPUs are for those that train
        if here == "cuda":
            cuda.properties()
        if self.threads is not None:
            set_num_threads(self.threads)
        with locked(self.out):
            file = ResultFile(self.out)
            warning = file.repair()
            finished = {result["id"]: result for result in file.read()}
            tasks = {task.name: (task, task.load(quick=self.quick).to(here)) for task in self.tasks}
            plan = self._plan(tasks)
            with show or display() as shown:
                for text in (warning, *(data.warning for _, data in tasks.values())):
                    if text:
                        shown.say(f"warning: {text}")
                for task, data in tasks.values():
                    shown.say(f"data of {task.title}: {data.origin}")
                self._train(plan, tasks, file, finished, shown)
            if self.report:
                write_report(self.out)
        return Results(finished[choice.id] for choice in plan)

    def _plan(self, tasks: dict[str, Loaded]) -> list[Choice]:
        plan = []
        for task, data in tasks.values():
            settings = self.overrides.on(task.quick if self.quick else task.settings)
            for norm in self.norms:  # a variant that refuses its options does so before training
                task.build(data, NormChoice(norm, norm_options(norm, settings, None)))
                if check := getattr(task, "check", None):  # not every task has one
                    check(settings, norm)
            scales = task.scales if self.scales is None else self.scales
            plan += choices(
                task,
                data,
                settings,
                self.norms,
                self.seeds,
                scales,
                self.device,
                self.precision,
            )
        return plan

    def _train(
        self,
        plan: list[Choice],
        tasks: dict[str, Loaded],
        file: ResultFile,
        finished: dict[str, Result],
        shown: Display,
    ) -> None:
        waiting = _by_run(plan)
        runs = list(waiting)
        pending = [run for run in runs if run.id not in finished]
        best = BestModel(self.out, runs, finished) if self.save else None
        epochs = sum(run.settings.epochs for run in pending)
        shown.start(epochs, len(pending), len(runs) - len(pending))
        self._choose(plan, file, finished)
        try:
            with closing(self._results(pending, tasks, shown)) as results:
                for run, result in results:
                    file.append(result)
                    finished[run.id] = result
                    self._choose(waiting[run], file, finished)
                    if best:
                        best.offer(run, result)
                    checkpoint_of(self.out, run).unlink(missing_ok=True)
                    shown.finish(run, result)
            if best and (lost := best.missing(finished)):
                shown.again(lost)
                with closing(self._results([lost], tasks, shown)) as results:
                    _, result = next(results)
                best.offer(lost, result)
                shown.finish(lost, result)
            if best and not best.found:
                shown.say("warning: no model is saved: every run diverged")
        except KeyboardInterrupt:
            done = sum(run.id in finished for run in runs)
            raise Interrupted(done, len(runs)) from None
        except OSError as error:
            if isinstance(error, (FileError, BrokenPipeError)):
                raise
            raise FileError(
                f"{self.out}: {error}. Nothing is lost: run the same command again to go on"
            ) from error
        self._clean(runs)
        with suppress(OSError):  # not empty: another study's runs are under way
            (self.out / "running").rmdir()

    def _results(
        self, pending: list[Run], tasks: dict[str, Loaded], shown: Display
    ) -> Generator[tuple[Run, Result], None, None]:
        if self.scheduler is not None:
            return run_on_cluster(
                pending,
                tasks,
                self.out,
                shown,
                scheduler=self.scheduler,
                threads=self.threads,
                quick=self.quick,
                save=self.save,
            )
        if self.jobs == 1 or len(pending) < 2:
            return run_here(pending, tasks, self.out, shown, save=self.save)
        threads = max(1, num_threads() // self.jobs)
        return run_in_processes(
            pending,
            tasks,
            self.out,
            shown,
            jobs=self.jobs,
            threads=threads,
            quick=self.quick,
            save=self.save,
        )

    def _choose(
        self, among: Sequence[Choice], file: ResultFile, finished: dict[str, Result]
    ) -> None:
        """Writes the line of each of these choices whose runs are all finished."""
        for choice in among:
            if choice.id not in finished and all(run.id in finished for run in choice.runs):
                finished[choice.id] = choice.result(finished)
                file.append(finished[choice.id])

    def _clean(self, runs: list[Run]) -> None:
        """Removes files of finished runs that a crash or a second training left."""
        for run in runs:
            checkpoint_of(self.out, run).unlink(missing_ok=True)
            model_of(self.out, run).unlink(missing_ok=True)


def _by_run(plan: Sequence[Choice]) -> dict[Run, list[Choice]]:
    """Each run, once, and the choices that wait for it: to ask all after each would take long."""
    found: dict[Run, list[Choice]] = {}
    for choice in plan:
        for run in choice.runs:
            found.setdefault(run, []).append(choice)
    return found


def _check_each(name: str, given: Any, fits: Callable[[Any], bool], rule: str) -> None:
    if isinstance(given, str) or not hasattr(given, "__len__") or not len(given):
        said = repr(given) if isinstance(given, (str, int, Sized)) else type(given).__name__
        raise ArgumentError(f"{name}: must be a list of one or more; is {said}")
    for each in given:
        if not fits(each):
            raise ArgumentError(f"{name}: must be {rule}; has {each!r}")
