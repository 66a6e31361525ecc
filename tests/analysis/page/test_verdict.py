"""The verdict claims what its numbers carry, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from moe_lab.analysis.page.verdict import verdict, wilson_interval
from tests.analysis.page.samples import CONFUSION, DENSE, LAYER, ROUTING


def routed(**changes: Any) -> dict[str, Any]:
    return {**DENSE, **ROUTING, **changes}


@pytest.mark.parametrize(("right", "images"), [(0, 10), (7, 10), (10, 10), (9191, 10_000)])
def test_the_interval_is_wilsons(right: int, images: int) -> None:
    z, p = stats.norm.ppf(0.975), right / images
    middle = (p + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * (p * (1 - p) / images + z**2 / (4 * images**2)) ** 0.5
    found = wilson_interval(p, images)
    assert found == pytest.approx((middle - half, middle + half), abs=1e-9)


def test_a_dense_run_is_judged_by_its_answers_alone() -> None:
    assert verdict(DENSE, {"confusion": CONFUSION}) == (
        "It is right on 85.0 % of 100 test images (95 % interval 76.7 to 90.7 %). "
        "It has no router to judge."
    )


def test_no_interval_is_claimed_where_the_number_of_images_is_not_known() -> None:
    assert verdict(DENSE, {}).startswith("It is right on 85.0 % of the test images. ")
    assert "of 1,000 test images (95 % interval 82.7 to 87.1 %)" in verdict(DENSE, {}, 1000)


def test_naming_the_commonest_class_is_not_passed_off_as_learning() -> None:
    confusion = [[55, 0], [45, 0]]  # everything is called the first class
    said = verdict({**DENSE, "test_accuracy": 0.55}, {"confusion": confusion})
    assert "no better than always naming the commonest class (55.0 %)" in said
    assert "no better" not in verdict(DENSE, {"confusion": CONFUSION})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "loads its experts evenly and none is dead: the busiest of 4 has 30.0 % of the load, "
             "where 25.0 % is fair."),
        ({"load_cv": 0.31}, "loads its experts unevenly: "),
        ({"dead_experts": 2.0}, "leaves 2 of 4 experts dead: "),
        ({"usage_entropy": 0.99}, "has collapsed onto few experts: "),
        ({"experts_per_image": 4.0},
         "sends every image to all 4 experts: the busiest of 4 has 30.0 % of the load, "
         "where 25.0 % is fair."),
        ({"experts_per_image": 4.0, "dead_experts": 1.0}, "leaves 1 of 4 experts dead: "),
        ({"max_load_share": 0.51, "max_load_ratio": 2.04, "dead_experts": 1.0},
         "has collapsed onto few experts: the busiest of 4 has 51.0 % of the load, where 25.0 % "
         "is fair, it leaves 1 of 4 experts dead, and usage entropy is 1.90 of 2.00 bits."),
        ({"max_load_share": 1.0, "max_load_ratio": 1.0, "usage_entropy": 0.0},
         "has one expert, so nothing to choose."),
        ({"max_load_ratio": None}, "gives its busiest expert 30.0 % of the load."),
    ],
)  # fmt: skip
def test_the_router_is_called_what_it_is(changes: dict[str, Any], said: str) -> None:
    assert f"Its router {said}" in verdict(routed(**changes), {})


def test_one_expert_used_on_most_images_is_a_collapse_whatever_its_weight() -> None:
    # Two experts an image: fair is 50 % of the images, halfway to all of them 75 %.
    layer = {**LAYER, "load": [0.3, 0.3, 0.2, 0.2], "used_share": [0.76, 0.74, 0.25, 0.25]}
    assert "collapsed" in verdict(routed(), {"layers": {"router": layer}})
    layer["used_share"] = [0.74, 0.74, 0.26, 0.26]
    assert "collapsed" not in verdict(routed(), {"layers": {"router": layer}})


def test_specialisation_is_only_claimed_beyond_chance() -> None:
    assert "differ by class: an image's first expert tells 0.50 bits" in verdict(routed(), {})
    chance = verdict(routed(mutual_information=0.002, mutual_information_p_value=0.3), {})
    assert "do not divide the classes" in chance
    assert "no more than a random router would show (p = 0.300)" in chance
    edge = verdict(routed(mutual_information_p_value=0.05), {})
    assert "beyond chance" in edge
    slight = verdict(routed(mutual_information=0.01, specialisation=0.01), {})
    assert "hardly differ by class, if more than by chance" in slight


def test_every_layer_is_judged_by_its_own_numbers() -> None:
    first = {f"early_{key}": value for key, value in ROUTING.items()}
    second = {f"late_{key}": value for key, value in (ROUTING | {"dead_experts": 1.0}).items()}
    said = verdict({**DENSE, **first, **second}, {})
    assert "Router early loads its experts evenly" in said
    assert "Router late leaves 1 of 4 experts dead" in said
    assert "In late, the experts differ by class" in said


def test_an_unfinished_run_is_not_given_a_result() -> None:
    stopped = {"status": "interrupted", "epochs": 1, "val_accuracy": 0.5, "val_load_cv": 0.1}
    assert verdict(stopped, {}) == (
        "The run was stopped after 1 epoch, so the test images were not read. "
        "Its last validation gave 50.0 %."
    )
    pruned = {"status": "pruned", "epochs": 2, "val_accuracy": 0.25}
    assert verdict(pruned, {}) == (
        "The run was stopped after 2 epochs, as worse than other trials at the same step, so the "
        "test images were not read. Its last validation gave 25.0 %."
    )
    assert verdict({"status": "done", "val_accuracy": 0.75}, {}) == (
        "It is right on 75.0 % of the validation images; a trial of a search does not read the "
        "test images."
    )
    assert verdict({"status": "failed", "error": "no space"}, {}) == "The run failed: no space"
    assert verdict({}, {}).startswith("The run has left no result")


def test_passes_are_compared_from_first_to_last() -> None:
    passes = {"pass_1_accuracy": 0.7, "pass_2_accuracy": 0.9, "pass_3_accuracy": 0.85}
    said = verdict({**DENSE, **passes}, {})
    assert "From the first to the last of 3 passes, accuracy goes from 70.0 to 85.0 %." in said
    assert "passes" not in verdict({**DENSE, "pass_1_accuracy": 0.7}, {})
