"""What summary.json says of a run beside its metrics: what it was, how it ended, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from moe_lab.data import ImageData
from moe_lab.models import costs
from moe_lab.training.callbacks import Stopwatch, stopped_by
from moe_lab.training.classifier import Classifier
from moe_lab.training.run_directory import config_hash


def identity_of(
    config: Mapping[str, Any], choices: Mapping[str, Any], data: ImageData
) -> dict[str, Any]:
    """What the run was, whatever came out of it."""
    tested = data.split.test_subset
    return {
        "run_name": config["run_name"],
        "run_dir": str(Path(config["run_dir"])),
        "seed": config["seed"],
        "config_hash": config_hash(dict(config)),
        "model": choices.get("model"),
        "choices": dict(choices),
        "dataset": data.name,
        "data_copy": data.copy,
        "data_fingerprint": data.fingerprint,
        **({} if tested is None else {"test_subset": tested}),
        "pool_fingerprint": data.pool_fingerprint,
        "split_seed": data.split.seed,
    }


def ending_of(trainer: Trainer, exit_code: int) -> dict[str, str]:
    """`status`, and `stopped` where a callback has ended the training; 0 means no signal has."""
    ended = stopped_by(trainer.callbacks)  # type: ignore[attr-defined]
    if ended is None:
        return {"status": "interrupted" if exit_code else "done"}
    status = "interrupted" if exit_code else ended.status_if_stopped
    return {"status": status, "stopped": str(ended.stop_reason)}


def costs_of(classifier: Classifier, data: ImageData, stopwatch: Stopwatch) -> dict[str, Any]:
    """Parameters, operations and time; the classifier goes to where the images are."""
    used = classifier.evaluation.used_share()
    images, *_ = next(iter(data.loader("val")))
    model = classifier.to(images.device).model
    with torch.random.fork_rng():
        flops = costs.flops_per_image(classifier, images[:256])
        active = costs.params_active(model, used, images[:256])
    return {
        "epochs": stopwatch.epochs,
        "params_total": costs.params_total(model),
        "params_active": active,
        "flops_per_image": flops,
        "train_seconds": stopwatch.train_seconds,
        "images_per_second": stopwatch.images_per_second,
    }
