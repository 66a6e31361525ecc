"""Statistics against scipy and against numbers worked out by hand, and where they do not exist."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from moe_lab.comparison.statistics import (
    Difference,
    estimate,
    holm,
    mcnemar,
    paired_difference,
    sign_flip_p_value,
    t_interval,
    unpaired_difference,
    wilcoxon_p_value,
)

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(0.97, 0.002, (2, 7))


def test_paired_difference_equals_scipy() -> None:
    found = paired_difference(list(FIRST), list(SECOND))
    expected = stats.ttest_rel(FIRST, SECOND)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval is not None
    low, high = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.mean == pytest.approx((FIRST - SECOND).mean())
    assert found.sd == pytest.approx((FIRST - SECOND).std(ddof=1))
    assert found.wilcoxon_p_value == stats.wilcoxon(FIRST, SECOND).pvalue
    flipped = stats.permutation_test(
        (FIRST, SECOND), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert found.sign_flip_p_value == pytest.approx(flipped.pvalue)


def test_paired_difference_by_hand() -> None:
    # differences 1, 2, 3: mean 2, sd 1, t = 2 / (1 / sqrt 3); t at 0.975 with 2 degrees is 4.3027
    found = paired_difference([2, 4, 6], [1, 2, 3])
    assert (found.n, found.mean, found.sd) == (3, 2.0, 1.0)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3))
    assert found.interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3))
    assert found.p_value == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))


def test_unpaired_difference_equals_scipy() -> None:
    found = unpaired_difference(list(FIRST), list(SECOND[:4]))
    expected = stats.ttest_ind(FIRST, SECOND[:4], equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(expected.confidence_interval().low)
    assert not found.paired


def test_sign_flips_by_hand() -> None:
    # All differences of one sign: of 2^n sums only the two extreme ones are as far from 0.
    assert sign_flip_p_value([1, 2, 3]) == 2 / 8
    assert sign_flip_p_value([1.0] * 5) == 2 / 32
    # |+-1 +-1 +-2| is 4, 2, 2, 0, 0, 2, 2, 4: six are at least the observed 2.
    assert sign_flip_p_value([1, -1, 2]) == 6 / 8
    assert sign_flip_p_value([0.1 + 1e-8, -0.1, 0.2], tolerance=1e-6) == 6 / 8


@pytest.mark.slow
def test_many_sign_flips_are_sampled_near_the_exact_value() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, 18)
    exact = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    sampled = sign_flip_p_value(differences)
    assert sampled == pytest.approx(exact.pvalue, abs=4 * math.sqrt(exact.pvalue / 2**16))


def test_rounding_to_float32_does_not_break_ties_of_ranks() -> None:
    first = np.array([0.9712, 0.9731, 0.968], np.float32)
    second = np.array([0.9702, 0.9741, 0.966], np.float32)
    differences = (first - second).astype(np.float64)
    assert wilcoxon_p_value(differences) == stats.wilcoxon([0.001, -0.001, 0.002]).pvalue
    assert wilcoxon_p_value([0.0, 0.0]) == 1


def accuracies(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Of 1,000 test images, 98 % right on average."""
    return generator.binomial(1000, 0.98, shape) / 1000


def one_sided(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """With a long tail to the right: skewness 2 / sqrt(8) = 0.71."""
    return generator.gamma(8, 1, shape)


@pytest.mark.parametrize("num_seeds", [5, 12, 20])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [(lambda rng, shape: rng.normal(3, 2, shape), 3.0), (accuracies, 0.98), (one_sided, 8.0)],
    ids=["normal", "accuracies", "skewed"],
)
def test_intervals_hold_the_mean_as_often_as_they_say(
    draw: Callable[..., np.ndarray], mean: float, num_seeds: int
) -> None:
    samples = draw(np.random.default_rng(num_seeds), (2000, num_seeds))
    intervals = [estimate(list(sample)).interval for sample in samples]
    held = np.mean([interval is not None and mean in interval for interval in intervals])
    assert 0.93 <= held <= 0.97


@pytest.mark.parametrize("num_seeds", [5, 12])
def test_an_interval_is_students_whatever_the_number_of_seeds(num_seeds: int) -> None:
    values = np.random.default_rng(2).normal(size=num_seeds)
    found = t_interval(values)
    # the t distribution at 0.975 with 4 and with 11 degrees of freedom, from its table
    reach = {5: 2.776445, 12: 2.200985}[num_seeds] * values.std(ddof=1) / math.sqrt(num_seeds)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert estimate(list(values)).interval == found


def test_holm_by_hand() -> None:
    # sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 raised to the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, None, 0.9]) == pytest.approx([0.04, None, 0.9])
    assert holm([0.8, 0.9]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_mcnemar_by_hand() -> None:
    first = [True, False, False, False, False, False, True, True]
    second = [False, True, True, True, True, True, True, True]
    found = mcnemar(first, second)
    # 1 against 5 of 6: twice the chance of at most one head in six throws, 2 (1 + 6) / 64
    assert (found.only_first, found.only_second, found.num_images) == (1, 5, 8)
    assert found.p_value == pytest.approx(14 / 64)
    assert mcnemar(first, first).p_value == 1
    with pytest.raises(ValueError, match="same images"):
        mcnemar([True], [True, False])


@pytest.mark.parametrize(
    ("first", "second", "note", "p_value"),
    [
        ([0.9], [0.8], "one seed each: no interval, no test", None),
        ([0.9], [0.9], "one seed each, the same result", None),
        ([0.9, 0.8], [0.9, 0.8], "the same result in every seed", 1.0),
        ([0.0, 0.0], [0.0, 0.0], "the same result in every seed", 1.0),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], "the same difference in every seed", 0.25),
    ],
)
def test_what_cannot_be_computed_is_said_in_words(
    first: list[float], second: list[float], note: str, p_value: float | None
) -> None:
    one, other = ([float(np.float32(v)) for v in values] for values in (first, second))
    found = paired_difference(one, other)
    assert found.note.startswith(note)
    assert found.interval is None
    assert found.p_value == p_value
    assert_no_nan(found)


@pytest.mark.parametrize(("first", "second"), [([0.9], [0.8, 0.7]), ([0.9, 0.9], [0.8, 0.8, 0.8])])
def test_unpaired_values_without_spread_have_no_test(
    first: list[float], second: list[float]
) -> None:
    found = unpaired_difference(first, second)
    assert (found.interval, found.p_value) == (None, None)
    assert "no test" in found.note
    assert_no_nan(found)


def test_estimates_without_spread_have_no_interval() -> None:
    assert estimate([0.5]).note == "one seed: no interval"
    assert estimate([0.5, 0.5]).note == "equal in every seed: no interval"
    assert estimate([0.5, 0.5]).sd == 0
    assert estimate([1, 2, 3]).interval == t_interval([1, 2, 3])


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, 1.0]])
def test_values_that_are_no_results_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        estimate(values)


def test_pairs_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="equally many"):
        paired_difference([1, 2], [1])


def assert_no_nan(found: Difference) -> None:
    numbers = [v for v in dataclasses.asdict(found).values() if isinstance(v, float)]
    assert all(math.isfinite(number) for number in numbers)
