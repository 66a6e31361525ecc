"""TensorBoard event files inside the run directory."""

from __future__ import annotations

from lightning.pytorch.loggers import Logger, TensorBoardLogger


def tensorboard_logger(directory: str) -> Logger:
    """View them with `tensorboard --logdir outputs`."""
    return TensorBoardLogger(save_dir=directory, name="tensorboard", version="")
