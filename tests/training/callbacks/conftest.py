"""Short training runs whose router can be made to collapse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training import build
from moe_lab.training.callbacks import CollapseAlarm
from moe_lab.training.classifier import Classifier
from moe_lab.training.health.redraw import find_router
from moe_lab.training.run import as_list
from moe_lab.training.warm_start import freeze

SHORT = (
    "dataset=mnist_5k", "trainer.max_epochs=2", "trainer.accelerator=cpu", "expert.hidden=32",
    "callbacks.progress.style=none", "callbacks.health.every=10", "callbacks.collapse.every=10",
)  # fmt: skip
# With a gate of zeros all ties go the same way at first, and no loss draws an image back.
COLLAPSING = ("model=sparse", "router=top_k", "router.top_k=1", "loss=unbalanced")
STEPS = 2 * 29  # 3,600 training images in batches of 128, two epochs


@dataclass
class Fitted:
    """What is left of a run of 58 steps."""

    trainer: Trainer
    classifier: Classifier
    run_dir: Path
    callbacks: list[Callback] = field(default_factory=list)

    @property
    def alarm(self) -> CollapseAlarm:
        return next(c for c in self.callbacks if isinstance(c, CollapseAlarm))

    @property
    def router(self) -> torch.nn.Module:
        router = find_router(self.classifier.model, "router")
        assert router is not None
        return router


Fit = Callable[..., Fitted]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Train under the overrides of a command line, the gate set to zero if asked."""

    def run(
        *typed: str, seed: int = 0, zero_gate: bool = False, extra: Any = (), short: Any = SHORT
    ) -> Fitted:
        register_resolvers()
        run_dir = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        overrides = [*short, *typed, f"seed={seed}", f"run_dir={run_dir}"]
        config = check_overrides("train", overrides, multirun=False)
        data = build.build_data(config)
        data.prepare()
        build.fill_in_data(config, data)
        run_dir.mkdir(exist_ok=True)
        seed_everything(seed, verbose=False)
        length = build.training_length(config, len(data.loader("train")))
        classifier = build.build_classifier(config, length)
        fitted = Fitted(None, classifier, run_dir)  # type: ignore[arg-type]
        freeze(classifier.model, as_list(config.freeze))
        if zero_gate:
            torch.nn.init.zeros_(fitted.router.gate.linear.weight)
        fitted.callbacks = [*build.build_callbacks(config), *extra]
        fitted.trainer = build.build_trainer(config, fitted.callbacks, [])
        fitted.trainer.fit(classifier, datamodule=data)
        return fitted

    return run
