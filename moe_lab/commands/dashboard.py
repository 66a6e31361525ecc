"""`python -m moe_lab dashboard push|show`: the panels of W&B, written in Python and sent there."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from moe_lab.config.launch import launch
from moe_lab.errors import ConfigError
from moe_lab.training.loggers.wandb_key import has_key

ACTIONS = ("show", "push")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the server did not take it, 2 a wrong command line or no key."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.errors import UserError
        from moe_lab.training import console

        try:
            act(config)
            codes.append(0)
        except UserError as error:
            console.print_error("moe_lab.commands.dashboard", error)
            codes.append(2 if isinstance(error, ConfigError) else 1)

    typed = action_first(sys.argv[1:] if arguments is None else arguments)
    return max([launch("dashboard", task, typed, check_key), *codes])


def action_first(typed: Sequence[str]) -> list[str]:
    """Allow `push` and `show` as a first word, which stands for action=push and action=show."""
    words = list(typed)
    if words and words[0] in ACTIONS:
        words[0] = f"action={words[0]}"
    return words


def check_key(config: DictConfig, multirun: bool) -> None:
    """Refuse to push without a key, before anything is loaded: W&B would ask for one and wait."""
    if config.action == "push" and not has_key():
        raise ConfigError(
            "push needs a key of W&B, and there is none",
            "a key in WANDB_API_KEY or from `wandb login`",
            "wandb login, then again; without a key: python -m moe_lab dashboard show",
        )


def act(config: DictConfig) -> None:
    """Show or push."""
    try:
        from moe_lab.analysis.panels.push import push
        from moe_lab.analysis.panels.show import show
    except ImportError as error:
        raise ConfigError(
            f"dashboards need the package {error.name}, which is not installed",
            todo="pip install wandb wandb-workspaces",
        ) from None
    try:
        if config.action == "show":
            show(config)
        else:
            print("\n".join(push(config)))
    except ValueError as error:  # of the checks of wandb-workspaces
        lines = " ".join(str(error).split())
        raise ConfigError(
            f"W&B cannot show this: {lines}", todo="see title and group_by"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
