"""From the command lines of several seeds to their run directories."""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from moe_lab.config.launch import command_line, launch
from moe_lab.data import ImageData
from moe_lab.errors import UserError
from moe_lab.training.job import quieten_lightning, read, report, settle
from moe_lab.training.run import TrainingRun
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.sandbox import sandbox
from moe_lab.training.seeds.member import Member
from moe_lab.training.seeds.probe import probe
from moe_lab.training.seeds.refusals import CannotBatch, refuse_parts, refuse_settings
from moe_lab.training.seeds.speed import Speed, measure
from moe_lab.training.seeds.training import fit, stack

log = logging.getLogger("moe_lab")
Line = Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What became of several command lines; `refused` says why they were not trained together."""

    refused: str | None = None
    speed: Speed | None = None


def train_together(lines: Sequence[Line], even_if_slower: bool = False) -> Outcome:
    """Train command lines that differ in `seed` and `run_dir` alone in one pass.

    Each leaves the run directory of a run of its own. Where that cannot be, or takes longer than
    one after the other, nothing is trained, and the folders hold no finished run.
    """
    task = SeedBatchTask(lines, even_if_slower)
    code = launch("train", task, list(lines[0]))
    return task.outcome if code == 0 else Outcome("the command line is refused")


class SeedBatchTask:
    """What Hydra runs for the first of the lines."""

    def __init__(self, lines: Sequence[Line], even_if_slower: bool) -> None:
        self.lines, self.even_if_slower = lines, even_if_slower
        self.outcome = Outcome("it did not start")

    def __call__(self, config: DictConfig) -> None:
        with sandbox():
            quieten_lightning()
            torch.set_flush_denormal(True)  # as for a single run, see moe_lab.training.job
            try:
                self.outcome = self.work(config)
            except CannotBatch as why:
                self.outcome = Outcome(str(why))
            except UserError as error:
                self.outcome = Outcome(error.wrong)
            except Exception as error:
                log.exception("seeds together")
                self.outcome = Outcome(f"{type(error).__name__}: {error}".splitlines()[0])
            if self.outcome.refused is not None:
                log.info("not several seeds at once: %s", self.outcome.refused)

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
                report(member.finish(steps, member.run.stopwatch.epochs), member.run.directory)
        return Outcome(None, speed)

    def runs(self) -> Generator[TrainingRun, None, None]:
        """A run a line; the images are read once."""
        hydra = HydraConfig.get()
        chosen = OmegaConf.to_container(hydra.runtime.choices)
        assert isinstance(chosen, dict)
        choices = {str(k): v for k, v in chosen.items() if v and not str(k).startswith("hydra/")}
        data: ImageData | None = None
        for line in self.lines:
            config = compose("train", list(line))
            directory = RunDirectory(config.run_dir)
            directory.create()
            settle(config, directory, hydra)
            data = read(config) if data is None else copy.copy(data)
            data.seed = config.seed  # of order and augmentation; the split has a seed of its own
            with command_line("train", line), logged_to([directory]):
                yield TrainingRun(config, data, dict(choices))


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
