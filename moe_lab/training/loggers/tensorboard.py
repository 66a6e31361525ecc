"""TensorBoard event files inside the run directory."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams

from moe_lab.config.settings import flat
from moe_lab.metrics.registry import METRICS, lookup, tag_of
from moe_lab.training.loggers.drawings import DataTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EventFiles(TensorBoardLogger):
    """Lightning's logger under the names of dashboards, with the configuration as text, and with
    figures and tables.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({tag_of(name): value for name, value in metrics.items()}, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Keep the configuration under `HParams`, beside the results, and as text."""
        super().log_hyperparams(params, *args, **kw)
        plain = vars(params) if isinstance(params, Namespace) else params
        settings = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in flat(plain)
        }
        # Lightning would write a first value of each result as well, which no run has yet.
        for summary in hparams(settings, dict.fromkeys(result_tags(), 0.0)):
            self.experiment._get_file_writer().add_summary(summary)
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


def result_tags() -> list[str]:
    """What the final table of a run shows, as far as any model has it."""
    shown = [m for m in METRICS if "summary" in m.shown]
    pairs = [(m.name, split) for m in shown for split in m.splits if split != "train"]
    names = [f"{split}_{name}" if split else name for name, split in pairs]
    return list(dict.fromkeys(lookup(name).tag for name in names))


def tensorboard_logger(directory: str) -> Logger:
    """View them with `tensorboard --logdir outputs`."""
    return EventFiles(directory, name="tensorboard", version="", default_hp_metric=False)
