"""What watching costs: one epoch with all default callbacks and metrics, and one without.

    python scripts/bench/overhead.py --root DATA [--rounds 5] [--assert-ratio] [OVERRIDE ...]

1. watched: callbacks=default, all metrics of an evaluation
2. bare: callbacks=minimal (checkpoints and progress), accuracy and loss alone

Rounds are interleaved, and each starts from the same weights. An epoch is its training batches,
the validation behind them, and the checkpoints of both contenders.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import moe_lab  # noqa: F401  (first: it makes torchvision importable)

import torch  # isort: skip
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.data import ImageData
from moe_lab.outputs import Output
from moe_lab.training import build
from moe_lab.training.loggers import JSONLinesLogger
from moe_lab.training.sandbox import quieten_lightning

MOST_OVERHEAD = 0.10  # of an epoch


class AccuracyAndLoss(nn.Module):
    """The least an evaluation can be, in the place of `moe_lab.metrics.Evaluation`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.loss = MeanMetric()

    def update(self, output: Output, target: Tensor) -> None:
        self.accuracy.update(output.log_probs, target)
        self.loss.update(functional.nll_loss(output.log_probs, target), len(target))

    def loads(self) -> dict[str, float]:
        return {}

    def compute(self) -> dict[str, float]:
        return {"accuracy": float(self.accuracy.compute()), "loss": float(self.loss.compute())}

    def reset(self) -> None:
        self.accuracy.reset()
        self.loss.reset()


class EpochClock(Callback):
    """Seconds from the first training batch of an epoch to the end of its validation."""

    seconds = 0.0
    _started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = now(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = now(pl_module) - self._started


def now(pl_module: LightningModule) -> float:
    """The time at which all work given to the device so far is done."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()


def epoch_seconds(config: DictConfig, data: ImageData, watched: bool) -> float:
    """Train one epoch and validate."""
    seed_everything(0, verbose=False)
    length = build.training_length(config, len(data.loader("train")))
    classifier = build.build_classifier(config, length)
    if not watched:
        classifier.evaluation = AccuracyAndLoss(data.num_classes)  # type: ignore[assignment]
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder:
        settings = config.copy()
        with open_dict(settings):
            settings.run_dir = folder
            settings.trainer.max_epochs = 1
        callbacks = [*build.build_callbacks(settings), clock]
        logger = JSONLinesLogger(Path(folder) / "metrics.jsonl")
        build.build_trainer(settings, callbacks, [logger]).fit(classifier, data)
    return clock.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", default="data", help="folder that holds MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--assert-ratio", action="store_true", help="exit 1 above the target")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as model=dense")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    quieten_lightning()
    torch.set_flush_denormal(True)  # as in a training run
    register_resolvers()
    configs = {
        name: composed(arguments, f"callbacks={callbacks}")
        for name, callbacks in (("watched", "default"), ("bare", "minimal"))
    }
    data = build.build_data(configs["bare"])
    data.prepare()
    for config in configs.values():
        build.fill_in_data(config, data)
    for name, config in configs.items():  # warm up
        epoch_seconds(config, data, name == "watched")
    seconds: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(arguments.rounds):
        for name, config in configs.items():
            seconds[name].append(epoch_seconds(config, data, name == "watched"))
    return report(seconds, arguments)


def composed(arguments: argparse.Namespace, callbacks: str) -> DictConfig:
    """The configuration of one contender, without a display."""
    typed = [f"dataset.root={arguments.root}", "dataset.download=false", *arguments.overrides]
    fixed = [callbacks, "callbacks.progress.style=none", "run_dir=unused"]
    return check_overrides("train", [*typed, *fixed], multirun=False)


def report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> int:
    """Print medians and the ratio; 1 if the target was missed and that was to be noticed."""
    table = Table(title=f"one epoch, median of {arguments.rounds} interleaved rounds")
    for heading in ("contender", "seconds", "fastest", "slowest"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for name, times in seconds.items():
        values = (statistics.median(times), min(times), max(times))
        table.add_row(name, *(f"{value:.3f}" for value in values))
    Console().print(table)
    pairs = zip(seconds["watched"], seconds["bare"], strict=True)
    overhead = statistics.median(watched / bare for watched, bare in pairs) - 1
    print(
        f"overhead of watching, median over rounds: {overhead:+.1%} (target <= {MOST_OVERHEAD:.0%})"
    )
    return int(overhead > MOST_OVERHEAD and arguments.assert_ratio)


if __name__ == "__main__":
    sys.exit(main())
