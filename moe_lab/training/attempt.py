"""One attempt at a run: from a composed job to an exit code, whatever happens in between."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from moe_lab.config.compose import Composition
from moe_lab.config.launch import print_error
from moe_lab.config.typed import line_that_goes_on
from moe_lab.data import ImageData
from moe_lab.errors import ConfigError, DataUnavailable, UserError
from moe_lab.training import build, console
from moe_lab.training.final_test import Examine, validation_and_test
from moe_lab.training.ranks import is_first_process
from moe_lab.training.resume import plain_dict, signalled
from moe_lab.training.run import Interrupted, TrainingRun
from moe_lab.training.run_directory import NOT_ASKED, RunDirectory, asked_hash
from moe_lab.training.run_log import RunLog, logged_to
from moe_lab.training.sandbox import at_work

log = logging.getLogger("moe_lab")
PROGRAM = "moe_lab train"


@dataclass(frozen=True)
class Request:
    """What is to be trained, and how it is gone about.

    A run of its own says at its start what is set; in a sweep that would be said for every job.
    `after` is called with the run directory once there is a summary, for a page about the run.
    """

    job: Composition
    folder: Path
    resume: bool = False  # a run that is in the folder goes on, or is left as it is if it is done
    sweep: Path | None = None  # the sweep that the run is a part of
    examine: Examine = validation_and_test
    callbacks: Sequence[Callback] = field(default=())  # before those of the configuration
    after: Callable[[RunDirectory], object] | None = None
    ending: Callable[[RunDirectory], object] = console.print_result  # what is shown of a result


@dataclass(frozen=True)
class JobResult:
    """How one job ended."""

    run_dir: str
    exit_code: int
    summary: dict[str, Any]


def attempt(request: Request) -> JobResult:
    """Train one job; every failure ends in a message, an exit code and, once the run has begun to
    write, a summary.
    """
    directory = RunDirectory(request.folder)
    with at_work():
        # Gradients of images that are already learned sink below 1e-38, where a processor counts
        # in software: on MNIST that made a step up to four times slower. Zero serves as well.
        torch.set_flush_denormal(True)
        try:
            if not (request.resume and directory.config.is_file()):
                directory.refuse_taken()
            with logged_to(directory) as run_log:
                summary, code = guarded(request, directory, run_log)
        except UserError as error:
            code = 2 if isinstance(error, ConfigError) else 1
            print_error(PROGRAM, error)
            summary = failure(directory, str(error))
    return JobResult(str(directory.path), code, summary)


def guarded(
    request: Request, directory: RunDirectory, run_log: RunLog
) -> tuple[dict[str, Any], int]:
    """Summary and exit code of the run, with every way in which it can end."""
    holds_run = directory.config.is_file()
    has_started = False

    def start() -> None:
        nonlocal has_started
        directory.create()
        run_log.open()
        has_started = True

    def failed(error: str) -> dict[str, Any]:
        # A refusal leaves a run as it was. A job of a sweep that is nothing yet leaves its reason.
        if has_started or (request.sweep is not None and not holds_run):
            return record_failure(directory, error)
        return failure(directory, error)

    try:
        summary = prepare(request, directory, start).run()
        show_ending(request, directory)
        return summary, 0
    except Interrupted as interrupted:
        show_ending(request, directory)
        go_on(request)
        return interrupted.summary, interrupted.exit_code
    except UserError as error:
        log.error("%s", error)
        print_error(PROGRAM, error)
        if isinstance(error, ConfigError):  # the same words would be refused again
            return failed(str(error)), 2
        go_on(request, "once that is mended")
        return failed(str(error)), 1
    except KeyboardInterrupt:
        print("\ninterrupted before the training", flush=True)
        go_on(request)
        return failure(directory, "interrupted"), 130
    except SystemExit as stop:
        # Whoever means to stop a sweep sends a signal: an exit is the failure of one job.
        code = signalled(stop)
        if code is not None:
            go_on(request)
            return failure(directory, "interrupted"), code
        called = UserError(f"the job called exit({stop.code!r})")
        print_error(PROGRAM, called)
        log.exception("exit")
        return failed(str(called)), 1
    except Exception as error:
        start()  # the traceback is kept, whatever had been written by then
        log.exception("unexpected failure")
        said = out_of_memory(error) if is_out_of_memory(error) else None
        print_error(PROGRAM, said or unexpected(error, directory))
        go_on(request, "once that is mended")
        return failed(str(said or f"{type(error).__name__}: {error}")), 1


def prepare(request: Request, directory: RunDirectory, started: Callable[[], None]) -> TrainingRun:
    """Read the data, falling back to the installed digits where the configuration allows it."""
    job, choices = request.job, dict(request.job.choices)
    if request.sweep is None:
        console.say(f"reading the data: {job.config.dataset.name}")
    config = settle(job.config, request)
    try:
        data = read(config)
    except DataUnavailable as error:
        fallback = config.dataset.fallback
        if fallback is None:
            raise
        print(f"data: {error.wrong}; using dataset={fallback} instead", flush=True)
        log.warning("%s; using dataset=%s instead", error.wrong, fallback)
        config = settle(job.with_option("dataset", fallback).config, request)
        choices |= {"dataset": fallback, "dataset_requested": choices["dataset"]}
        data = read(config)
    lines = console.settings_lines(plain_dict(config), choices, directory.config)
    lines += [f"data: {note}" for note in data.notes]
    for line in lines:
        log.info("%s", line)
    if request.sweep is None:
        console.say("\n".join([*lines, "building the model"]))
    return TrainingRun(
        config, data, choices, resume=request.resume, examine=request.examine,
        callbacks=request.callbacks, after=request.after, started=started,
        asked=f"{asked_hash(job.config)}_seed{job.config.seed}",
    )  # fmt: skip


def read(config: DictConfig) -> ImageData:
    """The data module of a configuration, with its data read."""
    data = build.build_data(config)
    data.prepare()
    return data


def settle(config: DictConfig, request: Request) -> DictConfig:
    """A copy that says where this run is kept, and nothing of how it was asked for."""
    config = config.copy()
    with open_dict(config):
        config.run_dir = str(request.folder)
        config.update(dict.fromkeys(NOT_ASKED, False))  # no part of what the run is
        wandb = OmegaConf.select(config, "logger.wandb")
        if wandb is not None and request.sweep is not None and wandb.group is None:
            wandb.group = request.sweep.name
    return config


def show_ending(request: Request, directory: RunDirectory) -> None:
    """The end of a run, on the screen and in the log."""
    if not is_first_process():
        return
    for label, text in console.summary_rows(directory.read_summary()):
        log.info("%s: %s", label.strip(), text)
    try:
        request.ending(directory)
    except Exception:  # the result stands without its display
        log.exception("the result could not be shown")
        console.print_result(directory)


def go_on(request: Request, when: str = "") -> None:
    """The command that goes on from here; a job of a sweep goes on with the sweep."""
    if request.sweep is None:
        line = line_that_goes_on(request.job.words, request.folder)
        console.say(f"to go on{', ' if when else ''}{when}:\n  {line}")


def failure(directory: RunDirectory, error: str) -> dict[str, Any]:
    """The summary of a run that failed."""
    return {"status": "failed", "run_dir": str(directory.path), "error": error}


def record_failure(directory: RunDirectory, error: str) -> dict[str, Any]:
    """summary.json of a run that failed; where it cannot be written, that is said.

    A run that has failed goes on from its last checkpoint, as one that was stopped does.
    """
    summary = failure(directory, error)
    try:
        if directory.path.is_dir():
            directory.write_json(directory.summary, summary)
        else:
            print(f"{directory.path} is gone, and with it what was trained", file=sys.stderr)
    except UserError as unwritten:
        print_error(PROGRAM, unwritten)
    return summary


def unexpected(error: Exception, directory: RunDirectory) -> UserError:
    """An error that moe_lab did not foresee, in the form of those it did."""
    first_line = (str(error).strip().splitlines() or ["no message"])[0]
    where = f"the traceback is in {directory.log}" if directory.log.is_file() else ""
    return UserError(f"{type(error).__name__}: {first_line}", todo=where)


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, a GPU or torch's own allocator for the CPU found no more memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def out_of_memory(error: Exception) -> UserError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        f"out of memory: {first_line}",
        "a model and a batch that fit the memory; plan=true estimates how much a run needs",
        "lower dataset.batch_size, dataset.eval_batch_size or the sizes of the model",
    )
