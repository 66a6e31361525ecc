"""Which epoch best.ckpt holds, by sequences made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from moe_lab.training.callbacks import checkpoint

NAN = float("nan")


class Told(LightningModule):
    """A module whose validation says what it is told; its one weight is the epoch, from 1."""

    def __init__(self, accuracies: list[float], losses: list[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.accuracies, self.losses = accuracies, losses

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.weight * batch[0].sum()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        epoch = self.current_epoch
        self.log("val_accuracy", self.accuracies[epoch])
        self.log("val_loss", self.losses[epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def best_epoch(
    folder: Path,
    accuracies: list[float],
    losses: list[float],
    monitor: str = "val_accuracy",
    stops: tuple[int, ...] = (),
) -> int:
    """The epoch, from 1, whose weights are kept, after resuming where training stopped before."""
    one = DataLoader(TensorDataset(-torch.ones(1)))  # each step adds 1 to the weight
    resumed = None
    for epochs in (*stops, len(accuracies)):
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0,
            callbacks=checkpoint(str(folder), monitor),
        )  # fmt: skip
        trainer.fit(Told(accuracies, losses), one, one, ckpt_path=resumed)
        resumed = folder / "last.ckpt"
    state = torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]
    return int(state["weight"])


@pytest.mark.parametrize("stops", [(), (1,), (2,), (3,), (1, 2, 3, 4)])
@pytest.mark.parametrize(
    ("accuracies", "losses", "epoch"),
    [
        # The better accuracy wins, whatever its loss.
        ([0.5, 0.9, 0.8, 0.7, 0.6], [1.0, 9.0, 0.1, 0.1, 0.1], 2),
        # Of equal accuracies the smaller loss, be it earlier or later.
        ([0.5, 0.9, 0.9, 0.9, 0.8], [1.0, 0.3, 0.2, 0.4, 0.1], 3),
        ([0.9, 0.9, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5], 1),
        # Of equal losses as well the later epoch.
        ([0.9, 0.5, 0.9, 0.9, 0.8], [0.2, 0.1, 0.2, 0.2, 0.1], 4),
        # A loss that is no number is worse than any.
        ([0.9, 0.9, 0.9, 0.5, 0.5], [NAN, 3.0, NAN, 0.1, 0.1], 2),
    ],
)
def test_ties_go_to_the_smaller_loss_and_then_to_the_later_epoch(
    tmp_path: Path,
    accuracies: list[float],
    losses: list[float],
    epoch: int,
    stops: tuple[int, ...],
) -> None:
    assert best_epoch(tmp_path, accuracies, losses, stops=stops) == epoch


def test_by_loss_the_later_of_equal_epochs_is_kept(tmp_path: Path) -> None:
    losses = [0.3, 0.2, 0.4, 0.2, 0.3]
    assert best_epoch(tmp_path, [0.9, 0.5, 0.6, 0.4, 0.99], losses, "val_loss") == 4
