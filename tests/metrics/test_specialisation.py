"""The null of I(E;Y) and the specialisation score: references, known values, calibration."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from moe_lab.metrics.information import mutual_information, plug_in_information
from moe_lab.metrics.specialisation import class_entropy, specialisation, specialisation_tables


def table_of(experts: NDArray[np.int64], labels: NDArray[np.int64], *shape: int) -> NDArray:
    table = np.zeros(shape, dtype=np.int64)
    np.add.at(table, (experts, labels), 1)
    return table


def independent(rng: np.random.Generator, images: int, *shape: int) -> NDArray[np.int64]:
    """Images by expert and class where neither knows of the other, with unequal margins."""
    experts, classes = (rng.dirichlet(np.full(size, 3.0)) for size in shape)
    return table_of(
        rng.choice(shape[0], images, p=experts), rng.choice(shape[1], images, p=classes), *shape
    )


def test_plug_in_information_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    experts, labels = rng.integers(0, 5, 300), rng.integers(0, 7, 300)
    expected = mutual_info_score(experts, labels) / np.log(2)
    assert plug_in_information(table_of(experts, labels, 5, 7)) == pytest.approx(expected)


def test_perfect_specialisation_is_the_entropy_of_the_labels_less_the_bias() -> None:
    found = mutual_information(np.diag([100] * 4))
    assert found["mutual_information"] + found["mutual_information_null"] == pytest.approx(2.0)
    assert found["mutual_information_p_value"] == pytest.approx(1 / 1000)


def test_the_null_of_500_images_and_8_experts_is_the_known_bias() -> None:
    rng = np.random.default_rng(0)
    table = table_of(rng.integers(0, 8, 500), rng.integers(0, 10, 500), 8, 10)
    # (E - 1)(C - 1) / (2 N ln 2) = 0.0909 bits to first order
    assert mutual_information(table)["mutual_information_null"] == pytest.approx(0.0909, rel=0.06)


def test_without_dependence_the_p_value_is_uniform_and_the_values_centre_on_zero() -> None:
    rng = np.random.default_rng(1)
    found = [specialisation(independent(rng, 200, 4, 5)) for _ in range(300)]
    p_values = [values["mutual_information_p_value"] for values in found]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    for name in ("mutual_information", "specialisation"):
        seen = np.array([values[name] for values in found])
        assert abs(seen.mean()) < 3 * seen.std() / np.sqrt(len(seen))
    raw = [v["mutual_information"] + v["mutual_information_null"] for v in found]
    assert np.mean(raw) > 0.03  # what would be reported without the correction


def test_the_score_equals_the_adjusted_mutual_information_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 6, 400)
    for noise in (0.0, 0.3, 0.8, 1.0):
        experts = np.where(rng.random(400) < noise, rng.integers(0, 4, 400), labels % 4)
        expected = adjusted_mutual_info_score(labels, experts)
        score = specialisation(table_of(experts, labels, 4, 6))["specialisation"]
        assert score == pytest.approx(expected, abs=2e-3)


def test_the_score_is_one_for_an_expert_a_class_and_zero_after_collapse() -> None:
    assert specialisation(np.diag([30, 40, 50]))["specialisation"] == pytest.approx(1.0)
    collapsed = np.zeros((3, 3), dtype=np.int64)
    collapsed[1] = 40
    assert specialisation(collapsed)["specialisation"] == 0.0
    nearly = collapsed.copy()
    nearly[1, 0], nearly[0, 0] = 39, 1  # one image of 120 goes its own way
    assert specialisation(nearly)["specialisation"] < 0.05


@pytest.mark.parametrize(
    "table", [np.full((1, 5), 7), np.full((5, 1), 7), np.zeros((3, 4), dtype=np.int64)]
)
def test_one_expert_one_class_or_no_image_say_nothing(table: NDArray[np.int64]) -> None:
    assert specialisation(table) == {
        "mutual_information": 0.0, "mutual_information_null": 0.0,
        "mutual_information_p_value": 1.0, "specialisation": 0.0,
    }  # fmt: skip


def test_where_every_image_has_its_own_expert_and_class_nothing_is_special() -> None:
    found = specialisation(np.eye(6, dtype=np.int64))
    assert found["mutual_information"] == pytest.approx(0.0)
    assert found["mutual_information_p_value"] == 1.0
    assert found["specialisation"] == 0.0


def test_guidance_is_the_share_on_the_diagonal_where_experts_are_classes() -> None:
    assert specialisation(np.array([[3, 1], [2, 4]]))["guidance_diagonal"] == 0.7
    assert "guidance_diagonal" not in specialisation(np.array([[3, 1, 0], [2, 4, 0]]))


def test_shares_and_accuracies_of_a_worked_table() -> None:
    first = np.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]])
    tables = specialisation_tables(first, np.array([[3, 0, 0], [0, 1, 0], [0, 0, 0]]))
    nan = np.nan
    for name, expected in (
        ("class_share", [[0.75, 0.25, 0], [0.25, 0.75, 0], [nan] * 3]),
        ("expert_share", [[0.75, 0.25, nan], [0.25, 0.75, nan], [0, 0, nan]]),
        ("accuracy_by_class", [[1, 0, nan], [0, 1 / 3, nan], [nan] * 3]),
    ):
        np.testing.assert_allclose(tables[name], expected)


def test_class_entropy_is_that_of_the_mean_weights_of_a_class() -> None:
    found = class_entropy(np.array([[4.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(found, [0.0, 1.0, np.nan])


def test_large_tables_draw_fewer_permutations() -> None:
    table = independent(np.random.default_rng(0), 5000, 20, 10)  # 200 cells: 500 draws
    p_value = mutual_information(table)["mutual_information_p_value"]
    assert p_value * 501 == pytest.approx(round(p_value * 501))
