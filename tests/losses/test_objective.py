"""The Objective: what it weighs, how weights move or are learned, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from moe_lab.losses import (
    Capacity,
    Competition,
    CrossEntropy,
    Entropy,
    EveryPass,
    MutualInformation,
    Objective,
    Ponder,
    RouterZ,
    SampleSimilarity,
    SwitchBalance,
    Term,
)
from moe_lab.networks.progress import follow
from moe_lab.outputs import AdaptiveOutput, IterativeOutput, MixtureOutput, Output
from tests.losses.samples import TARGET, mixture, one_hot, random_mixture

COLLAPSED = mixture(one_hot([0, 0, 0, 0], 2))  # switch_balance 2, cross-entropy log 2


def entry(weight: float, term: Term | None = None, **schedule: Any) -> dict[str, Any]:
    return {"weight": weight, "schedule": schedule, "term": term or SwitchBalance()}


def test_objective_weighs_terms_and_reports_them_unweighted() -> None:
    terms = {
        "cross_entropy": {"weight": 1.0, "term": CrossEntropy()},
        "switch_balance": entry(0.5, end=None, curve="linear"),
        "router_z": entry(0.0, RouterZ(), end=0.0, curve="linear"),
        "competition": entry(0.0, Competition(), end=None, curve="linear"),
    }
    objective = Objective(terms)
    loss = objective(COLLAPSED, TARGET)
    assert set(loss.terms) == {"cross_entropy", "switch_balance"}
    assert float(loss.terms["switch_balance"]) == pytest.approx(2.0)
    assert loss.total.item() == pytest.approx(math.log(2) + 0.5 * 2.0)
    assert loss.weights == {}
    assert not objective.needs_every_expert
    assert list(objective.parameters()) == []


def test_every_expert_is_computed_only_for_terms_with_a_weight() -> None:
    terms = {"cross_entropy": entry(1.0, CrossEntropy()), "competition": entry(0.0, Competition())}
    assert not Objective(terms).needs_every_expert
    terms["competition"] = entry(0.0, Competition(), curve="linear", end=0.1)
    assert Objective(terms).needs_every_expert


SCHEDULES = [
    ("linear", 1.0, 0.5, (1.0, 0.75, 0.5)),
    ("linear", 0.0, 0.4, (0.0, 0.2, 0.4)),
    ("cosine", 1.0, 0.0, (1.0, 0.5, 0.0)),
    ("exponential", 1.0, 0.01, (1.0, 0.1, 0.01)),
    ("constant", 0.3, 0.3, (0.3, 0.3, 0.3)),
]


@pytest.mark.parametrize(("curve", "start", "end", "expected"), SCHEDULES)
def test_a_scheduled_weight_moves_from_start_to_end(
    curve: str, start: float, end: float, expected: tuple[float, ...]
) -> None:
    objective = Objective({"a": entry(start, curve=curve, end=end)})
    for fraction, weight in zip((0.0, 0.5, 1.0), expected, strict=True):
        follow(objective, fraction)
        loss = objective(COLLAPSED, TARGET)
        assert loss.total.item() == pytest.approx(2 * weight, abs=1e-6)
        if start != end:
            assert loss.weights["a"].item() == pytest.approx(weight, abs=1e-6)


def test_cosine_differs_from_linear_between_the_middle_and_the_ends() -> None:
    objective = Objective({"a": entry(1.0, curve="cosine", end=0.0)})
    follow(objective, 0.25)
    assert objective(COLLAPSED, TARGET).weights["a"].item() == pytest.approx(
        0.5 * (1 + math.cos(math.pi / 4))
    )


BAD_ENTRIES = {
    r"loss\.terms\.a\.weight must be at least 0, got -1": entry(-1),
    r"loss\.terms\.a\.schedule\.end must be at least 0 or null, got -2": entry(1, end=-2),
    r"curve must be one of constant, linear, cosine, exponential, got 'up'": entry(1, curve="up"),
    r"schedule\.end is 2, but curve=constant stays at 1": entry(1, curve="constant", end=2),
    r"exponential cannot reach or leave 0, got 1 to 0": entry(1, curve="exponential", end=0),
    r"every loss term has weight 0": entry(0, end=0),
}


@pytest.mark.parametrize("message", BAD_ENTRIES)
def test_objective_refuses_weights_that_cannot_be_meant(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective({"a": BAD_ENTRIES[message]})


def test_objective_refuses_unknown_weighting() -> None:
    with pytest.raises(ValueError, match="must be fixed or uncertainty, got 'auto'"):
        Objective({"a": entry(1)}, weighting="auto")  # type: ignore[arg-type]


def test_uncertainty_weighting_equals_its_formula() -> None:
    terms = {"cross_entropy": entry(1.0, CrossEntropy()), "switch_balance": entry(0.5)}
    objective = Objective(terms, weighting="uncertainty")
    assert objective.uncertainty is not None
    start = objective(COLLAPSED, TARGET)
    assert start.total.item() == pytest.approx(math.log(2) + 1.0)  # all s are 0
    learned = objective.uncertainty.log_variances
    learned["cross_entropy"].data.fill_(0.7)
    learned["switch_balance"].data.fill_(-0.3)
    loss = objective(COLLAPSED, TARGET)
    expected = math.exp(-0.7) * math.log(2) + 0.7 + math.exp(0.3) * 0.5 * 2.0 - 0.3
    assert loss.total.item() == pytest.approx(expected)
    assert loss.weights["switch_balance"].item() == pytest.approx(0.5 * math.exp(0.3))
    assert float(loss.terms["switch_balance"]) == pytest.approx(2.0)


def test_uncertainty_learns_the_logarithm_of_each_weighted_loss() -> None:
    terms = {"cross_entropy": entry(1.0, CrossEntropy()), "switch_balance": entry(0.05)}
    objective = Objective(terms, weighting="uncertainty")
    names = [name for name, _ in objective.named_parameters()]
    assert names == [
        "uncertainty.log_variances.cross_entropy",
        "uncertainty.log_variances.switch_balance",
    ]
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        objective(COLLAPSED, TARGET).total.backward()
        optimizer.step()
    learned = [parameter.item() for parameter in objective.parameters()]
    assert learned == pytest.approx([math.log(math.log(2)), math.log(0.1)], abs=1e-4)


@pytest.mark.parametrize(
    "term",
    [Entropy(), Entropy("maximise"), MutualInformation(), SampleSimilarity(), Capacity()],
)
def test_uncertainty_refuses_terms_that_can_reach_zero_by_name(term: Term) -> None:
    terms = {"cross_entropy": entry(1.0, CrossEntropy()), "mine": entry(0.1, term)}
    Objective(terms)
    with pytest.raises(ValueError, match=r"uncertainty cannot weigh loss\.terms\.mine.*zero"):
        Objective(terms, weighting="uncertainty")
    terms["mine"] = entry(0.0, term)
    Objective(terms, weighting="uncertainty")


def test_uncertainty_refuses_weights_that_pass_through_zero() -> None:
    terms = {"cross_entropy": entry(1.0, CrossEntropy()), "mine": entry(0.1, end=0)}
    with pytest.raises(ValueError, match=r"loss\.terms\.mine: its weight starts or ends at 0"):
        Objective(terms, weighting="uncertainty")


def test_learned_and_scheduled_weights_survive_a_checkpoint() -> None:
    terms = {"a": entry(1.0, curve="linear", end=0.5)}
    objective, copy = (Objective(terms, weighting="uncertainty") for _ in range(2))
    follow(objective, 0.5)
    next(objective.parameters()).data.fill_(0.4)
    copy.load_state_dict(objective.state_dict())
    total = copy(COLLAPSED, TARGET).total.item()
    assert total == pytest.approx(math.exp(-0.4) * 0.75 * 2.0 + 0.4)


def test_terms_run_in_float32_under_autocast() -> None:
    output = random_mixture()
    target = torch.zeros(6, dtype=torch.int64)
    objective = Objective({"a": entry(1.0, SampleSimilarity())})
    expected = objective(output, target).total
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(output, target).total
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


READS = [
    (RouterZ(), Output, "reads MixtureOutput, but m returns Output"),
    (Ponder(), MixtureOutput, "reads AdaptiveOutput, but m returns MixtureOutput"),
    (EveryPass(), MixtureOutput, "reads IterativeOutput, but m returns MixtureOutput"),
    (RouterZ(), IterativeOutput, "reads MixtureOutput, but m returns IterativeOutput"),
]


@pytest.mark.parametrize(("term", "output_type", "message"), READS)
def test_terms_that_read_another_output_are_refused(
    term: Term, output_type: type[Output], message: str
) -> None:
    objective = Objective({"mine": entry(1.0, term)})
    with pytest.raises(ValueError, match=rf"loss\.terms\.mine {message}"):
        objective.check_reads("m", output_type)


def test_terms_that_a_model_can_serve_pass() -> None:
    Objective({"a": entry(1, RouterZ()), "b": entry(1, Ponder())}).check_reads("m", AdaptiveOutput)
    Objective({"a": entry(1, SampleSimilarity())}).check_reads("m", MixtureOutput)
    unused = {"a": entry(1, CrossEntropy()), "b": entry(0, Ponder())}
    Objective(unused).check_reads("m", Output)


@pytest.mark.parametrize(
    ("term", "field"),
    [(SampleSimilarity(), "features"), (Competition(), "expert_log_probs"), (Ponder(), "steps")],
)
def test_terms_that_need_a_field_this_model_leaves_out_are_refused(term: Term, field: str) -> None:
    objective = Objective({"mine": entry(1.0, term)})
    with pytest.raises(ValueError, match=rf"terms\.mine needs {field}, which m does not give"):
        objective.check_reads("m", AdaptiveOutput, missing=("other", field))
