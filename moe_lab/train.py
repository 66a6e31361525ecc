"""`python -m moe_lab.train`: train one configuration, or with -m a sweep of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from moe_lab.configuration.launch import check_folder, launch
from moe_lab.errors import ConfigError
from moe_lab.ranks import is_first_process

if TYPE_CHECKING:
    from moe_lab.job import JobResult


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a job failed, 2 a wrong command line, 130 or 143 stopped by a
    signal.
    """
    results: list[JobResult] = []

    def task(config: DictConfig) -> None:
        # torch and lightning take seconds to import: not before the command line is known to be
        # right.
        from moe_lab.job import run_job

        result = run_job(config)
        results.append(result)
        if result.exit_code in (130, 143):
            raise SystemExit(result.exit_code)  # ends a sweep too

    code = launch("train", task, arguments, check_places)
    if len(results) > 1:
        print_sweep(results)
    return max([code, *(result.exit_code for result in results)])


def check_places(config: DictConfig, multirun: bool) -> None:
    """Refuse a run directory that cannot be made or is taken, before anything is loaded."""
    run_dir = Path(config.run_dir)
    check_folder(run_dir, "run_dir")
    taken = [run_dir / "config.yaml", run_dir / "0" / "config.yaml"]
    if is_first_process() and any(path.exists() for path in taken):
        raise ConfigError(
            f"run_dir={run_dir} already holds a run",
            "a new or empty folder, so that no result is overwritten",
            "choose another run_dir, or remove this one",
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


def print_sweep(results: Sequence[JobResult]) -> None:
    """How each job of a sweep ended."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="sweep", title_justify="left")
    for heading in ("overrides", "status", "test accuracy", "run directory"):
        table.add_column(heading, justify="right" if heading == "test accuracy" else "left")
    for result in results:
        accuracy = result.summary.get("test_accuracy")
        shown = "-" if accuracy is None else f"{100 * accuracy:.2f} %"
        table.add_row(result.overrides, str(result.summary["status"]), shown, result.run_dir)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
