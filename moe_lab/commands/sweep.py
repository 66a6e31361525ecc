"""`python -m moe_lab sweep status|report SWEEP`: how the jobs of a sweep stand, or compare them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig

from moe_lab.config.launch import launch
from moe_lab.errors import ConfigError
from moe_lab.sweeps import screen
from moe_lab.sweeps.jobs import RECORD, read_record
from moe_lab.sweeps.search.study import holds_search, require_optuna


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all jobs are done, 1 some are not or there is nothing to compare, 2 a
    wrong command line.
    """
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        codes.append(answer(str(config.action), Path(str(config.sweep))))

    typed = sys.argv[1:] if arguments is None else arguments
    return max([launch("sweep", task, as_overrides(typed), check_sweep), *codes])


def answer(action: str, sweep: Path) -> int:
    """Print what was asked for; the exit code."""
    if holds_search(sweep):
        from moe_lab.sweeps.search.screen import show_search

        return 0 if show_search(sweep) else 1
    jobs = read_record(sweep)
    states = screen.read_states(sweep, jobs)
    if action == "status":
        screen.print_states(sweep, jobs, states, {})
        return 0 if screen.is_complete(states) else 1
    if screen.write_comparison(sweep, states):
        return 0
    print("nothing to compare: it takes two finished jobs on the same data", file=sys.stderr)
    return 1


def as_overrides(words: Sequence[str]) -> list[str]:
    """The first two words that are neither an option nor KEY=VALUE are the action and the sweep."""
    keys = iter(("action", "sweep"))
    overrides = []
    for word in words:
        is_bare = not word.startswith("-") and ("=" not in word or Path(word).exists())
        key = next(keys, None) if is_bare else None
        quoted = QuotedString(word, Quote.single).with_quotes()
        overrides.append(f"{key}={quoted}" if key else word)
    return overrides


def check_sweep(config: DictConfig, multirun: bool) -> None:
    """Refuse a folder that holds no sweep, or a search that cannot be read."""
    if holds_search(Path(str(config.sweep))):
        require_optuna()
    if not (Path(str(config.sweep)) / RECORD).is_file():
        raise ConfigError(
            f"{config.sweep} holds no sweep: there is no {RECORD} in it",
            "the folder of a sweep: run_dir of a command with -m",
            "see `ls outputs`, or the heading of the table that a sweep prints at its end",
        )


if __name__ == "__main__":
    sys.exit(main())
