"""Where numbers go: the run directory always, TensorBoard and Weights & Biases on request."""

from moe_lab.loggers.json_lines import JSONLinesLogger
from moe_lab.loggers.tensorboard import tensorboard_logger
from moe_lab.loggers.wandb import wandb_logger

__all__ = ["JSONLinesLogger", "tensorboard_logger", "wandb_logger"]
