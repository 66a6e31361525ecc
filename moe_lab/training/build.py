"""Builds objects from a configuration: the only place besides the entry points that knows Hydra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moe_lab.config.instantiate import instantiate, refuse_foreign
from moe_lab.config.tree import parts_do_not_fit
from moe_lab.data import Augment, Corruption, ImageData
from moe_lab.errors import ConfigError, UserError
from moe_lab.losses import Objective
from moe_lab.models import Model
from moe_lab.models.feedback import refuse_labels
from moe_lab.training.checkpoint_files import CheckpointFiles
from moe_lab.training.classifier import Classifier
from moe_lab.training.known_domains import refuse_unknown_domains, refuse_untold_oracle


@dataclass(frozen=True)
class Length:
    """How long a training run is, in optimizer steps."""

    steps_per_epoch: int
    total_steps: int


def build(node: Any, **arguments: Any) -> Any:
    """Instantiate one node; a constructor's ValueError becomes the ConfigError that a user sees."""
    try:
        return instantiate(node, **arguments)
    except OmegaConfBaseException as error:  # a part refers to a key that another one lacks
        raise parts_do_not_fit(error) from error
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, UserError | ValueError):
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError):
            raise ConfigError(str(cause)) from error
        raise


def refuse_what_is_foreign(config: DictConfig) -> None:
    """ConfigError where any part of a configuration may not be built, before the first is."""
    try:
        refuse_foreign(config)
    except OmegaConfBaseException as error:
        raise parts_do_not_fit(error) from error


