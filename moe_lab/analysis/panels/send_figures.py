"""Figures and tables of an evaluation, for the loggers that take them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from moe_lab.training.loggers import DataTable, TakesDrawings

log = logging.getLogger("moe_lab")


def figures(every: str = "test") -> Callback | None:
    """Draw after the test, or after every `validation` as well; None for `never`."""
    return None if every == "never" else Figures(after_validation=every == "validation")


class Figures(Callback):
    """Sends confusion, load and classes by expert to TensorBoard and W&B, once an evaluation.

    Drawn from the sums that the evaluation keeps anyway; without such a logger nothing is done.
    """

    def __init__(self, after_validation: bool = False) -> None:
        self.after_validation = after_validation

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.after_validation:
            self.send("val", trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.send("test", trainer, pl_module)

    def send(self, split: str, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw once and hand it to every logger that takes it."""
        takers = [logger for logger in trainer.loggers if isinstance(logger, TakesDrawings)]
        if not takers or not trainer.is_global_zero:
            return
        from moe_lab.analysis.plots.evaluation import draw_evaluation  # loads scikit-learn

        try:
            evaluated: dict[str, Any] = pl_module.evaluation.tables()  # type: ignore[operator,union-attr]
            names = class_names(trainer, len(evaluated["confusion"]))
            drawn = draw_evaluation(evaluated, names)
            tables = routing_tables(evaluated["layers"], names)
            for logger in takers:
                logger.log_drawings(
                    {f"{split}/{name}": figure for name, figure in drawn.items()},
                    {f"{split}/{name}": table for name, table in tables.items()},
                    trainer.global_step,
                )
        except Exception:  # a picture must not cost a run its result
            log.exception("the figures of the %s could not be drawn or kept", split)


def routing_tables(layers: Mapping[str, Any], names: Sequence[str]) -> dict[str, DataTable]:
    """Images by first expert (rows) and class (columns) of each layer, with the expert's load."""
    tables = {}
    for name, layer in layers.items():
        pairs = enumerate(zip(layer["load"], layer["first"], strict=True))
        rows = [[str(expert), float(share), *counts] for expert, (share, counts) in pairs]
        stem = f"{name}/routing" if len(layers) > 1 else "routing"
        tables[stem] = DataTable(["expert", "load", *names], rows)
    return tables


def class_names(trainer: Trainer, num_classes: int) -> list[str]:
    """What the data call their classes, or their numbers."""
    data: Any = getattr(trainer, "datamodule", None)
    return list(getattr(data, "class_names", map(str, range(num_classes))))
