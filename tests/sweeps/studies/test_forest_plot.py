"""The figure of a study: every row's accuracy, and beside it what the study relates it to."""

from __future__ import annotations

from typing import Any

from moe_lab.sweeps.studies.forest_plot import forest


def row(label: str, information: list[float], accuracies: list[float]) -> dict[str, Any]:
    return {
        "label": label, "published": None, "interval": None,
        "accuracies": {str(seed): value for seed, value in enumerate(accuracies)},
        "mean": sum(accuracies) / len(accuracies),
        "runs": [{"seed": seed, "mutual_information": value}
                 for seed, value in enumerate(information)],
    }  # fmt: skip


RELATION = {"first": "mutual_information", "second": "test_accuracy", "correlation": -0.5}
ROWS = [row("one", [1.0, 2.0], [90.0, 92.0]), row("other", [3.0], [80.0]), row("none", [], [70.0])]


def points(axes: Any) -> list[tuple[float, float]]:
    """The large dots, which are means, by row."""
    return [tuple(p) for dots in axes.collections if dots.get_sizes()[0] == 26
            for p in dots.get_offsets().tolist()]  # fmt: skip


def test_a_relation_shows_both_of_its_numbers_row_by_row() -> None:
    parts = [{"title": "P", "rows": ROWS, "relations": [RELATION]}]
    accuracy, information = forest({"title": "T", "parts": parts}).axes
    assert points(accuracy) == [(91.0, 0), (80.0, 1), (70.0, 2)]
    # The mean over its seeds, and nothing where no run of the row has the number.
    assert points(information) == [(1.5, 0), (3.0, 1)]
    assert accuracy.get_ylim() == information.get_ylim()
    assert information.get_xlabel() == "I(E;Y), bits"
    assert information.get_title(loc="left") == "rank correlation -0.50"


def test_a_study_without_relations_shows_its_accuracies_alone() -> None:
    parts = [{"title": "P", "rows": ROWS, "relations": []} for _ in range(2)]
    figure = forest({"title": "T", "parts": parts})
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "test accuracy, %"]
