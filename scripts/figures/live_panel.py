"""A picture of the live display: bar and panel of a real run whose router sends too much one way.

    python scripts/figures/live_panel.py panel.svg [--step 60]

Trains a top-1 mixture on the 5,000 digits that are installed, without a balance term and with
scores that all tie at first, which is how a router collapses.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import moe_lab  # noqa: F401  (first: it makes torchvision importable)

import torch  # isort: skip
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training import build
from moe_lab.training.callbacks import LiveBar
from moe_lab.training.sandbox import quieten_lightning

WIDTH = 100
COMPOSITION = [
    "model=sparse", "router=top_k", "router.top_k=1", "loss=unbalanced", "dataset=mnist_5k",
    "loss.terms.switch_balance.weight=0.01", "trainer.max_epochs=3", "trainer.accelerator=cpu",
    "callbacks.progress.style=none", "callbacks.health.every=10", "callbacks.health.window=20",
    "callbacks.collapse.every=10",
]  # fmt: skip


class Picture(Callback):
    """Draws what the progress bar shows at one step into an SVG file."""

    def __init__(self, bar: LiveBar, step: int, path: Path) -> None:
        self.bar, self.step, self.path = bar, step, path

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            console = Console(record=True, force_terminal=True, width=WIDTH, file=io.StringIO())
            console.print(self.bar.render())
            console.save_svg(str(self.path), title="python -m moe_lab.train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", type=Path, help="SVG file to write")
    parser.add_argument("--step", type=int, default=60, help="training step that is shown")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    quieten_lightning()
    register_resolvers()
    with tempfile.TemporaryDirectory() as folder:
        typed = [*COMPOSITION, f"run_dir={folder}"]
        config = check_overrides("train", typed, multirun=False)
        data = build.build_data(config)
        data.prepare()
        build.fill_in_data(config, data)
        seed_everything(0, verbose=False)
        length = build.training_length(config, len(data.loader("train")))
        classifier = build.build_classifier(config, length)
        torch.nn.init.zeros_(classifier.model.get_parameter("router.gate.linear.weight"))
        bar = LiveBar(Console(file=io.StringIO(), force_terminal=True, width=WIDTH))
        picture = Picture(bar, arguments.step, arguments.path)
        callbacks = [*build.build_callbacks(config), bar, picture]
        build.build_trainer(config, callbacks, []).fit(classifier, datamodule=data)


if __name__ == "__main__":
    main()
