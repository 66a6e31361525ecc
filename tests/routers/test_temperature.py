"""Temperatures: values along the curves, positive whatever is learned, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from moe_lab.networks.progress import follow
from moe_lab.routers import (
    FixedTemperature,
    GumbelRouter,
    LearnableTemperature,
    ScheduledTemperature,
    SoftmaxRouter,
    TopKRouter,
)
from tests.routers.fixed import ScoresGate, logs


@pytest.mark.parametrize(
    ("curve", "values"),
    [
        ("linear", [2.0, 1.625, 1.25, 0.5]),
        # (1 + cos(pi / 4)) / 2 = 0.853553 of the way is left after a quarter
        ("cosine", [2.0, 0.5 + 1.5 * 0.853553, 1.25, 0.5]),
        # a quarter of two halvings: 2 / 2 ** 0.5
        ("exponential", [2.0, 2 / 2**0.5, 1.0, 0.5]),
    ],
)
def test_schedules_pass_through_start_quarter_half_and_end(curve: str, values: list[float]) -> None:
    temperature = ScheduledTemperature(curve, start=2.0, end=0.5)
    for fraction, value in zip((0.0, 0.25, 0.5, 1.0), values, strict=True):
        follow(temperature, fraction)
        assert temperature().item() == pytest.approx(value, rel=1e-5)


def test_a_schedule_inside_a_router_follows_and_is_saved_where_it_stands() -> None:
    router = SoftmaxRouter(ScoresGate(2), ScheduledTemperature("linear", 2.0, 0.5))
    features = logs([9.0, 4.0])
    torch.testing.assert_close(router(features).weights, torch.tensor([[0.6, 0.4]]))  # T = 2: roots
    follow(router, 1.0)
    copy = SoftmaxRouter(ScoresGate(2), ScheduledTemperature("linear", 2.0, 0.5))
    copy.load_state_dict(router.state_dict())
    expected = torch.tensor([[81.0, 16.0]]) / 97  # T = 0.5: squares
    torch.testing.assert_close(copy(features).weights, expected)


def test_a_learned_temperature_starts_at_its_value_and_stays_positive() -> None:
    temperature = LearnableTemperature(0.5)
    assert temperature().item() == pytest.approx(0.5)
    temperature.log_excess.data.fill_(-1e4)
    assert temperature().item() == pytest.approx(0.01)
    assert temperature().item() > 0


def test_a_learned_temperature_falls_when_sharper_weights_are_better() -> None:
    router = SoftmaxRouter(ScoresGate(2), LearnableTemperature(1.0))
    loss = -router(logs([3.0, 1.0])).weights[0, 0]
    loss.backward()
    assert isinstance(router.temperature, LearnableTemperature)
    grad = router.temperature.log_excess.grad
    # d(-p)/dT = p (1 - p) (s_0 - s_1) / T^2 = 0.1875 ln 3, dT / d log_excess = 0.99
    torch.testing.assert_close(grad, torch.tensor(0.1875 * 1.098612 * 0.99))


def test_a_number_is_a_fixed_temperature_and_is_not_stored() -> None:
    router = TopKRouter(ScoresGate(3), temperature=2.0)
    assert isinstance(router.temperature, FixedTemperature)
    assert list(router.state_dict()) == ["gate.offset"]
    # roots of 16, 9, 4 are 4, 3, 2, and the two largest share 7
    torch.testing.assert_close(
        router(logs([16.0, 9.0, 4.0])).weights, torch.tensor([[4.0, 3.0, 0.0]]) / 7
    )


def test_temperature_changes_the_gradient_of_a_draw_but_not_the_draw() -> None:
    features = torch.randn(50, 4)
    routings = []
    for value in (0.5, 5.0):
        torch.manual_seed(0)
        routings.append(GumbelRouter(ScoresGate(4), temperature=value).train()(features))
    assert torch.equal(routings[0].weights, routings[1].weights)


def test_settings_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        FixedTemperature(0)
    with pytest.raises(ValueError, match=r"temperature must be above 0.01, got 0.01"):
        LearnableTemperature(0.01)
    with pytest.raises(ValueError, match=r"temperature.end must be above 0, got -1"):
        ScheduledTemperature("linear", 1.0, -1)
    with pytest.raises(ValueError, match=r"linear, cosine, exponential, got 'step'"):
        ScheduledTemperature("step")
