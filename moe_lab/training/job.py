"""One job of the command line: from Hydra's configuration to an exit code, whatever happens in
between.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from moe_lab.data import ImageData
from moe_lab.errors import ConfigError, DataUnavailable, UserError
from moe_lab.sweeps.jobs import NOT_ASKED
from moe_lab.sweeps.search.trial import judge_of, trial_number
from moe_lab.training import build, console
from moe_lab.training.callbacks import Pruning
from moe_lab.training.final_test import validation_only
from moe_lab.training.ranks import is_first_process
from moe_lab.training.resume import signalled
from moe_lab.training.run import Interrupted, TrainingRun
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.sandbox import sandbox

log = logging.getLogger("moe_lab")
PROGRAM = "moe_lab.train"


@dataclass(frozen=True)
class JobResult:
    """How one job ended."""

    overrides: str
    run_dir: str
    exit_code: int
    summary: dict[str, Any]


def run_job(config: DictConfig, resume: bool = False) -> JobResult:
    """Train one configuration; every failure ends in a message, a summary and an exit code.

    With `resume` a run that is in the folder goes on, or is left as it is if it is done.
    """
    hydra = HydraConfig.get()
    directory = RunDirectory(hydra.runtime.output_dir)
    overrides = " ".join(hydra.overrides.task)
    summary: dict[str, Any] = {"status": "failed"}
    with sandbox():
        quieten_lightning()
        # Gradients of images that are already learned sink below 1e-38, where a processor counts
        # in software: on MNIST that made a step up to four times slower. Zero serves as well.
        torch.set_flush_denormal(True)
        try:
            going_on = resume and directory.config.is_file()
            if not going_on:
                directory.create()
            summary = prepare(config, directory, resume).run()
            code = 0
            report(summary, directory)
        except Interrupted as interrupted:
            summary, code = interrupted.summary, interrupted.exit_code
            print("\ninterrupted; this is what was reached:")
            report(summary, directory)
        except UserError as error:
            code = 2 if isinstance(error, ConfigError) else 1
            console.print_error(PROGRAM, error)
            log.error("%s", error)
            summary = record_failure(directory, str(error))
        except KeyboardInterrupt:
            code = 130
            print("\ninterrupted before the training", flush=True)
        except SystemExit as stop:
            # Whoever means to stop a sweep sends a signal: an exit is the failure of one job.
            code = signalled(stop) or 1
            if code == 1:
                called = UserError(f"the job called exit({stop.code!r})")
                console.print_error(PROGRAM, called)
                log.exception("exit")
                summary = record_failure(directory, str(called))
        except Exception as error:
            code = 1
            log.exception("unexpected failure")
            said = out_of_memory(error) if is_out_of_memory(error) else None
            summary = record_failure(directory, str(said or f"{type(error).__name__}: {error}"))
            console.print_error(PROGRAM, said or unexpected(error, directory))
    return JobResult(overrides, str(directory.path), code, summary)


def prepare(config: DictConfig, directory: RunDirectory, resume: bool = False) -> TrainingRun:
    """Read the data, falling back to the installed digits where the configuration allows it."""
    hydra = HydraConfig.get()
    chosen = OmegaConf.to_container(hydra.runtime.choices)
    assert isinstance(chosen, dict)
    choices = {str(k): v for k, v in chosen.items() if v and not str(k).startswith("hydra/")}
    settle(config, directory, hydra)
    data = build.build_data(config)
    try:
        data.prepare()
    except DataUnavailable as error:
        fallback = config.dataset.fallback
        if fallback is None:
            raise
        print(f"data: {error.wrong}; using dataset={fallback} instead", flush=True)
        log.warning("%s; using dataset=%s instead", error.wrong, fallback)
        config = with_dataset(fallback)
        settle(config, directory, hydra)
        choices["dataset"], choices["dataset_requested"] = fallback, choices["dataset"]
        data = read(config)
    number = trial_number(hydra)
    if number is None:
        return TrainingRun(config, data, choices, resume=resume)
    # First of all callbacks, so that the checkpoint of an epoch knows that the trial was pruned.
    pruning = [Pruning(judge_of(hydra, number))]
    return TrainingRun(
        config, data, choices, resume=resume, examine=validation_only, callbacks=pruning
    )


def read(config: DictConfig) -> ImageData:
    """The data module of a configuration, with its data read."""
    data = build.build_data(config)
    data.prepare()
    return data


def with_dataset(name: str) -> DictConfig:
    """The configuration of this job as if `dataset=name` had been typed."""
    typed = [o for o in HydraConfig.get().overrides.task if not o.startswith("dataset=")]
    return compose("train", [*typed, f"dataset={name}"])


def settle(config: DictConfig, directory: RunDirectory, hydra: Any) -> None:
    """Replace what Hydra would compute anew at every look by what it is in this job."""
    name = config.run_name
    with open_dict(config):
        config.run_dir, config.run_name = str(directory.path), name
        config.update(dict.fromkeys(NOT_ASKED, False))  # no part of what the run is
        wandb = OmegaConf.select(config, "logger.wandb")
        if wandb is not None and hydra.mode == RunMode.MULTIRUN and wandb.group is None:
            wandb.group = directory.path.parent.name


def report(summary: dict[str, Any], directory: RunDirectory) -> None:
    """The final table, on the screen and in the log."""
    if not is_first_process():
        return
    console.print_summary(summary)
    for label, text in console.summary_rows(summary):
        log.info("%s: %s", label.strip(), text)
    print(f"run directory: {directory.path}", flush=True)


def record_failure(directory: RunDirectory, error: str) -> dict[str, Any]:
    """summary.json of a run that failed, unless the folder itself is the problem or belongs to
    another run.
    """
    summary = {"status": "failed", "run_dir": str(directory.path), "error": error}
    try:
        if not directory.summary.exists():
            directory.write_json(directory.summary, summary)
    except UserError:
        pass
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


def quieten_lightning() -> None:
    """Keep Lightning's remarks on hardware, its advertisements and pointless warnings off the
    screen.
    """
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # a run that goes on
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # every metric is over all processes
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    if not is_first_process():
        log.setLevel(logging.ERROR)
