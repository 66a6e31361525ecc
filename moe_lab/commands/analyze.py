"""`python -m moe_lab analyze run=RUN_DIR`: what a trained run does, and what its routing is for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from moe_lab.commands.eval import check_run
from moe_lab.config.launch import check_folder, launch


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the run could not be analysed, 2 a wrong command line."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.analysis.analyze_run import analyze_run
        from moe_lab.analysis.opened_run import answer

        codes.append(answer("moe_lab.commands.analyze", analyze_run, config))

    return max([launch("analyze", task, arguments, check_request), *codes])


def check_request(config: DictConfig, multirun: bool) -> None:
    """Refuse a folder that holds no run, or a place that cannot be written to."""
    check_run(config, multirun)
    check_folder(output_folder(config), "out")


def output_folder(config: DictConfig) -> Path:
    """Where the files of an analysis go: `out`, or a folder of the run named for the split."""
    if config.out is not None:
        return Path(str(config.out))
    suffix = "" if config.checkpoint == "best" else f"_{config.checkpoint}"
    return Path(str(config.run)) / f"analysis_{config.split}{suffix}"


if __name__ == "__main__":
    sys.exit(main())
