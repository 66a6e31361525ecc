"""From the command lines of several seeds to their run directories."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from moe_lab.config.check import check_line
from moe_lab.config.compose import Composition
from moe_lab.data import ImageData
from moe_lab.errors import UserError
from moe_lab.training.attempt import Request, read, settle
from moe_lab.training.console import print_result
from moe_lab.training.run import TrainingRun
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.sandbox import at_work
from moe_lab.training.seeds.member import Member
from moe_lab.training.seeds.probe import probe
from moe_lab.training.seeds.refusals import CannotBatch, refuse_parts, refuse_settings
from moe_lab.training.seeds.speed import Speed, measure
from moe_lab.training.seeds.training import fit, stack

log = logging.getLogger("moe_lab")
Line = Sequence[str]
After = Callable[[RunDirectory], object]


@dataclass(frozen=True)
class Outcome:
    """What became of several command lines; `refused` says why they were not trained together."""

    refused: str | None = None
    speed: Speed | None = None


def train_together(
    lines: Sequence[Line], even_if_slower: bool = False, after: After | None = None
) -> Outcome:
    """Train command lines that differ in `seed` and `run_dir` alone in one pass.

    Each leaves the run directory of a run of its own. Where that cannot be, or takes longer than
    one after the other, nothing is trained, and the folders hold no finished run.
    """
    try:
        jobs = [check_line("train", line)[0] for line in lines]
    except UserError:
        return Outcome("the command line is refused")
    return SeedBatchTask(jobs, even_if_slower, after)()


class SeedBatchTask:
    """The work on several jobs."""

    def __init__(
        self,
        jobs: Sequence[Composition],
        even_if_slower: bool,
        after: Callable[[RunDirectory], object] | None,
    ) -> None:
        self.jobs, self.even_if_slower, self.after = jobs, even_if_slower, after
        self.outcome = Outcome("it did not start")

    def __call__(self) -> Outcome:
        with at_work():
            torch.set_flush_denormal(True)  # as for a single run, see moe_lab.training.job
            try:
                self.outcome = self.work(self.jobs[0].config)
            except CannotBatch as why:
                self.outcome = Outcome(str(why))
            except UserError as error:
                self.outcome = Outcome(error.wrong)
            except Exception as error:
                log.exception("seeds together")
                self.outcome = Outcome(f"{type(error).__name__}: {error}".splitlines()[0])
            if self.outcome.refused is not None:
                log.info("not several seeds at once: %s", self.outcome.refused)
        return self.outcome

    def work(self, config: DictConfig) -> Outcome:
        refuse_settings(config)
        with closing(self.runs()) as runs:  # a build that fails leaves no log redirected
            members = [Member(run) for run in runs]
        for member in members:
            refuse_parts(member.classifier, member.trainer)
            # Each one's `train_seconds` is its part, the shared time divided by them.
            member.run.notes["seeds_together"] = len(members)
        classifiers = [member.classifier for member in members]
        images, target = stack([next(iter(member.images)) for member in members])
        probe(classifiers, images, target)
        speed = None
        if not self.even_if_slower:
            speed = measure(classifiers, images, target)
            if not speed.is_faster_together:
                return Outcome(f"together they would take {speed}", speed)
        with logged_to([member.run.directory for member in members]):
            steps = fit(members)
        for member in members:
            with logged_to([member.run.directory]):
                member.finish(steps, member.run.stopwatch.epochs)
                print_result(member.run.directory)
        return Outcome(None, speed)

    def runs(self) -> Generator[TrainingRun, None, None]:
        """A run a line; the images are read once."""
        data: ImageData | None = None
        for job in self.jobs:
            folder = Path(job.config.run_dir).absolute()
            directory = RunDirectory(folder)
            directory.create()
            config = settle(job.config, Request(job, folder))
            data = read(config) if data is None else copy.copy(data)
            data.seed = config.seed  # of order and augmentation; the split has a seed of its own
            with logged_to([directory]):
                yield TrainingRun(config, data, dict(job.choices), after=self.after)


@contextmanager
def logged_to(directories: Sequence[RunDirectory]) -> Iterator[None]:
    """Within, what is logged goes to train.log of these runs; Hydra opened that of the first line
    alone.
    """
    root = logging.getLogger()
    before = list(root.handlers)
    formatter = next((handler.formatter for handler in before if handler.formatter), None)
    handlers: list[logging.Handler] = [logging.FileHandler(d.log) for d in directories]
    for handler in handlers:
        handler.setFormatter(formatter)
    root.handlers[:] = handlers
    try:
        yield
    finally:
        root.handlers[:] = before
        for handler in handlers:
            handler.close()
