"""Trains the jobs of a sweep: here one after the other, or where a launcher of Hydra takes them.

Results are read from the jobs' folders: what a job returns may not come back from the process that
it ran in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A launcher tells Hydra's callbacks of every job, and no public name makes the (empty) set of them.
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from moe_lab.config.compose import Composition, composer, composition_of
from moe_lab.config.launch import quoted
from moe_lab.config.program import print_on
from moe_lab.config.resolvers import register_resolvers
from moe_lab.config.trust import trusting
from moe_lab.sweeps.job_table import own_words
from moe_lab.sweeps.jobs import Job, register_job_folder
from moe_lab.sweeps.stopping import end_with, under_way
from moe_lab.training import console
from moe_lab.training.claim import claim
from moe_lab.training.status import recorded_state

if TYPE_CHECKING:
    from moe_lab.training.attempt import JobResult

STOPPED = (130, 143)
LAUNCHER = "hydra/launcher="


def launch_jobs(jobs: Sequence[Job], sweep: Path, hydra_words: Sequence[str] = ()) -> int:
    """Train what is not done yet; the code of the signal that stopped it, or 0."""
    launchers = [word.removeprefix(LAUNCHER) for word in hydra_words if word.startswith(LAUNCHER)]
    if launchers and launchers[-1] != "basic":
        launch_elsewhere([list(job.overrides) for job in jobs], sweep, hydra_words)
        return 0
    for place, job in enumerate(jobs, 1):
        heading = f"job {place}/{len(jobs)}: {' '.join(own_words(job, jobs))}"
        result = train_in_sweep(job.composed, sweep, heading)
        if result is not None and result.exit_code in STOPPED:
            return result.exit_code
    return 0


def train_in_sweep(
    composition: Composition, sweep: Path, heading: str = "", trial: int | None = None
) -> JobResult | None:
    """Train one job; None where it is done already or another process is at it.

    `trial` is its number in a search, which may end it and judges it by validation images alone.
    """
    folder = sweep.absolute() / Job.of(composition).folder
    with claim(folder) as is_mine:
        if not is_mine or recorded_state(folder).status in ("done", "pruned"):
            return None
        if heading:
            console.say(heading)
        # torch and lightning take seconds to import: not before there is something to train.
        from moe_lab.analysis.ending import print_verdict
        from moe_lab.analysis.page import write_report
        from moe_lab.sweeps.search.trial import examined_by_search
        from moe_lab.training.attempt import Request, attempt

        under_way()
        request = Request(
            composition, folder, resume=True, sweep=sweep, after=write_report, ending=print_verdict
        )
        if trial is not None:
            request = replace(request, **examined_by_search(composition.hydra, sweep, trial))
        with trusting(composition.config.trust):
            return attempt(request)


def launch_elsewhere(
    lines: Sequence[Sequence[str]], sweep: Path, hydra_words: Sequence[str]
) -> None:
    """Give job lines to a launcher of Hydra, which composes each where it runs."""
    place = f"run_dir={quoted(str(sweep))}"
    register_job_folder()
    with composer("train") as composing:
        application = GlobalHydra.instance().hydra
        assert application is not None
        master = application.compose_config(
            "train", [*hydra_words, place], RunMode.MULTIRUN, with_log_configuration=False
        )
        HydraConfig.instance().set_config(master)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=composing.loader, callbacks=Callbacks()),
            task_function=TrainTask(),
            config=master,
        )
        under_way()
        own = [[*(w for w in line if not w.startswith("run_dir=")), place] for line in lines]
        launcher.launch(own, initial_job_idx=0)


class TrainTask:
    """What a launcher runs for each job, in this process or in another one."""

    parent: int | None = None  # of a worker: the process that gives it jobs

    def __call__(self, config: DictConfig) -> None:
        hydra: Any = HydraConfig.get()
        limit_threads(hydra)
        job = composition_of("train", list(hydra.overrides.task), config, hydra)
        trial = OmegaConf.select(hydra, "sweeper.trial")
        result = train_in_sweep(job, Path(str(hydra.sweep.dir)), trial=trial)
        if result is not None and result.exit_code in STOPPED:
            if self.parent is not None and os.getppid() != self.parent:
                os._exit(result.exit_code)  # a worker would wait for another job of nobody
            raise SystemExit(result.exit_code)  # ends the worker, and a sweep in this process

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In a new process Hydra composes the job before it calls the task.
        register_resolvers()
        register_job_folder()
        if state["parent"] == os.getppid():
            self.parent = state["parent"]
            print_on()
            end_with(state["parent"])

    def __getstate__(self) -> dict[str, Any]:
        return {"parent": os.getpid()}


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
