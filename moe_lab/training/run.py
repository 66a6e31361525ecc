"""One training run from a composed configuration to its summary."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lightning import Callback, Trainer, seed_everything
from omegaconf import DictConfig

from moe_lab.config.typed import as_list
from moe_lab.data import ImageData
from moe_lab.training import build, lengthen
from moe_lab.training import resume as resume_from
from moe_lab.training.callbacks import Stopwatch
from moe_lab.training.classifier import Classifier
from moe_lab.training.compiling import compile_model
from moe_lab.training.environment import describe_environment
from moe_lab.training.final_test import Examine, validation_and_test
from moe_lab.training.load_run import load_weights
from moe_lab.training.loggers import JSONLinesLogger
from moe_lab.training.loggers.wandb import finish_run
from moe_lab.training.random_states import Memory
from moe_lab.training.ranks import is_first_process
from moe_lab.training.resume import plain_dict
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.summary import costs_of, ending_of, identity_of
from moe_lab.training.warm_start import freeze, start_from

log = logging.getLogger("moe_lab")


class Interrupted(Exception):
    """The run was stopped by a signal; what it reached is in its summary."""

    def __init__(self, exit_code: int, summary: dict[str, Any]) -> None:
        super().__init__(f"interrupted, exit code {exit_code}")
        self.exit_code, self.summary = exit_code, summary


class TrainingRun:
    """Trains one configuration, tests the best weights once, and keeps the record.

    1. data are read, and what only they can tell is written into the configuration
    2. model, objective, loggers and trainer are built under the seed
    3. training, with a validation after every epoch
    4. the best weights are validated and tested, unless a signal ended the training
    5. summary.json says what came out, tables.json what the test saw in detail

    Until the model, the trainer and the place to go on from are known to be right, nothing is
    written: `started` is called just before. With `resume` a run that is done is left as it is, any
    other goes on after its last whole epoch. `examine` is step 4. `callbacks` come before those of
    the configuration. `after` builds the page about the folder that is left.
    """

    def __init__(
        self,
        config: DictConfig,
        data: ImageData,
        choices: dict[str, Any],
        *,
        resume: bool = False,
        examine: Examine = validation_and_test,
        callbacks: Sequence[Callback] = (),
        after: Callable[[RunDirectory], object] | None = None,
        started: Callable[[], None] = lambda: None,
        asked: str = "",
    ) -> None:
        self.config, self.data, self.choices = config, data, choices
        self.resume, self.examine, self.callbacks, self.after = resume, examine, callbacks, after
        self.started, self.asked = started, asked
        self.directory = RunDirectory(config.run_dir)
        self.found: resume_from.GoingOn | None = None  # what to go on from
        self.longer_than: int | None = None  # epochs that the run in the folder was to have
        self.stopwatch = Stopwatch()
        self.loggers: list[Any] = []
        self.plain: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """The summary of the run, or of the one that was done before; raises Interrupted after a
        signal.
        """
        build.fill_in_data(self.config, self.data)
        self.plain = plain_dict(self.config)
        goes_on = self.resume and self.directory.config.is_file()
        if goes_on:
            self.longer_than = lengthen.epochs_before(self.directory, self.plain)
            if self.longer_than is None:
                resume_from.refuse_changed(self.directory, self.plain)
            summary = resume_from.done_before(self.directory)
            if summary is not None and self.longer_than is None:
                print("this run is complete; nothing was done", flush=True)
                if not self.directory.report.is_file():  # ended while its page was written
                    self.report()
                return summary
            self.found = resume_from.find_checkpoint(self.directory)
        seed_everything(self.config.seed, verbose=False)
        classifier, trainer = self.build()
        if self.longer_than is not None:
            lengthen.refuse_other_course(classifier, self.longer_than, self.plain, self.found)
        self.started()
        if self.longer_than is not None:
            lengthen.keep_results(self.directory, self.longer_than)
        if self.resume:
            resume_from.bring_back(self.directory, self.found)
        if self.found is not None:
            self.stopwatch.load_state_dict(self.found.stopwatch)
        self.record_start()
        exit_code = 1
        try:
            self.connect(trainer)
            stopped = self.fit(trainer, classifier)
            summary = self.summarise(stopped, trainer, classifier)
            self.report()
            exit_code = stopped  # only now: a failure in the test is a failure of the run
        finally:
            for logger in self.loggers:
                finish_run(logger, exit_code)
        if stopped:
            raise Interrupted(stopped, summary)
        return summary

    def record_start(self) -> None:
        self.directory.write_config(self.plain)
        if is_first_process():
            # Once: a folder that is missing later was deleted, and with it what was trained.
            self.directory.checkpoints.mkdir(exist_ok=True)
        about = {
            "name": self.data.name,
            "copy": self.data.copy,
            "fingerprint": self.data.fingerprint,
            "sizes": self.data.sizes,
            "notes": list(self.data.notes),
        }
        content = {**describe_environment(about, sys.argv), "asked": self.asked}
        self.directory.write_json(self.directory.environment, content)

    def build(self) -> tuple[Classifier, Trainer]:
        """What can be refused; nothing of it writes."""
        batches = len(self.data.loader("train"))
        length = build.training_length(self.config, batches)
        classifier = build.build_classifier(self.config, length)
        self.take_over(classifier)
        configured = build.build_callbacks(self.config)
        callbacks = [*self.callbacks, *configured, self.stopwatch]
        trainer = build.build_trainer(self.config, callbacks, [])
        # After the checkpoint callback, which Lightning moves behind all others.
        trainer.callbacks.append(Memory(self.directory))  # type: ignore[attr-defined]
        return classifier, trainer

    def connect(self, trainer: Trainer) -> None:
        """Give the trainer its loggers, some of which open files or a connection."""
        self.loggers = [
            JSONLinesLogger(self.directory.metrics),
            *build.build_loggers(self.config),
        ]
        for logger in self.loggers:
            logger.log_hyperparams({**self.plain, "choices": self.choices})
        trainer.loggers = self.loggers

    def take_over(self, classifier: Classifier) -> None:
        """Take over weights of earlier runs and freeze what is not to learn."""
        runs, frozen = as_list(self.config.init_from), as_list(self.config.freeze)
        if runs:
            parts = as_list(self.config.init_parts)
            copied = start_from(classifier.model, runs, parts, self.config.init_noise)
            log.info("init_from: %d tensors of %s copied from %s", copied, parts, runs)
        freeze(classifier.model, frozen)

    def fit(self, trainer: Trainer, classifier: Classifier) -> int:
        """0, or the exit code of the signal that ended the training."""
        path = None if self.found is None else self.found.path
        try:
            if self.config.get("compile"):
                compile_model(classifier.model, trainer.strategy.root_device)
            trainer.fit(classifier, datamodule=self.data, ckpt_path=path)
        except SystemExit as stop:
            code = resume_from.signalled(stop)
            if code is None:
                raise
            return code
        except KeyboardInterrupt:
            return 130
        return 130 if trainer.interrupted else 0

    def summarise(self, stopped: int, trainer: Trainer, classifier: Classifier) -> dict[str, Any]:
        """Write down what came out; `stopped` is the exit code of a signal, or 0."""
        ending = ending_of(trainer, stopped)
        best = self.directory.checkpoint("best")
        if best.is_file():
            load_weights(classifier, best)
        if ending["status"] == "done":
            measured = self.examine(trainer, classifier, self.data, self.directory)
        else:
            seen = trainer.callback_metrics
            measured = {k: float(seen[k]) for k in ("val_accuracy", "val_loss") if k in seen}
        spent = costs_of(classifier, self.data, self.stopwatch)
        for logger in self.loggers:
            logger.log_metrics(spent, trainer.global_step)
        identity = identity_of(self.plain, self.choices, self.data)
        summary = {**ending, **identity, **measured, **spent}
        self.directory.seal()
        self.directory.write_json(self.directory.summary, summary)
        if ending["status"] == "done":
            self.directory.drop_previous()
        return summary

    def report(self) -> None:
        """The page about the run. The result stands without it, so a page that cannot be built is
        said and logged and costs the run nothing.
        """
        if self.after is None or not self.config.report or not is_first_process():
            return
        try:
            self.after(self.directory)
        except Exception:
            log.exception("report.html could not be built")
            print(f"report.html could not be built: see {self.directory.log}", flush=True)
