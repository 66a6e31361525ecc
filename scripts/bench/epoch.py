"""What the framework costs: one training epoch of the default model, three ways, interleaved.

    python scripts/bench/epoch.py --root DATA [--rounds 5] [--assert-ratios]

1. moe_lab: Lightning, resident tensors, all default callbacks and the run directory's logger
2. a bare PyTorch loop over the same model, objective, optimizer and resident batches
3. Lightning with torchvision's MNIST and transforms in a DataLoader, same model and objective

Only training batches are timed; validation and checkpoints are not part of an epoch here.
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
from lightning import seed_everything
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.data import ImageData
from moe_lab.training import build
from moe_lab.training.callbacks import Stopwatch
from moe_lab.training.classifier import Classifier
from moe_lab.training.loggers import JSONLinesLogger
from moe_lab.training.sandbox import quieten_lightning

MOST_OVER_BARE, MOST_OVER_DATALOADER = 1.5, 0.5


def ours(config: DictConfig, data: ImageData) -> float:
    """Seconds of training batches in one epoch of moe_lab."""
    return fitted_seconds(config, lambda trainer, classifier: trainer.fit(classifier, data), data)


def dataloader(config: DictConfig, data: ImageData) -> float:
    """Seconds of training batches in one epoch of Lightning over a torchvision DataLoader."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = transforms.Compose(
        [
            transforms.RandomCrop(28, padding=1),
            transforms.ToTensor(),
            transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )
    images = datasets.MNIST(config.dataset.root, train=True, transform=steps)
    kept = torch.utils.data.Subset(images, range(data.sizes["train"]))
    loader = DataLoader(kept, batch_size=config.dataset.batch_size, shuffle=True)
    val = data.loader("val")
    return fitted_seconds(config, lambda trainer, model: trainer.fit(model, loader, val), data)


def fitted_seconds(config, fit, data) -> float:  # type: ignore[no-untyped-def]
    """Run one epoch under Lightning and read the stopwatch."""
    classifier = build_default(config, data)
    with tempfile.TemporaryDirectory() as folder:
        settings = config.copy()
        with open_dict(settings):
            settings.run_dir = folder
            settings.trainer.max_epochs = 1
        watch = Stopwatch()
        callbacks = [*build.build_callbacks(settings), watch]
        logger = JSONLinesLogger(Path(folder) / "metrics.jsonl")
        fit(build.build_trainer(settings, callbacks, [logger]), classifier)
    return watch.train_seconds


def bare(config: DictConfig, data: ImageData) -> float:
    """Seconds of one epoch of the same work in a plain loop."""
    classifier = build_default(config, data)
    configured = classifier.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    model, objective = classifier.model.train(), classifier.objective
    started = time.perf_counter()
    for images, target in data.loader("train"):
        loss = objective(model(images), target).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return time.perf_counter() - started


def build_default(config: DictConfig, data: ImageData) -> Classifier:
    """The default classifier under the same seed."""
    seed_everything(0, verbose=False)
    length = build.training_length(config, len(data.loader("train")))
    return build.build_classifier(config, length)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", default="data", help="folder that holds MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--assert-ratios", action="store_true", help="exit 1 above the targets")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    quieten_lightning()
    torch.set_flush_denormal(True)  # for all three: the processor's setting, not the framework's
    register_resolvers()
    typed = [f"dataset.root={arguments.root}", "callbacks.progress.style=none", "run_dir=unused"]
    config = check_overrides("train", [*typed, "dataset.download=false"], multirun=False)
    data = build.build_data(config)
    data.prepare()
    build.fill_in_data(config, data)
    contenders = {"moe_lab": ours, "bare loop": bare, "Lightning + DataLoader": dataloader}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    bare(config, data)  # warm up
    for _ in range(arguments.rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender(config, data))
    return report({name: statistics.median(times) for name, times in seconds.items()}, arguments)


def report(medians: dict[str, float], arguments: argparse.Namespace) -> int:
    """Print medians and ratios; 1 if a target was missed and that was to be noticed."""
    table = Table(title=f"one epoch of MNIST, median of {arguments.rounds} interleaved rounds")
    for heading in ("contender", "seconds", "over the bare loop"):
        table.add_column(heading)
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{median / medians['bare loop']:.2f}")
    Console().print(table)
    over_bare = medians["moe_lab"] / medians["bare loop"]
    over_loader = medians["moe_lab"] / medians["Lightning + DataLoader"]
    print(f"moe_lab / bare loop: {over_bare:.2f} (target <= {MOST_OVER_BARE})")
    print(f"moe_lab / Lightning + DataLoader: {over_loader:.2f} (<= {MOST_OVER_DATALOADER})")
    missed = over_bare > MOST_OVER_BARE or over_loader > MOST_OVER_DATALOADER
    return int(missed and arguments.assert_ratios)


if __name__ == "__main__":
    sys.exit(main())
