"""Statistics of the answers: by hand and against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from moe_lab.metrics.classification import ClassificationStatistics


def answers(
    images: int, num_classes: int, seed: int = 0
) -> tuple[ClassificationStatistics, torch.Tensor, torch.Tensor]:
    """A metric fed with random answers that lean to the truth, their log-probs, the labels."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, num_classes, (images,), generator=generator)
    logits = 2 * torch.randn(images, num_classes, generator=generator)
    logits[torch.arange(images), target] += 1.5
    metric = ClassificationStatistics(num_classes)
    metric.update(logits.log_softmax(-1), target)
    return metric, logits.log_softmax(-1), target


def test_every_value_of_a_worked_example() -> None:
    probs = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05], [0.2, 0.2, 0.6]])
    metric = ClassificationStatistics(3)
    metric.update(probs.log(), torch.tensor([0, 1, 1, 2]))
    found = metric.compute()
    assert metric.tables()["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found["accuracy"] == 0.75
    assert found["loss"] == pytest.approx(-np.log([0.8, 0.6, 0.05, 0.6]).mean())
    assert found["precision"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found["recall"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # bins of 1/15: 0.8 and 0.9 alone, both 0.6 together; gaps 0.2, 0.9 and 2 x 0.4 over 4 images
    assert found["calibration_error"] == pytest.approx((0.2 + 0.9 + 0.8) / 4)
    assert "top_5_accuracy" not in found


@pytest.mark.parametrize("num_classes", [2, 10, 40])
def test_values_equal_scikit_learn(num_classes: int) -> None:
    metric, log_probs, target = answers(500, num_classes)
    found, true, answered = metric.compute(), target.numpy(), log_probs.argmax(-1).numpy()
    labels = range(num_classes)
    expected = confusion_matrix(true, answered, labels=labels)
    assert np.array_equal(metric.tables()["confusion"], expected)
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, answered, average="macro", zero_division=0
    )
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(f1)
    assert found["accuracy"] == pytest.approx((true == answered).mean())
    probs = log_probs.double().softmax(-1).numpy()
    assert found["loss"] == pytest.approx(log_loss(true, probs, labels=labels), rel=1e-5)
    if num_classes > 5:
        top = top_k_accuracy_score(true, probs, k=5, labels=labels)
        assert found["top_5_accuracy"] == pytest.approx(top)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_calibration_error_equals_torchmetrics(num_classes: int) -> None:
    metric, log_probs, target = answers(3000, num_classes)
    expected = multiclass_calibration_error(log_probs.exp(), target, num_classes, n_bins=15)
    assert metric.compute()["calibration_error"] == pytest.approx(float(expected), rel=1e-4)


def test_complete_certainty_is_binned_with_the_nearly_certain() -> None:
    metric = ClassificationStatistics(2)
    metric.update(torch.tensor([[1.0, 0.0], [0.98, 0.02]]).log(), torch.tensor([0, 1]))
    table = metric.tables()["calibration"]
    assert table["images"] == [0.0] * 14 + [2.0]
    assert table["accuracy"][-1] == 0.5
    assert metric.compute()["calibration_error"] == pytest.approx(0.99 - 0.5)


def test_classes_that_never_occur_do_not_count_in_the_means() -> None:
    metric = ClassificationStatistics(4)
    metric.update(torch.eye(4)[[0, 1]].clamp(min=1e-6).log(), torch.tensor([0, 0]))
    found = metric.compute()
    # class 0: precision 1, recall 1/2; class 1: answered once, never true; 2 and 3: nothing
    assert (found["precision"], found["recall"]) == (0.5, 0.25)
    assert found["f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_one_image_and_one_class_are_enough() -> None:
    metric = ClassificationStatistics(1)
    metric.update(torch.zeros(1, 1), torch.tensor([0]))
    found = metric.compute()
    assert found == {
        "accuracy": 1.0, "loss": 0.0, "precision": 1.0, "recall": 1.0, "f1": 1.0,
        "calibration_error": 0.0,
    }  # fmt: skip
