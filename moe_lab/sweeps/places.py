"""Where the runs of a command line go."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_lab.config.launch import check_folder
from moe_lab.errors import ConfigError, UserError
from moe_lab.sweeps.jobs import Job
from moe_lab.training.ranks import is_first_process
from moe_lab.training.run_directory import RunDirectory

UNNAMED = re.compile(r"outputs/\d{4}-\d\d-\d\d_")  # the default of run_dir, named after the time
SWEEPS = Path("outputs/sweeps")
# Words about how a sweep is run, which do not make another one of it.
ASIDE = ("plan", "resume", "report", "tags", "logger", "callbacks.progress.style",
         "hydra/launcher", "hydra.launcher", "hydra.sweeper.n_trials",
         "hydra.sweeper.n_jobs")  # fmt: skip


def run_folder(job: Job) -> Path:
    """Where a single run goes: run_dir, or the run that resume=latest finds."""
    config = job.composed.config
    if config.resume != "latest":
        return Path(config.run_dir)
    if not UNNAMED.match(str(config.run_dir)):
        raise ConfigError(
            f"resume=latest with run_dir={config.run_dir}",
            "one of them: resume=latest looks for the run itself, resume=true takes run_dir",
        )
    found = latest_run(Path(config.run_dir).parent, job.folder)
    if found is None:
        print("resume=latest: there is no run of this line yet, so it is a new one", flush=True)
        return Path(config.run_dir)
    return found


def latest_run(folder: Path, asked: str) -> Path | None:
    """The newest run in a folder that was asked for in this way; `asked` is as in Job.folder."""
    runs = [RunDirectory(path) for path in (folder.iterdir() if folder.is_dir() else ())]
    started = [run for run in runs if run.environment.is_file()]
    for run in sorted(started, key=lambda run: run.environment.stat().st_mtime, reverse=True):
        try:
            if run.read_environment().get("asked") == asked:
                return run.path
        except (UserError, ValueError) as error:
            print(f"resume=latest: {run.path} is left out: {error}", flush=True)
    return None


def sweep_folder(jobs: Sequence[Job]) -> Path:
    """Where all jobs of a sweep go; without run_dir a folder named after the line, so that the
    same line goes on there.
    """
    folders = {str(job.composed.config.run_dir) for job in jobs}
    if all(UNNAMED.match(folder) for folder in folders):
        return SWEEPS / name_of_line({word for job in jobs for word in job.overrides})
    if len(folders) > 1:
        raise ConfigError(
            "run_dir differs between the jobs of a sweep",
            "one folder for the sweep; each job gets a folder of its own in it",
            "give one run_dir without values that change",
        )
    return Path(folders.pop())


def name_of_line(words: set[str]) -> str:
    """A name that can be read and eight digits that tell apart, whatever the order of the words."""
    kept = sorted(word for word in words if not word.lstrip("+~").startswith(ASIDE))
    digits = hashlib.sha256("\n".join(kept).encode()).hexdigest()[:8]
    readable = re.sub(r"[^\w.=,+-]+", "-", "_".join(kept))[:60].strip("-_.")
    return f"{readable}_{digits}" if readable else digits


def check_places(jobs: Sequence[Job], run_dir: Path, multirun: bool) -> None:
    """Refuse a run directory that cannot be made or is taken, before anything is loaded."""
    config = jobs[0].composed.config
    check_folder(run_dir, "run_dir")
    holds_sweep = (run_dir / "sweep.json").exists() and not multirun
    holds_run = (run_dir / "config.yaml").exists() and not (config.resume and not multirun)
    if is_first_process() and (holds_run or holds_sweep):
        raise ConfigError(
            f"run_dir={run_dir} already holds a {'sweep' if holds_sweep else 'run'}",
            "a new or empty folder, so that no result is overwritten",
            "choose another run_dir, remove this one, or type resume=true to go on with a run",
        )
    if config.trainer.strategy == "ddp":
        check_ddp(config, multirun)


def check_ddp(config: Any, multirun: bool) -> None:
    """Several processes must be started by torchrun and agree on one run directory."""
    command = "torchrun --nproc-per-node=2 -m moe_lab.train trainer=ddp run_dir=outputs/NAME"
    if "LOCAL_RANK" not in os.environ:
        raise ConfigError("trainer=ddp was not started by torchrun", command)
    if multirun:
        raise ConfigError("trainer=ddp cannot be swept with -m", "one torchrun a run", command)
    if config.run_dir.startswith("outputs/20"):
        raise ConfigError(
            "trainer=ddp needs run_dir: each process would choose a folder of its own",
            "the same run_dir for all processes",
            command,
        )
    # DistributedDataParallel would advise against looking for idle experts, in C++.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
