"""Evaluates a finished run on one split of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from moe_lab import composition, console
from moe_lab.errors import DataError
from moe_lab.restore import load
from moe_lab.run_directory import RunDirectory


def evaluate_run(request: DictConfig) -> dict[str, Any]:
    """Accuracy, loss and routing statistics of a run's weights; written to
    eval_SPLIT_CHECKPOINT.json.
    """
    run = RunDirectory(request.run)
    config = OmegaConf.create(run.read_config())
    if request.root is not None:
        config.dataset.root = request.root
        if "root" in config.dataset.source:
            config.dataset.source.root = request.root
    if request.eval_batch_size is not None:
        config.dataset.eval_batch_size = request.eval_batch_size
    classifier = load(run.path, request.checkpoint)
    data = composition.build_data(config)
    data.prepare()
    refuse_other_data(run, data.fingerprint)
    config.trainer.limit_test_batches = 1.0
    trainer: Trainer = composition.build_trainer(config, [], [])
    loader = data.loader(request.split, trainer.strategy.root_device, training=False)
    measured = trainer.test(classifier, dataloaders=loader, verbose=False)[0]
    result = {
        "run": str(Path(request.run)),
        "split": request.split,
        "checkpoint": request.checkpoint,
        "data_fingerprint": data.fingerprint,
        **{name.removeprefix("test_"): value for name, value in measured.items()},
    }
    run.write_json(run.path / f"eval_{request.split}_{request.checkpoint}.json", result)
    console.print_values(f"{request.run}: {request.split}, {request.checkpoint} weights", result)
    return result


def refuse_other_data(run: RunDirectory, fingerprint: str) -> None:
    """An accuracy on other images than the run's own must not pass for the run's."""
    recorded = run.read_environment()["data"]["fingerprint"]
    if recorded != fingerprint:
        raise DataError(
            f"the data have fingerprint {fingerprint}, the run was trained with {recorded}",
            "the same images, labels and split",
            "set root=FOLDER to the data of the run",
        )
