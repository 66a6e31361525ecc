"""What Hydra runs for each job, in this process or in another one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from moe_lab.config.resolvers import register_resolvers
from moe_lab.sweeps.jobs import register_job_folder
from moe_lab.training.status import claim, recorded_state

if TYPE_CHECKING:
    from moe_lab.training.job import JobResult

STOPPED = (130, 143)


class TrainTask:
    """Trains a single run, or a job of a sweep unless it is done or another process is at it.

    A sweep's results are read from its folders: what a job returns may not come back from the
    process that it ran in.
    """

    def __init__(self) -> None:
        register_job_folder()
        self.codes: list[int] = []  # of jobs in this process

    def __call__(self, config: DictConfig) -> None:
        hydra = HydraConfig.get()
        if hydra.mode != RunMode.MULTIRUN:
            self.finish(train(config, bool(config.resume)))
            return
        folder = Path(hydra.runtime.output_dir)
        with claim(folder) as is_mine:
            if not is_mine or recorded_state(folder).status in ("done", "pruned"):
                return
            limit_threads(hydra)
            self.finish(train(config, resume=True))

    def finish(self, result: JobResult) -> None:
        self.codes.append(result.exit_code)
        if result.exit_code in STOPPED:
            raise SystemExit(result.exit_code)  # ends a sweep too

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In a new process Hydra composes the job before it calls the task.
        register_resolvers()
        self.__init__()  # type: ignore[misc]


def train(config: DictConfig, resume: bool) -> JobResult:
    """Run one job of this process."""
    # torch and lightning take seconds to import: not before the command line is known to be right.
    from moe_lab.training.job import run_job

    return run_job(config, resume)


def limit_threads(hydra: Any) -> None:
    """Share the cores among the processes of a parallel launcher: more threads would wait."""
    jobs = hydra.launcher.get("n_jobs")
    if jobs is None:
        return
    import torch

    cores = available_cores()
    at_once = jobs if jobs > 0 else max(1, cores + 1 + jobs)  # joblib: -1 is all, -2 all but one
    threads = max(1, cores // at_once)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(min(threads, torch.get_num_threads()))


def available_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
