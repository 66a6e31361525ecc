"""Evaluate a trained run again."""

from __future__ import annotations

import os
from pathlib import Path

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage
from moe_lab.errors import ConfigError


def evaluate(job: Composition) -> None:
    """Print and write accuracy, loss and routing statistics of one split."""
    # torch and lightning take seconds to import: not before the command line is known to be right.
    from moe_lab.analysis.opened_run import evaluate_run
    from moe_lab.training.sandbox import at_work

    with at_work():
        evaluate_run(job.config)


def check_run(job: Composition) -> None:
    """Refuse a folder that holds no run."""
    run = job.config.run
    if not os.path.isfile(Path(str(run)) / "config.yaml"):  # Path's own raises for a long name
        raise ConfigError(
            f"run={run} holds no run: there is no config.yaml in it",
            "the run directory of a training run",
            "the last line that training prints names it",
        )


main = Command(
    CommandUsage(
        "eval",
        __doc__,
        positional=("run",),
        examples=(
            ("moe-lab eval run=outputs/RUN", "test accuracy of the best weights"),
            ("moe-lab eval run=outputs/RUN split=val checkpoint=last", "another choice"),
        ),
    ),
    evaluate,
    check_run,
)
