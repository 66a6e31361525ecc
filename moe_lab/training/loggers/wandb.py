"""Weights & Biases, one run a job."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from moe_lab.errors import ConfigError
from moe_lab.metrics.registry import STEP_TAG, kept_values, tag_of
from moe_lab.training.loggers.drawings import DataTable, picture
from moe_lab.training.loggers.wandb_key import has_key
from moe_lab.training.ranks import is_first_process

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WandbMode = Literal["online", "offline", "disabled"]


class WandbRun(WandbLogger):
    """Lightning's logger under the names of dashboards, with figures and tables."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({tag_of(name): value for name, value in metrics.items()}, step)

    @rank_zero_only
    def log_drawings(
        self, figures: Mapping[str, Figure], tables: Mapping[str, DataTable], step: int
    ) -> None:
        """Keep all of them in one line of the history."""
        import wandb

        images = {name: wandb.Image(picture(figure)) for name, figure in figures.items()}
        data = {
            name: wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
            for name, table in tables.items()
        }
        self.experiment.log({**images, **data, STEP_TAG: step})


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
    # Tables wait here to be sent: in the home directory, if W&B may choose.
    os.environ.setdefault("WANDB_DATA_DIR", str(Path(directory, "wandb", "data").absolute()))
    arguments: dict[str, Any] = {
        "project": project,
        "entity": entity,
        "name": name,
        "group": group,
        "job_type": "train",
        "tags": [tags] if isinstance(tags, str) else list(tags),
        "config": config,
        "dir": directory,
        "settings": wandb.Settings(console="off", silent=True, init_timeout=30),
        # Never join the run of an earlier job of this process, which is what wandb does by default.
        "reinit": "finish_previous",
    }
    try:
        run = wandb.init(mode=chosen, **arguments)
    except wandb.errors.Error as error:
        print(f"W&B: {error}; the run is kept offline", file=sys.stderr, flush=True)
        run = wandb.init(mode="offline", **arguments)
    define_metrics(run)
    # Handing over a finished `run` keeps Lightning from calling wandb.init with its own arguments.
    return WandbRun(experiment=run)


def define_metrics(run: Any) -> None:
    """Put optimizer steps on every horizontal axis, and the best of a run beside the last value."""
    run.define_metric("*", step_metric=STEP_TAG)
    for tag, kept in kept_values().items():
        # A metric with a definition of its own takes nothing from that of all metrics.
        run.define_metric(tag, step_metric=STEP_TAG, summary=f"{kept},last")


def choose_mode(mode: str) -> WandbMode:
    """`online` or `offline`; `auto` looks for a key in the environment and in the netrc file."""
    if not is_first_process():
        return "disabled"  # or every process of one job would start a run
    asked = os.environ.get("WANDB_MODE") if mode == "auto" else mode
    if asked in get_args(WandbMode):
        return cast(WandbMode, asked)
    return "online" if has_key() else "offline"


def finish_run(logger: Any, exit_code: int) -> None:
    """Close a W&B run with the exit code of its job, so that a crash does not show as finished."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=exit_code)
