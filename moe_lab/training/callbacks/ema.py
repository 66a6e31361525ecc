"""An exponential moving average of the weights, which is what is validated, saved and tested."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

TRAINED = "trained_weights"


def ema(decay: float | None) -> Callback | None:
    """Average the weights with this decay; None (off) without one."""
    return None if decay is None else WeightAverage(decay)


# Not lightning's EMAWeightAveraging: it averages counters, a checkpoint of weights alone gets the
# weights it did not validate, and a validation after the training swaps the best weights away.
class WeightAverage(Callback):
    """After optimizer step n: average = d average + (1 - d) weight, d = min(decay, (1 + n) / (10 +
    n)), from the initial weights.

    The rise of d (as in TensorFlow) lets the first average forget the initial weights. Averaged
    are the parameters that learn and the running statistics of batch norm, which have to fit them.
    All other buffers - counters, a router's bias or threshold - are those of the training itself.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema.decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self.averages: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}  # the tensors of the module, which training changes
        self._trained: dict[str, Tensor] | None = None  # copies of them, while averages take over
        self._loaded: dict[str, Tensor] | None = None
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A checkpoint holds averages in place of weights, so after loading one these are those.
        self._weights = averaged_tensors(pl_module)
        self.averages = {name: weight.clone() for name, weight in self._weights.items()}
        if self._loaded is not None:
            copy(self._loaded, self._weights)
            self._loaded = None
        self._steps = trainer.global_step
        pl_module.averages = self.averages  # type: ignore[assignment]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == self._steps:  # gradients of several batches are summed into one step
            return
        self._steps = step
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, weights = list(self.averages.values()), list(self._weights.values())
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and self.averages:
            self._trained = {name: weight.clone() for name, weight in self._weights.items()}
            copy(self.averages, self._weights)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._trained is not None:
            copy(self._trained, self._weights)
            self._trained = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[TRAINED] = dict(self._trained or self._weights)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._loaded = checkpoint[TRAINED]

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and self.averages:
            copy(self.averages, self._weights)
            pl_module.averages = None  # type: ignore[assignment]


def averaged_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What is averaged, by its name in the state_dict: the tensors themselves, without gradient."""
    found = {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.is_floating_point()
    }
    for path, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is not None:
            found[f"{path}.running_mean"] = part.running_mean
            found[f"{path}.running_var"] = part.running_var  # type: ignore[assignment]
    return found


def copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    """Put the values of one into the tensors of the other, by name."""
    for name, tensor in target.items():
        tensor.copy_(source[name])
