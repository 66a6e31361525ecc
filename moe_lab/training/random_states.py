"""Puts into last.ckpt what Lightning leaves out: random states, a stop that was decided, and what
the other files of the run held by then.

Order and augmentation of images follow from (seed, epoch, step); dropout and router noise do not.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from moe_lab.training.run_directory import RunDirectory

KEY = "moe_lab_resume"


class Memory(Callback):
    """Saves and restores random states and a stop that was decided.

    Only containers that torch.load(weights_only=True) takes. The checkpoint decides what is true:
    a run that goes on from it takes back the lines that were written later.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        run = self.directory
        growing = (run.metrics, run.health)
        held = {path.name: path.read_bytes() if path.is_file() else b"" for path in growing}
        checkpoint[KEY] = {
            "random": random_states(),
            "should_stop": bool(trainer.should_stop),
            "sizes": {name: len(content) for name, content in held.items()},
            "sums": {name: hashlib.sha256(text).hexdigest() for name, text in held.items()},
            "best": run.checksums.current(run.checkpoint("best")),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._loaded = checkpoint[KEY]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaded is not None:
            # Early stopping decides after a validation and would ask for one epoch more.
            trainer.should_stop = self._loaded["should_stop"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaded is not None:
            restore_random_states(self._loaded["random"])
            self._loaded = None


def random_states() -> dict[str, Any]:
    """The states of all generators that a model may draw from."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, next_gauss = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": list(cuda),
        "numpy": [torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss],
        "python": [version, list(words), next_gauss],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put all generators back; those of GPUs only where there are as many."""
    keys, *rest = states["numpy"]
    version, words, next_gauss = states["python"]
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), *rest))
    random.setstate((version, tuple(words), next_gauss))
