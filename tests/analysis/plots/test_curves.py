"""Training curves and the use of experts over time."""

from __future__ import annotations

import numpy as np
import pytest

from moe_lab.analysis.plots.history import steps_and_values, training_curves, until_last_epoch
from moe_lab.analysis.plots.utilisation import utilisation
from tests.analysis.plots.made_up import history


def lines(axes: object) -> dict[str, list[list[float]]]:
    found = axes.get_lines()  # type: ignore[attr-defined]
    return {line.get_label(): [list(line.get_xdata()), list(line.get_ydata())] for line in found}


def test_curves_are_the_logged_values_of_training() -> None:
    loss, accuracy, terms = training_curves(history()).axes
    drawn = lines(loss)
    assert drawn["training, all terms"] == [[9, 19, 29], [2, 1, 0]]
    assert drawn["validation"][0] == [9, 19, 29]  # not the one of the best weights, at step 30
    assert drawn["validation"][1] == pytest.approx([1, 1 / 2, 1 / 3])
    assert lines(accuracy)["training"][1] == [0.6] * 3
    assert set(lines(terms)) == {"cross_entropy", "importance"}
    assert [panel.get_xlabel() for panel in (loss, accuracy, terms)] == ["optimizer step"] * 3
    assert loss.get_ylabel() == "loss (nats)"


def test_epochs_are_counted_above_the_steps() -> None:
    (scale,) = training_curves(history()).axes[0].child_axes
    assert scale.get_xlabel() == "epochs"
    forward, backward = scale._functions
    assert (forward(30), backward(3)) == (3, 30)


def test_of_a_step_that_was_logged_again_the_later_value_counts() -> None:
    rows = [
        {"step": 2, "a": 1.0},
        {"step": 1, "a": 5.0},
        {"step": 2, "a": 3.0},
        {"step": 3, "a": None},
    ]
    steps, values = steps_and_values(rows, "a")
    assert (steps.tolist(), values.tolist()) == ([1, 2], [5.0, 3.0])


def test_a_run_that_logged_no_epoch_keeps_what_it_has() -> None:
    rows = [{"step": 4, "train_loss": 2.0, "train_cross_entropy": 1.0}]
    assert until_last_epoch(rows) == rows
    figure = training_curves(rows)
    assert lines(figure.axes[2]) == {"cross_entropy": [[4], [1.0]]}
    figure.draw_without_rendering()


def test_utilisation_without_shares_draws_load_and_entropy() -> None:
    load, spread = utilisation(history(), 4).axes
    assert lines(load)["largest load of an expert"] == [[9, 19, 29], [0.4] * 3]
    assert 0.25 in [line.get_ydata()[0] for line in load.get_lines()]  # equal shares
    assert spread.get_ylabel() == "bits"
    assert 2.0 in [line.get_ydata()[0] for line in spread.get_lines()]  # log2 4


def test_logged_shares_are_stacked_in_the_order_of_the_experts() -> None:
    rows = history()
    shares = np.array([[0.7, 0.1], [0.2, 0.3], [0.1, 0.6]])
    for epoch in range(2):
        named = {f"val_deep_share_{expert}": shares[expert, epoch] for expert in (2, 0, 1)}
        rows[3 * epoch + 1] |= named
    bands = utilisation(rows, 3, prefix="val_deep_").axes[0].collections
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in bands]
    assert tops == pytest.approx([0.7, 0.9, 1.0])
