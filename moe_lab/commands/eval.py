"""`python -m moe_lab eval run=RUN_DIR`: evaluate a trained run again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from moe_lab.config.launch import launch
from moe_lab.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the run could not be evaluated, 2 a wrong command line."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        # torch and lightning take seconds to import: not before the command line is known to be
        # right.
        from moe_lab.analysis.opened_run import answer, evaluate_run

        codes.append(answer("moe_lab.commands.eval", evaluate_run, config))

    return max([launch("eval", task, arguments, check_run), *codes])


def check_run(config: DictConfig, multirun: bool) -> None:
    """Refuse a folder that holds no run, before anything is loaded."""
    if not (Path(str(config.run)) / "config.yaml").is_file():
        raise ConfigError(
            f"run={config.run} holds no run: there is no config.yaml in it",
            "the run directory of a training run",
            "the last line that training prints names it",
        )


if __name__ == "__main__":
    sys.exit(main())
