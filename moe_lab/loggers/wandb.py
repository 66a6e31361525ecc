"""Weights & Biases, one run a job."""

from __future__ import annotations

import netrc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from moe_lab.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

DEFAULT_HOST = "api.wandb.ai"
Mode = Literal["online", "offline", "disabled"]


def wandb_logger(
    directory: str,
    project: str,
    name: str,
    entity: str | None = None,
    mode: str = "auto",
    tags: Sequence[str] = (),
    group: str | None = None,
    config: dict[str, Any] | None = None,
) -> Logger:
    """Start a run of its own and hand it to Lightning; offline where there is no key or no
    server.
    """
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger
    except ImportError:
        raise ConfigError(
            "logger=wandb needs the package wandb, which is not installed",
            todo="pip install wandb, or logger=tensorboard",
        ) from None

    chosen = choose_mode(mode)
    if mode == "auto" and chosen == "offline":
        print(
            "W&B: no key found, so the run is kept offline; send it with `wandb sync`", flush=True
        )
    settings = wandb.Settings(console="off", silent=True, init_timeout=30)
    arguments: dict[str, Any] = {
        "project": project,
        "entity": entity,
        "name": name,
        "group": group,
        "job_type": "train",
        "tags": [tags] if isinstance(tags, str) else list(tags),
        "config": config,
        "dir": directory,
        "settings": settings,
        # Never join the run of an earlier job of this process, which is what wandb does by default.
        "reinit": "finish_previous",
    }
    try:
        run = wandb.init(mode=chosen, **arguments)
    except wandb.errors.Error as error:
        print(f"W&B: {error}; the run is kept offline", file=sys.stderr, flush=True)
        run = wandb.init(mode="offline", **arguments)
    run.define_metric("*", step_metric="trainer/global_step")
    # Handing over a finished `run` keeps Lightning from calling wandb.init with its own arguments.
    return WandbLogger(experiment=run)


def choose_mode(mode: str) -> Mode:
    """`online` or `offline`; `auto` looks for a key in the environment and in the netrc file."""
    asked = os.environ.get("WANDB_MODE") if mode == "auto" else mode
    if asked in get_args(Mode):
        return cast(Mode, asked)
    return "online" if os.environ.get("WANDB_API_KEY") or key_in_netrc() else "offline"


def key_in_netrc() -> bool:
    """Whether `wandb login` has left a key for the server in use."""
    host = os.environ.get("WANDB_BASE_URL", DEFAULT_HOST).split("//")[-1].strip("/")
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def finish_run(logger: Any, exit_code: int) -> None:
    """Close a W&B run with the exit code of its job, so that a crash does not show as finished."""
    from lightning.pytorch.loggers import WandbLogger

    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=exit_code)
