"""Where numbers go: the run directory always, TensorBoard and Weights & Biases on request."""

from moe_lab.training.loggers.drawings import DataTable, TakesDrawings
from moe_lab.training.loggers.json_lines import JSONLinesLogger
from moe_lab.training.loggers.tensorboard import tensorboard_logger
from moe_lab.training.loggers.wandb import wandb_logger

__all__ = [
    "DataTable",
    "JSONLinesLogger",
    "TakesDrawings",
    "tensorboard_logger",
    "wandb_logger",
]
