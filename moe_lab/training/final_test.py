"""What a run is judged by once its training is over."""

from __future__ import annotations

from typing import Any, Protocol

from lightning import Trainer

from moe_lab.data import ImageData
from moe_lab.training.classifier import Classifier
from moe_lab.training.run_directory import RunDirectory


class Examine(Protocol):
    """Measures the best weights, which the classifier holds; the result goes into summary.json."""

    def __call__(
        self, trainer: Trainer, classifier: Classifier, data: ImageData, directory: RunDirectory
    ) -> dict[str, Any]: ...


def validation_and_test(
    trainer: Trainer, classifier: Classifier, data: ImageData, directory: RunDirectory
) -> dict[str, Any]:
    """The one time that test images are read; what was seen of them in detail is tables.json."""
    validated = validation_only(trainer, classifier, data, directory)
    tested = trainer.test(classifier, datamodule=data, verbose=False)[0]
    tables = {**classifier.evaluation.tables(), "class_names": list(data.class_names)}
    directory.write_json(directory.tables, tables)
    routing = {
        name.removeprefix("test_"): value
        for name, value in tested.items()
        if name not in ("test_accuracy", "test_loss")
    }
    first = {name: tested[name] for name in ("test_accuracy", "test_loss")}
    return {**first, **validated, **routing}


def validation_only(
    trainer: Trainer, classifier: Classifier, data: ImageData, directory: RunDirectory
) -> dict[str, Any]:
    """For trials of a search, which must not know what the test images say."""
    validated = trainer.validate(classifier, datamodule=data, verbose=False)[0]
    return {name: validated[name] for name in ("val_accuracy", "val_loss")}