def build_data(config: DictConfig) -> ImageData:
    """The data module of a configuration; nothing is read yet."""
    refuse_what_is_foreign(config)
    dataset = config.dataset
    try:
        return ImageData(
            source=build(dataset.source),
            # All images of a step at once: the classifier takes them in micro-batches.
            batch_size=dataset.batch_size * config.trainer.accumulate_grad_batches,
            eval_batch_size=dataset.eval_batch_size,
            val_fraction=dataset.val_fraction,
            split_seed=dataset.split_seed,
            subset=dataset.subset,
            classes=_as_list(dataset.classes),
            imbalance=dataset.get("imbalance"),
            test_subset=dataset.get("test_subset"),
            mean=_as_list(dataset.mean),
            std=_as_list(dataset.std),
            augment=Augment(**dataset.augment),
            seed=config.seed,
            labels=dataset.get("labels"),
            corruption=corruption_of(dataset),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def corruption_of(dataset: DictConfig) -> Corruption | None:
    """What is to be done to the images; ConfigError where only half of it is said."""
    kind, strength, split = (
        dataset.get(key) for key in ("corrupt", "corrupt_strength", "corrupt_split")
    )
    if kind is None and strength is None and split is None:
        return None
    if kind is None or strength is None:
        lacks = "corrupt" if kind is None else "corrupt_strength"
        raise ConfigError(
            f"dataset.{lacks} is null, but the rest of a corruption is given",
            "both a kind and a strength, or neither",
            "set dataset.corrupt=noise dataset.corrupt_strength=3, for example",
        )
    return Corruption(kind, strength, split or "test", dataset.split_seed)


def fill_in_data(config: DictConfig, data: ImageData) -> None:
    """Write what only the data can tell into the configuration, such as shape and classes."""
    OmegaConf.update(config, "dataset.shape", list(data.shape))
    OmegaConf.update(config, "dataset.num_classes", data.num_classes)
    OmegaConf.update(config, "dataset.mean", [float(value) for value in data.mean])
    OmegaConf.update(config, "dataset.std", [float(value) for value in data.std])
    if data.num_domains is not None:
        OmegaConf.update(config, "dataset.num_domains", data.num_domains, force_add=True)
    if config.dataset.epochs is None:
        OmegaConf.update(config, "dataset.epochs", epochs_for(len(data.loader("train"))))
    if config.trainer.max_epochs is None:
        OmegaConf.update(config, "trainer.max_epochs", config.dataset.epochs)


def epochs_for(batches: int) -> int:
    """How long to train on a data set of any size: 20 epochs, but up to 100 where they are short.

    On 1,131 digits of 8 x 8 pixels (9 batches) the validation loss stopped falling between 720 and
    1,080 steps; mnist_5k is trained for 870.
    """
    return min(100, max(20, -(-800 // batches)))


def build_classifier(config: DictConfig, length: Length | None = None) -> Classifier:
    """Model, objective and, where a length is given, optimizer and schedule."""
    refuse_what_is_foreign(config)
    model: Model = build(config.model)
    refuse_untold_oracle(model)
    why = model.cannot_evaluate()
    if why is not None:
        raise refuse_labels(why)
    objective: Objective = build(config.loss)
    try:
        name = f"model={type(model).__name__}"
        objective.check_reads(name, model.output_type, model.lacks())
        objective.check_teaches(model.learns_only_from_prediction())
        objective.check_terms(model.needs_terms())
    except ValueError as error:
        raise ConfigError(str(error)) from error
    training: dict[str, Any] = {}
    if length is not None:
        refuse_fused_clipping(config)
        refuse_mixing(config, model)
        refuse_unknown_domains(config, model)
        training = {
            "optimizer": build(config.optimizer),
            "schedule": build(config.scheduler),
            "steps_per_epoch": length.steps_per_epoch,
            "total_steps": length.total_steps,
            "micro_batch_size": config.dataset.batch_size,
        }
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return Classifier(
        model=model,
        objective=objective,
        num_classes=config.dataset.num_classes,
        mean=config.dataset.mean,
        std=config.dataset.std,
        config={str(key): value for key, value in plain.items()},
        test_time_flip=asks_for_flip(config),
        channels_last=config.get("channels_last", False),
        num_domains=config.dataset.get("num_domains"),
        **training,
    )


def refuse_fused_clipping(config: DictConfig) -> None:
    """A fused optimizer unscales float16 gradients itself, after the moment to clip them."""
    trainer = config.trainer
    if (
        trainer.precision == "16-mixed"
        and trainer.gradient_clip_val is not None
        and config.optimizer.get("fused")
    ):
        raise ConfigError(
            "trainer.gradient_clip_val cannot be used with trainer.precision=16-mixed and a fused "
            "optimizer",
            todo="use trainer.precision=bf16-mixed, or optimizer.fused=false",
        )


def refuse_mixing(config: DictConfig, model: Model) -> None:
    """A model that is taught by the label of an image cannot be taught by two."""
    augment = config.dataset.augment
    if (augment.mixup or augment.cutmix) and model.is_taught():
        raise ConfigError(
            "dataset.augment.mixup and cutmix give an image two labels, but this model is taught "
            "by its one label (feedback=oracle)",
            todo="set dataset.augment.mixup=0 and dataset.augment.cutmix=0, or use feedback=self",
        )


def asks_for_flip(config: DictConfig) -> bool:
    """Whether evaluations look at mirror images too; ConfigError where images have none."""
    flips = bool(config.get("test_time_flip", False))
    if flips and config.dataset.name == "toy2d":
        raise ConfigError(
            "test_time_flip=true needs pictures, but a flip of dataset=toy2d would swap x and y",
            todo="set test_time_flip=false",
        )
    return flips


def training_length(config: DictConfig, batches: int) -> Length:
    """Steps of a run, from its configuration alone: Lightning's own estimate drops the loader's
    position. `batches` are those of the loader, each of which makes a step.
    """
    limit = config.trainer.limit_train_batches
    steps = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if steps < 1:
        raise ConfigError(
            f"trainer.limit_train_batches={limit} leaves no step of the {batches} in an epoch",
            f"a share of at least {1 / batches:.3g}, or a whole number of steps",
        )
    return Length(steps, steps * config.trainer.max_epochs)


def build_trainer(config: DictConfig, callbacks: list[Callback], loggers: list[Logger]) -> Trainer:
    """The Lightning trainer, with everything it would otherwise decide by itself spelled out."""
    settings = OmegaConf.to_container(config.trainer, resolve=True)
    assert isinstance(settings, dict)
    # Lightning's way would average over micro-batches, see micro_batches.py.
    settings.pop("accumulate_grad_batches")
    on_gpu = settings["accelerator"] == "gpu"
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if on_gpu and not has_gpu:
        raise ConfigError(
            "the configuration asks for a GPU (trainer.accelerator=gpu), but torch finds none",
            "an NVIDIA GPU with a CUDA build of torch, or an Apple one",
            "use trainer=cpu or trainer=auto",
        )
    if settings["deterministic"] == "auto":
        uses_gpu = has_gpu and settings["accelerator"] != "cpu"
        settings["deterministic"] = "warn" if uses_gpu else True
    if settings["strategy"] == "ddp":
        # An expert without an image in any process then has no gradient, as in a single one; zeros
        # in its place would still move it by momentum and weight decay.
        settings["strategy"] = "ddp_find_unused_parameters_true"
    try:
        trainer: Trainer = build(
            settings,
            callbacks=callbacks,
            logger=loggers,
            plugins=[CheckpointFiles()],
            default_root_dir=config.run_dir,
            enable_progress_bar=False,  # Lightning's own: see callbacks/live_bar.py
            enable_model_summary=False,
            enable_checkpointing=True,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            inference_mode=True,
        )
    except MisconfigurationException as error:
        raise ConfigError(str(error)) from error
    return trainer


def build_callbacks(config: DictConfig) -> list[Callback]:
    """The callbacks of a configuration, without those that a setting switches off."""
    built = [build(node) for node in config.callbacks.values()]
    flat = [c for item in built for c in (item if isinstance(item, list) else [item])]
    return [callback for callback in flat if callback is not None]


def build_loggers(config: DictConfig) -> list[Logger]:
    """The loggers of a configuration beside the run directory's own."""
    Path(config.run_dir).mkdir(parents=True, exist_ok=True)
    return [build(node) for node in (config.logger or {}).values()]


def _as_list(value: Any) -> list[Any] | None:
    if value is None:
        return None
    return list(value) if isinstance(value, ListConfig) else [value]
