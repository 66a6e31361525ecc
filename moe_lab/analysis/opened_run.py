"""Opens a finished run with its data, and evaluates it on one split of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from moe_lab.data import ImageData
from moe_lab.data.resident import ResidentLoader
from moe_lab.errors import DataError
from moe_lab.training import build, console
from moe_lab.training.classifier import Classifier
from moe_lab.training.disk import write_atomically
from moe_lab.training.load_run import load
from moe_lab.training.recorded_files import understanding
from moe_lab.training.run_directory import RunDirectory, json_text


@dataclass(frozen=True)
class OpenedRun:
    """The weights of a run with the images of one split, on the device that is to be used."""

    directory: RunDirectory
    classifier: Classifier
    data: ImageData
    trainer: Trainer
    split: str

    def loader(self) -> ResidentLoader:
        """The images of the split in their own order, as they are."""
        return self.data.loader(self.split, self.trainer.strategy.root_device, training=False)

    def measure(self) -> dict[str, float]:
        """Every metric of the split by name."""
        measured = self.trainer.test(self.classifier, dataloaders=self.loader(), verbose=False)[0]
        return {name.removeprefix("test_"): value for name, value in measured.items()}

    @contextmanager
    def on_device(self) -> Iterator[Classifier]:
        """Within, the classifier computes where and as precisely as `measure` does."""
        self.classifier.to(self.trainer.strategy.root_device)
        with self.trainer.precision_plugin.forward_context():
            yield self.classifier


def open_run(request: DictConfig) -> OpenedRun:
    """The run that `request` names, with its split, checkpoint, root and eval_batch_size."""
    run = RunDirectory(str(request.run))
    config = OmegaConf.create(run.read_config())
    with understanding(run.config):
        change_places(config, request)
    classifier = load(run.path, request.checkpoint)
    with understanding(run.config):
        data = build.build_data(config)
        trainer = evaluating_trainer(config)
    data.prepare()
    refuse_other_data(run, data.fingerprint)
    return OpenedRun(run, classifier, data, trainer, request.split)


def change_places(config: DictConfig, request: DictConfig) -> None:
    """Take over where the data are, and how many images make a batch, if it is asked for."""
    if request.root is not None:
        config.dataset.root = request.root
        if "root" in config.dataset.source:
            config.dataset.source.root = request.root
    if request.eval_batch_size is not None:
        config.dataset.eval_batch_size = request.eval_batch_size


def evaluating_trainer(config: DictConfig) -> Trainer:
    """A trainer for all images in one process, wherever and on how many devices the run was
    trained.
    """
    config.trainer.update(
        limit_test_batches=1.0,
        accelerator="cpu" if config.trainer.accelerator == "cpu" else "auto",
        strategy="auto",
        devices=1,
        num_nodes=1,
    )
    return build.build_trainer(config, [], [])


def evaluate_run(request: DictConfig) -> dict[str, Any]:
    """Accuracy, loss and routing statistics of a run's weights; written to
    eval_SPLIT_CHECKPOINT.json in the run or in `out`.
    """
    opened = open_run(request)
    result = {
        "run": str(opened.directory.path),
        "split": request.split,
        "checkpoint": request.checkpoint,
        "data_fingerprint": opened.data.fingerprint,
        **opened.measure(),
    }
    console.print_values(f"{request.run}: {request.split}, {request.checkpoint} weights", result)
    folder = Path(str(request.out or request.run))
    folder.mkdir(parents=True, exist_ok=True)
    name = f"eval_{request.split}_{request.checkpoint}.json"
    write_atomically(folder / name, json_text(result))
    return result


def refuse_other_data(run: RunDirectory, fingerprint: str) -> None:
    """An accuracy on other images than the run's own must not pass for the run's."""
    content = run.read_environment()
    with understanding(run.environment):
        recorded = content["data"]["fingerprint"]
    if recorded != fingerprint:
        raise DataError(
            f"the data have fingerprint {fingerprint}, the run was trained with {recorded}",
            "the same images, labels and split",
            "set root=FOLDER to the data of the run",
        )
