"""The sentence of a comparison, and how often it claims a difference that is not there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t as scipy_t

from moe_lab.comparison.found_runs import Group
from moe_lab.comparison.measure import Measure, read_measure
from moe_lab.comparison.statistics import mcnemar
from moe_lab.comparison.verdict import Verdict, judge, show_p
from moe_lab.errors import ConfigError

MakeGroup = Callable[..., Group]
ACCURACY, LOSS = Measure("test_accuracy"), Measure("test_loss")
DENSE = [0.966, 0.968, 0.967, 0.969, 0.970]


def seeds(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def one(first: Group, second: Group, **options: object) -> Verdict:
    (verdict,) = judge([(first, second)], ACCURACY, **options)  # type: ignore[arg-type]
    return verdict


def test_a_clear_difference_names_winner_size_interval_seeds_and_p(group: MakeGroup) -> None:
    # differences 0.4, 0.3, 0.5, 0.4, 0.4 points: sd 0.0707, half width 2.7764 * 0.0707 / sqrt 5
    gained = [0.004, 0.003, 0.005, 0.004, 0.004]
    sparse = [value + gain for value, gain in zip(DENSE, gained, strict=True)]
    better = group("sparse", seeds(sparse), flops_per_image=1000)
    worse = group("dense", seeds(DENSE), flops_per_image=1040)
    sentence = (
        "sparse beats dense at equal active FLOPs by 0.40 points [0.31, 0.49] "
        "(5 paired seeds, p < 0.001)"
    )
    assert one(better, worse).sentence == sentence
    assert one(worse, better).sentence == sentence  # whichever is named first
    assert one(worse, better).winner is better
    assert one(worse, better).difference.mean == pytest.approx(-0.004)


def test_no_evidence_is_said_as_such_with_the_cost_ratio(group: MakeGroup) -> None:
    moved = [0.967, 0.967, 0.968, 0.968, 0.970]  # differences 0.1, -0.1, 0.1, -0.1, 0 points
    verdict = one(
        group("a", seeds(moved), flops_per_image=3000),
        group("b", seeds(DENSE), flops_per_image=1000),
    )
    assert verdict.winner is None
    assert verdict.sentence == (
        "no evidence of a difference between a and b (the first with 3 times the active FLOPs): "
        "0.00 points [-0.12, 0.12] (5 paired seeds, p = 1.00)"
    )


def test_any_number_with_a_better_direction_can_be_compared(group: MakeGroup) -> None:
    measure = read_measure("load_cv")  # of which less is better, and which has no unit
    low = group("even", {0: 0.1, 1: 0.2, 2: 0.15}, key="load_cv")
    high = group("uneven", {0: 0.9, 1: 1.02, 2: 0.93}, key="load_cv")
    (verdict,) = judge([(low, high)], measure)
    assert verdict.winner is low
    assert verdict.sentence.startswith("even beats uneven by 0.800 [")
    assert measure.heading == "load variation"
    assert Measure("val_loss").heading == "validation loss, nats"


@pytest.mark.parametrize("key", ["accuracy", "train_loss", "experts_per_image", "test_accurracy"])
def test_what_no_run_could_be_judged_by_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="says nothing that runs could be compared by"):
        read_measure(key)


@pytest.mark.parametrize(
    ("first", "second", "clause"),
    [
        (100, 105, "at equal active FLOPs"),
        (105, 100, "at equal active FLOPs"),
        (100, 106, "with 0.943 times the active FLOPs"),
        (250, 100, "with 2.5 times the active FLOPs"),
    ],
)
def test_costs_within_five_percent_are_equal_others_are_named(
    first: int, second: int, clause: str, group: MakeGroup
) -> None:
    better = [value + gain for value, gain in zip(DENSE, [0.01, 0.011] * 3, strict=False)]
    verdict = one(
        group("a", seeds(better), flops_per_image=first),
        group("b", seeds(DENSE), flops_per_image=second),
    )
    assert f"a beats b {clause} by" in verdict.sentence


def test_of_losses_the_lower_one_wins(group: MakeGroup) -> None:
    low = group("low", {0: 0.10, 1: 0.11, 2: 0.12}, key="test_loss")
    high = group("high", {0: 0.20, 1: 0.22, 2: 0.21}, key="test_loss")
    (verdict,) = judge([(high, low)], LOSS)
    assert verdict.winner is low
    assert verdict.sentence.startswith("low beats high by 0.1000 nats [")


def test_one_seed_each_gives_no_claim_but_mcnemar(group: MakeGroup) -> None:
    first, second = group("a", {0: 0.98}), group("b", {0: 0.5})
    verdict = one(first, second)
    assert verdict.winner is None
    assert verdict.sentence == (
        "one seed each: no interval, no test; a 98.00 against b 50.00 in test accuracy"
    )
    right = np.arange(100) < 98, np.arange(100) < 50
    with_answers = one(first, second, match_answers=lambda a, b: {(0, 0): mcnemar(*right)})
    assert with_answers.sentence.endswith(
        "; McNemar on the answers of seed 0: 48 images only a gets right, 0 only b, p < 0.001"
    )


def test_mcnemar_of_several_seeds_is_corrected_and_counted(group: MakeGroup) -> None:
    # 6 against 0 discordant images: p = 2 / 64; alone below 0.05, not after Holm over two
    lopsided = mcnemar([True] * 6, [False] * 6)
    clear = mcnemar([True] * 20, [False] * 20)
    pair = group("a", {0: 0.9, 1: 0.8}), group("b", {0: 0.8, 1: 0.9})
    both = one(*pair, match_answers=lambda a, b: {(0, 0): lopsided, (1, 0): lopsided})
    assert both.sentence.endswith("after Holm: 0 of 2 seeds differ")
    mixed = one(*pair, match_answers=lambda a, b: {(0, 0): clear, (1, 0): lopsided})
    assert mixed.sentence.endswith("after Holm: 2 of 2 seeds differ")


def test_unequal_seeds_are_tested_unpaired_over_all_runs(group: MakeGroup) -> None:
    few = group("few", {0: 0.90, 1: 0.94})
    many = group("many", {seed: 0.80 + seed / 100 for seed in range(8)})
    verdict = one(few, many)
    # Means 0.92 and 0.835, as in the table; variances of them 0.0008 / 2 and 0.0006 / 8. Welch's
    # t = 0.085 / sqrt(0.000475), degrees of freedom 0.000475^2 / (0.0004^2 / 1 + 0.000075^2 / 7).
    assert verdict.difference.mean == pytest.approx(0.085)
    degrees = 0.000475**2 / (0.0004**2 + 0.000075**2 / 7)
    expected = 2 * scipy_t.sf(0.085 / math.sqrt(0.000475), degrees)
    assert verdict.p_adjusted == pytest.approx(expected)
    assert verdict.difference.test == "Welch's t"
    assert f"(2 and 8 unpaired seeds, Welch's t test, p = {expected:.2f})" in verdict.sentence


def test_a_pair_that_shares_some_seeds_alone_is_unpaired(group: MakeGroup) -> None:
    first = group("a", {0: 0.9, 1: 0.8, 2: 0.1})
    second = group("b", {0: 0.8, 1: 0.6, 7: 0.5})
    assert not one(first, second).difference.paired
    assert one(first, second).difference.mean == pytest.approx(0.6 - 1.9 / 3)


def test_mcnemar_names_the_runs_without_a_partner(group: MakeGroup) -> None:
    clear = mcnemar([True] * 20, [False] * 20)
    pair = group("a", {0: 0.9, 1: 0.8, 2: 0.7}), group("b", {0: 0.8, 1: 0.9})
    both = one(*pair, match_answers=lambda a, b: {(0, 0): clear, (1, 0): clear})
    assert both.sentence.endswith(
        "2 of 2 seeds differ (1 run without a partner of the same seed left out)"
    )


def test_identical_runs_differ_by_nothing(group: MakeGroup) -> None:
    sentence = one(group("a", seeds(DENSE)), group("b", seeds(DENSE))).sentence
    assert sentence == (
        "no evidence of a difference between a and b: 0.00 points exactly "
        "(5 paired seeds, p = 1.00; the same result in every seed)"
    )


def test_five_equal_differences_are_no_evidence_because_only_sign_flips_can_tell(
    group: MakeGroup,
) -> None:
    verdict = one(group("a", seeds([v + 0.01 for v in DENSE])), group("b", seeds(DENSE)))
    assert verdict.winner is None
    assert "1.00 points exactly (5 paired seeds, p = 0.062" in verdict.sentence


def test_correction_can_take_a_claim_back(group: MakeGroup) -> None:
    better = [
        value + gain for value, gain in zip(DENSE, [1e-3, 4e-3, 1e-3, 5e-3, 2e-3], strict=True)
    ]
    pair = group("a", seeds(better)), group("b", seeds(DENSE))
    noise = group("c", seeds([0.97, 0.96, 0.97, 0.965, 0.97]))
    alone = judge([pair], ACCURACY)[0]
    assert alone.winner is pair[0]
    among = judge([pair, (pair[0], noise), (pair[1], noise)], ACCURACY)
    assert among[0].winner is None
    assert "after Holm over 3" in among[0].sentence


def null_groups(rng: np.random.Generator, count: int, make: MakeGroup) -> list[Group]:
    """Groups of five seeds that share everything but their noise; a good seed is good for all."""
    shared = rng.normal(0, 0.01, 5)
    values = 0.95 + shared + rng.normal(0, 0.002, (count, 5))
    return [make(str(place), seeds(list(row))) for place, row in enumerate(values)]


def test_under_the_null_a_difference_is_claimed_as_often_as_promised(group: MakeGroup) -> None:
    rng, repeats = np.random.default_rng(0), 2000
    claims = [one(*null_groups(rng, 2, group)).winner is not None for _ in range(repeats)]
    assert np.mean(claims) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / repeats))


@pytest.mark.slow
def test_under_the_null_holm_keeps_the_risk_of_any_claim_in_a_family(group: MakeGroup) -> None:
    rng, repeats = np.random.default_rng(1), 400
    any_claim, any_uncorrected = [], []
    for _ in range(repeats):
        pairs = list(itertools.combinations(null_groups(rng, 4, group), 2))
        verdicts = judge(pairs, ACCURACY)
        any_claim.append(any(verdict.winner for verdict in verdicts))
        any_uncorrected.append(any((v.difference.p_value or 0) < 0.05 for v in verdicts))
    assert np.mean(any_claim) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / repeats)
    assert np.mean(any_uncorrected) > 0.12


def test_p_values_show_on_which_side_of_the_line_they_are() -> None:
    shown = [show_p(p) for p in (0.0004, 0.0123, 0.0498, 0.0503, 0.0625, 0.5)]
    assert shown == [
        "p < 0.001", "p = 0.012", "p = 0.0498", "p = 0.0503", "p = 0.062", "p = 0.50",
    ]  # fmt: skip
