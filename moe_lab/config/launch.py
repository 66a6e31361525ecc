"""What every entry point does before its own work: help, check, then Hydra."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from moe_lab.config.check import OnJob, check_overrides
from moe_lab.config.help import help_text
from moe_lab.config.location import configuration_folder
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError, UserError

# Hydra's own options that look at a configuration instead of running it.
LOOKING = ("hydra_help", "cfg", "info", "shell_completion")


def launch(
    config_name: str,
    task: Callable[[DictConfig], None],
    arguments: Sequence[str] | None,
    also_check: Callable[[DictConfig, bool], list[str] | None] | None = None,
    on_job: OnJob | None = None,
    expand: Callable[[list[str], bool], list[str]] | None = None,
) -> int:
    """Run `task` on each job of a command line; the exit code is 2 for a line that is wrong.

    `also_check` may return words to add to the line; `on_job` sees every job while it is checked;
    `expand` puts in what some words stand for.
    """
    typed = sweep_flag_first(sys.argv[1:] if arguments is None else arguments)
    register_resolvers()
    if "--help" in typed or "-h" in typed:
        print(help_text(config_name))
        return 0
    try:
        parsed = get_args_parser().parse_args(typed)
        if not any(getattr(parsed, option) for option in LOOKING):
            words = expand(parsed.overrides, parsed.multirun) if expand else parsed.overrides
            typed += words[len(parsed.overrides) :]
            composed = check_overrides(config_name, words, parsed.multirun, on_job)
            if also_check is not None:
                typed += also_check(composed, parsed.multirun) or []
    except SystemExit as stop:  # argparse has said what is wrong, or all is done without a job
        return int(stop.code or 0)
    except UserError as error:
        print(f"\nmoe_lab.{config_name}: error\n\n{error}\n", file=sys.stderr, flush=True)
        return 2
    run = hydra.main(str(configuration_folder()), config_name, version_base="1.3")(task)
    with command_line(config_name, typed):
        try:
            run()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 1
    return 0


def sweep_flag_first(typed: Sequence[str]) -> list[str]:
    """Allow -m anywhere: argparse takes it only before or after all overrides."""
    flags = [word for word in typed if word in ("-m", "--multirun")]
    return [*flags[:1], *(word for word in typed if word not in ("-m", "--multirun"))]


@contextmanager
def command_line(config_name: str, typed: Sequence[str]) -> Iterator[None]:
    """Let Hydra, which reads sys.argv, see these arguments."""
    before = sys.argv
    sys.argv = [f"moe_lab/{config_name}.py", *typed]
    try:
        yield
    finally:
        sys.argv = before


def check_folder(path: Path, key: str) -> None:
    """ConfigError if a folder that a run is about to make cannot be made."""
    ancestor = next(p for p in (path, *path.absolute().parents) if p.exists())
    if ancestor.is_dir() and os.access(ancestor, os.W_OK | os.X_OK):
        return
    reason = "may not be written to" if ancestor.is_dir() else "is a file, not a folder"
    raise ConfigError(
        f"{key}={path}: {ancestor} {reason}",
        "a folder that exists or can be made, and written to",
        f"choose another {key}",
    )
