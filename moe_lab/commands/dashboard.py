"""Write the panels of W&B from one list: print them, or send them there."""

from __future__ import annotations

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage
from moe_lab.errors import ConfigError
from moe_lab.training.loggers.wandb_key import has_key


def act(job: Composition) -> None:
    """Show or push."""
    try:
        from moe_lab.analysis.panels.push import push
        from moe_lab.analysis.panels.show import show_panels
    except ImportError as error:
        raise ConfigError(
            f"dashboards need the package {error.name}, which is not installed",
            todo="pip install wandb wandb-workspaces",
        ) from None
    try:
        if job.config.action == "show":
            show_panels(job.config)
        else:
            print("\n".join(push(job.config)))
    except ValueError as error:  # of the checks of wandb-workspaces
        lines = " ".join(str(error).split())
        raise ConfigError(
            f"W&B cannot show this: {lines}", todo="see title and group_by"
        ) from error


def check_key(job: Composition) -> None:
    """Refuse to push without a key, before anything is loaded: W&B would ask for one and wait."""
    if job.config.action == "push" and not has_key():
        raise ConfigError(
            "push needs a key of W&B, and there is none",
            "a key in WANDB_API_KEY or from `wandb login`",
            "wandb login, then again; without a key: moe-lab dashboard show",
        )


main = Command(
    CommandUsage(
        "dashboard",
        __doc__,
        positional=("action",),
        texts=("title",),
        examples=(
            ("moe-lab dashboard show", "the panels, without any network"),
            ("moe-lab dashboard push entity=TEAM project=moe_lab", "a workspace, a report"),
        ),
    ),
    act,
    check_key,
)
