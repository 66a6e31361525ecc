"""Confusion, calibration, passes, pictures."""

from __future__ import annotations

import numpy as np
import pytest
from torch import tensor
from torchmetrics.classification import MulticlassCalibrationError

from moe_lab.analysis.plots.confusion import confusion, reliability
from moe_lab.analysis.plots.passes import moved_most, pass_probabilities, passes, steps_taken
from moe_lab.analysis.plots.pictures import are_pictures, misclassified, top_images
from tests.analysis.plots.made_up import four_images, many_images

IMAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 1, 5, 6)
PASSES = np.log(
    np.array(
        [
            [[0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]],
            [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]],
        ],
        dtype=np.float32,
    )
)


def test_confusion_holds_the_share_of_each_true_class() -> None:
    axes = confusion(four_images()).axes[0]
    assert axes.images[0].get_array().tolist() == [[1, 0], [0.5, 0.5]]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["cat", "dog"]


def test_calibration_error_is_that_of_torchmetrics() -> None:
    records = many_images()
    reference = MulticlassCalibrationError(3, n_bins=15)
    expected = reference(tensor(np.exp(records.log_probs)), tensor(records.target))
    title = reliability(records).get_suptitle()
    assert float(title.split()[-1]) == pytest.approx(float(expected), abs=6e-4)


def test_bars_are_the_accuracy_of_their_bin() -> None:
    bars, count = reliability(four_images()).axes
    heights = [bar.get_height() for bar in bars.patches]
    # Confidences .9, .8, .7, .6 lie in the bins 13, 11 or 12, 10 and 8 or 9 of 15.
    assert heights[13] == 1
    assert heights[10] == 0
    assert sum(heights) == 3
    assert sum(bar.get_height() for bar in count.patches) == 4


def test_passes_show_accuracy_changes_and_modulation() -> None:
    norm = np.array([[0, 0, 0, 0], [1, 2, 3, 4]], dtype=np.float32)
    accuracy, changed, modulation = passes(
        four_images(pass_log_probs=PASSES, modulation_norm=norm)
    ).axes
    assert accuracy.get_lines()[0].get_ydata().tolist() == [0.5, 0.75]
    assert [bar.get_height() for bar in changed.patches] == [0.25]
    assert modulation.get_lines()[0].get_ydata().tolist() == [0, 2.5]
    assert len(passes(four_images(pass_log_probs=PASSES)).axes) == 2


def test_the_images_that_moved_most_come_first_with_their_probabilities() -> None:
    assert moved_most(np.exp(PASSES.astype(float))).tolist() == [1, 0, 2, 3]
    figure = pass_probabilities(four_images(pass_log_probs=PASSES), IMAGES)
    line = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert line["cat"].tolist() == pytest.approx([0.2, 0.8])
    assert figure.axes[0].get_title(loc="left") == "image 1: true cat, predicted cat"
    assert figure.axes[0].child_axes[0].images[0].get_array().tolist() == IMAGES[1, 0].tolist()


def test_steps_are_shown_as_shares_of_the_right_and_of_the_wrong() -> None:
    (axes,) = steps_taken(four_images(steps=np.array([1, 1, 3, 2], dtype=np.float32))).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["classified right, mean 1.33", "classified wrong, mean 3.00"]
    assert axes.patches[0].get_height() == pytest.approx(2 / 3)


def test_mistakes_name_both_classes_and_the_expert_with_its_weight() -> None:
    (axes,) = misclassified(four_images(), IMAGES).axes
    assert axes.get_title() == "dog → cat\nexpert 3 (1.50)"
    assert axes.images[0].get_array().tolist() == IMAGES[2, 0].tolist()


def test_the_surest_mistakes_come_first() -> None:
    records = many_images()
    images = np.zeros((120, 3, 8, 8), np.uint8)
    images[:, 0, 0, 0] = np.arange(120)
    figure = misclassified(records, images)
    drawn = [int(axes.images[0].get_array()[0, 0, 0]) for axes in figure.axes]
    sure = records.log_probs.max(1)
    assert not records.correct[drawn].any()
    assert (np.diff(sure[drawn]) <= 0).all()
    assert sure[drawn[0]] == sure[~records.correct].max()


def test_each_row_shows_the_images_of_largest_weight_and_an_idle_expert_none() -> None:
    figure = top_images(four_images().layers["router"], IMAGES)
    rows = np.array(figure.axes).reshape(4, 10)
    assert rows[1, 0].images[0].get_array().tolist() == IMAGES[1, 0].tolist()
    assert [panel.get_title() for panel in rows[1, :4]] == ["1.00", "0.50", "0.25", ""]
    assert len(rows[2, 0].images) == 0
    assert rows[2, 0].get_ylabel() == "expert 2\nunused"


def test_points_of_two_pixels_are_no_pictures() -> None:
    assert are_pictures(IMAGES)
    assert not are_pictures(np.zeros((3, 1, 1, 2), np.uint8))
