"""The usage window: shares, idle times and steps by hand, and the rule of collapse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from moe_lab.training.health import Usage, UsageWindow, sign_of_collapse

TOP_1 = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, 0.0], [0.9, 0.0, 0.0], [1.0, 0.0, 0.0]])
ONLY_LAST = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.2]])


def usage(share: list[float], used: list[float] | None = None, steps: int = 10) -> Usage:
    idle = [steps if value == 0 else 0 for value in share]
    return Usage(steps, np.array(used or share), np.array(share), np.array(idle))


def test_shares_of_one_step_are_those_of_images() -> None:
    window = UsageWindow(5)
    window.add(TOP_1)
    seen = window.read(5)
    np.testing.assert_allclose(seen.share, [0.75, 0.25, 0])
    np.testing.assert_allclose(seen.used_share, [0.75, 0.25, 0])
    assert seen.idle.tolist() == [0, 0, 1]
    assert (seen.steps, seen.dead, seen.unused) == (1, [2], [2])


def test_steps_of_different_sizes_count_by_their_images() -> None:
    window = UsageWindow(5)
    window.add(TOP_1)
    window.add(ONLY_LAST)
    seen = window.read(5)
    np.testing.assert_allclose(seen.share, [3 / 6, 1 / 6, 2 / 6])
    assert seen.idle.tolist() == [1, 1, 0]
    assert seen.entropy == pytest.approx(stats.entropy([3, 1, 2], base=2))
    assert seen.max_entropy == pytest.approx(math.log2(3))


def test_two_experts_per_image_are_used_on_two_images_per_image() -> None:
    window = UsageWindow(5)
    window.add(torch.tensor([[0.75, 0.25, 0.0], [3.0, 0.0, 1.0]]))
    seen = window.read(1)
    np.testing.assert_allclose(seen.used_share, [1, 0.5, 0.5])
    np.testing.assert_allclose(seen.share, [0.75, 0.125, 0.125])


def test_a_read_sees_its_last_steps_only() -> None:
    window = UsageWindow(4)
    for weights in (TOP_1, TOP_1, ONLY_LAST):
        window.add(weights)
    np.testing.assert_allclose(window.read(1).share, [0, 0, 1])
    np.testing.assert_allclose(window.read(2).share, [3 / 6, 1 / 6, 2 / 6])
    assert window.read(100).steps == 3


def test_idle_time_outlasts_the_window() -> None:
    window = UsageWindow(4)
    window.add(TOP_1)
    for _ in range(50):
        window.add(ONLY_LAST)
        window.read(4)
    seen = window.read(4)
    assert seen.idle.tolist() == [50, 50, 0]
    assert seen.unused == [0, 1]
    window.add(TOP_1)
    assert window.read(4).idle.tolist() == [0, 0, 1]


@pytest.mark.parametrize("between", [1, 3, 16, 40])
def test_when_it_is_read_changes_no_number(between: int) -> None:
    torch.manual_seed(0)
    window, steps = UsageWindow(30), []
    for step in range(80):
        weights = torch.rand(7 if step % 9 else 4, 5).relu() * (torch.rand(5) < 0.3)
        steps.append(weights.double())
        window.add(weights)
        if step % between == 0:
            window.read(1)
    seen = window.read(30)
    last = torch.cat(steps[-30:])
    rows = last.sum(-1, keepdim=True)
    mass = torch.where(rows > 0, last / rows.clamp(min=1e-20), 0).sum(0)
    np.testing.assert_allclose(seen.share, mass / mass.sum(), rtol=1e-5)
    np.testing.assert_allclose(seen.used_share, (last != 0).double().mean(0), rtol=1e-6)
    idle = [
        next(i for i, weights in enumerate(reversed(steps)) if (weights[:, expert] != 0).any())
        for expert in range(5)
    ]
    assert seen.idle.tolist() == idle


def test_the_parts_of_two_processes_add_up() -> None:
    window = UsageWindow(3)
    window.add(TOP_1)
    other = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 4.0], [4.0, 4.0, 4.0]]).T[None]
    seen = window.read(3, over_ranks=lambda sums: sums + other)  # four more images for expert 2
    np.testing.assert_allclose(seen.share, [3 / 8, 1 / 8, 4 / 8])
    assert seen.idle.tolist() == [0, 0, 0]


@pytest.mark.parametrize("taken_in", [1, 16, 21, 40])
def test_a_window_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    taken_in: int, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    steps = [torch.rand(size, 3, generator=generator) for size in (4, 4, 2) * 20]
    for step in steps:
        step[step < 0.8] = 0  # most weights are 0, some rows wholly
    whole, before = UsageWindow(12), UsageWindow(12)
    for place, step in enumerate(steps[:taken_in]):
        whole.add(step)
        before.add(step)
        if place == 10:  # one read, so that there is something on the host too
            whole.read(5)
            before.read(5)
    torch.save(before.state_dict(), tmp_path / "state")
    after = UsageWindow(12)
    after.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for step in steps[taken_in:]:
        whole.add(step)
        after.add(step)
    for count in (12, 3):
        one, other = whole.read(count), after.read(count)
        np.testing.assert_array_equal(one.share, other.share)
        np.testing.assert_array_equal(one.used_share, other.used_share)
        np.testing.assert_array_equal(one.idle, other.idle)


def test_without_any_weight_no_expert_has_more_than_another() -> None:
    window = UsageWindow(3)
    window.add(torch.zeros(4, 2))
    seen = window.read(3)
    np.testing.assert_allclose(seen.share, [0.5, 0.5])
    assert seen.used_share.tolist() == [0, 0]
    assert sign_of_collapse(seen) is None


def test_reading_before_the_first_step_is_refused() -> None:
    with pytest.raises(ValueError, match="no step"):
        UsageWindow(3).read(1)


def test_a_nan_is_no_collapse_and_no_error() -> None:
    window = UsageWindow(3)
    window.add(torch.full((4, 2), math.nan))
    assert sign_of_collapse(window.read(3)) is None


@pytest.mark.parametrize(
    ("share", "sign"),
    [
        ([0.51, 0.29, 0.2], "expert 0 has 51% of the weight"),
        ([0.2, 0.49, 0.31], None),
        ([0.25] * 4, None),
        ([0.5, 0.5], None),
        ([0.26, 0.74], None),  # of two, half is the fair share: three quarters are too much
        ([0.24, 0.76], "expert 1 has 76% of the weight"),
        ([1.0], None),
        ([0.5, 0.5] + [0.0] * 6, "usage entropy is 1.00 of 3.00 bits"),
        ([0.35, 0.35, 0.3] + [0.0] * 5, None),  # 1.58 bits, just above half of 3
    ],
)
def test_the_rule_for_one_expert_an_image(share: list[float], sign: str | None) -> None:
    assert sign_of_collapse(usage(share)) == sign


@pytest.mark.parametrize("num_experts", [2, 3, 4, 8, 64])
@pytest.mark.parametrize("top_k", [1, 2, 3, 7, 64])
def test_balance_is_never_collapse(num_experts: int, top_k: int) -> None:
    load = min(1.0, top_k / num_experts)
    seen = usage([1 / num_experts] * num_experts, [load] * num_experts)
    assert sign_of_collapse(seen) is None


@pytest.mark.parametrize(("num_experts", "top_k"), [(4, 2), (8, 2), (8, 4), (16, 8), (64, 8)])
def test_the_same_experts_for_every_image_are_collapse(num_experts: int, top_k: int) -> None:
    share = [1 / top_k] * top_k + [0.0] * (num_experts - top_k)
    load = [1.0] * top_k + [0.0] * (num_experts - top_k)
    assert sign_of_collapse(usage(share, load)) is not None


def test_a_busy_generalist_among_top_2_is_no_collapse() -> None:
    load = [0.6, *[0.2] * 7]  # fair is 25 %, halfway to every image is 62.5 %
    assert sign_of_collapse(usage([0.3, *[0.1] * 7], load)) is None
    assert sign_of_collapse(usage([0.3, *[0.1] * 7], [0.65, *[1.35 / 7] * 7])) is not None
