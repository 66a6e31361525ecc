"""What one configuration costs on this machine: built, run for some steps, and timed."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.data import ImageData
from moe_lab.errors import DataUnavailable
from moe_lab.models import costs
from moe_lab.training import build
from moe_lab.training.callbacks import Stopwatch
from moe_lab.training.classifier import Classifier
from moe_lab.training.resume import plain_dict
from moe_lab.training.run_directory import RunDirectory
from moe_lab.training.sandbox import sandbox

WARM_UP = 8  # batches, in which memory is set up and kernels are chosen
SECONDS = 1.5  # of training that are timed
LEAST, MOST = 10, 500  # batches that are timed, where an epoch has so many


@dataclass(frozen=True)
class Cost:
    """One run of a configuration. Bytes are those of tensors; Python and torch need theirs too."""

    params: int
    flops_per_image: int
    bytes: int
    seconds: float  # on this machine, from reading the data to the page about the run
    dataset: str


class Timer(Callback):
    """Seconds of each validation, and of what follows it to the end of the epoch."""

    def __init__(self) -> None:
        self.validation = self.rest = 0.0
        self._since = 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validation = time.perf_counter() - self._since

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._since:  # there was a validation
            self.rest = max(0.0, time.perf_counter() - self._since - self.validation)


def measure(config: DictConfig) -> Cost:
    """Build a configuration and time it; ConfigError where its parts do not fit.

    What training writes goes to a folder that is removed at once; nothing is downloaded.
    """
    started = time.perf_counter()
    with sandbox(), tempfile.TemporaryDirectory() as folder:
        torch.set_flush_denormal(True)
        warnings.simplefilter("ignore")  # each concerns a run, and there is none
        config = quiet(config, folder)
        data = build.build_data(config)
        data.prepare()
        build.fill_in_data(config, data)
        seed_everything(config.seed, verbose=False)
        batches = len(data.loader("train"))
        length = build.training_length(config, batches)
        classifier = build.build_classifier(config, length)
        setting_up = time.perf_counter() - started
        images, *_ = next(iter(data.loader("val" if data.sizes["val"] else "train")))
        flops = costs.flops_per_image(classifier, images[:256])
        used = bytes_of_activations(classifier, data)
        steps = length.steps_per_epoch
        stopwatch, trainer, timer = time_steps(config, data, classifier, steps)
        per_step = stopwatch.train_seconds / max(1, trainer.fit_loop.total_batch_idx + 1)
        validations = 1 / (config.trainer.get("check_val_every_n_epoch") or 1)
        epoch = per_step * steps + timer.validation * validations + timer.rest
        final = timer.validation * (1 + data.sizes["test"] / max(1, data.sizes["val"]))
        used += bytes_of(classifier, trainer, data)
        seconds = setting_up + config.trainer.max_epochs * epoch + final + write_page(config)
        params = costs.params_total(classifier.model)
        return Cost(params, flops, used, seconds, str(data.name))


def time_steps(
    config: DictConfig, data: ImageData, classifier: Classifier, batches: int
) -> tuple[Stopwatch, Trainer, Timer]:
    """Train for a while and once again: the second time is what counts."""
    warm = min(WARM_UP, batches)
    stopwatch, _, _ = fit(config, data, classifier, warm)
    a_second_has = SECONDS * warm / max(stopwatch.train_seconds, 1e-6)
    chosen = min(batches, max(LEAST, min(MOST, round(a_second_has))))
    return fit(config, data, classifier, chosen)


def fit(
    config: DictConfig, data: ImageData, classifier: Classifier, batches: int
) -> tuple[Stopwatch, Trainer, Timer]:
    """One short epoch with the callbacks of the run."""
    config = config.copy()
    config.trainer.limit_train_batches, config.trainer.max_epochs = batches, 1
    config.trainer.check_val_every_n_epoch = 1  # the one epoch is validated, or nothing is timed
    stopwatch, timer = Stopwatch(), Timer()
    callbacks = [*build.build_callbacks(config), timer, stopwatch]
    trainer = build.build_trainer(config, callbacks, [])
    trainer.fit(classifier, datamodule=data)
    return stopwatch, trainer, timer


def write_page(config: DictConfig) -> float:
    """Seconds for report.html, here about a run without an epoch; 0 where none is asked for."""
    if not config.report:
        return 0.0
    from moe_lab.analysis.page import write_report  # in training, too, it is imported this late

    directory = RunDirectory(config.run_dir)
    started = time.perf_counter()
    try:
        directory.write_config(plain_dict(config))
        write_report(directory)
    except Exception:  # as in training: without a page the run is sound
        return 0.0
    return time.perf_counter() - started


def largest_process() -> int:
    """Bytes of memory that this process has held at once, with Python, torch and data."""
    kibibytes = sys.platform != "darwin"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if kibibytes else 1)


def quiet(config: DictConfig, folder: str) -> DictConfig:
    """The configuration without downloads, dashboards and lines on the screen."""
    config = config.copy()
    config.run_dir, config.run_name = folder, "plan"
    if OmegaConf.select(config, "dataset.source.download") is not None:
        config.dataset.source.download = False
    if OmegaConf.select(config, "callbacks.progress.style") is not None:
        config.callbacks.progress.style = "none"
    config.logger = None
    return config


def bytes_of_activations(classifier: Classifier, data: ImageData) -> int:
    """What one micro-batch keeps for its backward pass, each piece of memory counted once."""
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in classifier.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)  # or its address could be given to the next one
        return tensor

    alive: list[Tensor] = []
    batch = next(iter(data.loader("train")))
    images, target = (part[: classifier.micro_batch_size] for part in batch[:2])
    classifier.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = classifier.model.teach(
            images, target, every_expert=classifier.objective.needs_every_expert
        )
        classifier.objective(output, target)
    return sum(kept.values())


def bytes_of(classifier: Classifier, trainer: Trainer, data: ImageData) -> int:
    """Weights, their gradients, the optimizer's state, and the images."""
    weights = sum(t.nbytes for t in (*classifier.parameters(), *classifier.buffers()))
    gradients = sum(p.nbytes for p in classifier.parameters() if p.requires_grad)
    states: list[Any] = [s for o in trainer.optimizers for s in o.state.values()]
    held = sum(t.nbytes for s in states for t in s.values() if isinstance(t, Tensor))
    images = sum(t.nbytes for part in data.prepare().parts.values() for t in part)
    return weights + gradients + held + images


def with_fallback(config: DictConfig, compose: Any) -> Cost:
    """Measure, with the data that training would take instead where its own are not there."""
    try:
        return measure(config)
    except DataUnavailable:
        fallback = config.dataset.fallback
        if fallback is None:
            raise
        return measure(compose(fallback))
