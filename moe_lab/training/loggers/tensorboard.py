"""TensorBoard event files inside the run directory."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from moe_lab.training.loggers.drawings import DataTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EventFiles(TensorBoardLogger):
    """Lightning's logger with the configuration as text, and with figures and tables."""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Keep the configuration as searchable parameters and, readable, under `Text`."""
        super().log_hyperparams(params, *args, **kw)
        plain = vars(params) if isinstance(params, Namespace) else params
        # Four spaces make a block of code in Markdown, where line breaks stay.
        text = textwrap.indent(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), "    ")
        self.experiment.add_text("config", text, 0)

    @rank_zero_only
    def log_drawings(
        self, figures: Mapping[str, Figure], tables: Mapping[str, DataTable], step: int
    ) -> None:
        """Keep figures as images and tables as text."""
        for name, figure in figures.items():
            self.experiment.add_figure(name, figure, step, close=False)
        for name, table in tables.items():
            self.experiment.add_text(name, table.markdown(), step)


def tensorboard_logger(directory: str) -> Logger:
    """View them with `tensorboard --logdir outputs`."""
    return EventFiles(directory, name="tensorboard", version="", default_hp_metric=False)
