"""`python -m moe_lab.train`: train one configuration, or with -m a sweep of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from moe_lab.config.launch import check_folder, launch
from moe_lab.errors import ConfigError
from moe_lab.sweeps.line import TrainLine
from moe_lab.sweeps.search.sweeper import register_sweeper
from moe_lab.sweeps.task import TrainTask
from moe_lab.training.ranks import is_first_process


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a job failed, 2 a wrong command line, 130 or 143 stopped by a
    signal.
    """
    register_sweeper()
    task, line = TrainTask(), TrainLine()

    def check(config: DictConfig, multirun: bool) -> list[str]:
        if config.plan:
            raise SystemExit(line.plan(multirun))
        check_places(config, multirun)
        return line.start(config, multirun)

    with line.stoppable():
        code = launch("train", task, arguments, check, line.jobs.add, line.expand)
    return line.finish(max([code, *task.codes]))


def check_places(config: DictConfig, multirun: bool) -> None:
    """Refuse a run directory that cannot be made or is taken, before anything is loaded."""
    run_dir = Path(config.run_dir)
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


def check_ddp(config: DictConfig, multirun: bool) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
