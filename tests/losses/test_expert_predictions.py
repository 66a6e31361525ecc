"""Terms on predictions: cross-entropy, competition, EM, similarity of experts, passes, steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moe_lab.losses import (
    Competition,
    CrossEntropy,
    Diversity,
    EveryPass,
    ExpectationMaximisation,
    LossPrediction,
    Orthogonality,
    Ponder,
    RoutingTerm,
)
from moe_lab.losses.expectation_maximisation import responsibilities
from moe_lab.outputs import AdaptiveOutput, IterativeOutput, MixtureOutput, Output, Routing
from tests.losses.samples import TARGET, mixture, name, random_mixture

ANSWER_TERMS = [
    Competition(),
    ExpectationMaximisation(),
    ExpectationMaximisation(hard=True),
    LossPrediction(),
    Diversity(),
    Orthogonality(),
]
SIX_LABELS = torch.tensor([0, 1, 2, 0, 1, 2])

# One image, label 0, router 3/4 and 1/4, experts that give the label 0.2 and 0.6.
PRIOR = torch.tensor([[0.75, 0.25]])
ANSWERS = torch.tensor([[[0.2, 0.8], [0.6, 0.4]]]).log()
LABEL = torch.tensor([0])


def test_cross_entropy_and_its_smoothing_by_hand() -> None:
    output = Output(torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log())
    target = torch.tensor([0, 1])
    plain = -(math.log(0.8) + math.log(0.4)) / 2
    assert float(CrossEntropy()(output, target)) == pytest.approx(plain)
    all_classes = -(math.log(0.8) + math.log(0.2) + math.log(0.6) + math.log(0.4)) / 4
    smoothed = float(CrossEntropy(label_smoothing=0.1)(output, target))
    assert smoothed == pytest.approx(0.9 * plain + 0.1 * all_classes)
    reference = torch.nn.functional.cross_entropy(output.log_probs, target, label_smoothing=0.1)
    assert smoothed == pytest.approx(float(reference))


def test_competition_is_minus_log_of_the_mean_probability_of_the_label() -> None:
    # 3/4 * 0.2 + 1/4 * 0.6 = 0.3
    value = Competition()(mixture(PRIOR, answers=ANSWERS), LABEL)
    assert value.item() == pytest.approx(-math.log(0.3))


def test_competition_is_cross_entropy_of_mixed_probabilities_but_not_of_mixed_logits() -> None:
    output = random_mixture()
    assert output.expert_log_probs is not None
    probs = output.routing.probs.unsqueeze(-1)
    mixed = Output((probs * output.expert_log_probs.exp()).sum(1).log())
    value = Competition()(output, SIX_LABELS).item()
    assert value == pytest.approx(CrossEntropy()(mixed, SIX_LABELS).item(), rel=1e-5)
    # `output` itself holds the softmax of mixed logits
    assert value != pytest.approx(CrossEntropy()(output, SIX_LABELS).item(), rel=1e-2)


def test_in_competition_an_expert_learns_in_proportion_to_its_responsibility() -> None:
    answers = ANSWERS.clone().requires_grad_()
    Competition()(mixture(PRIOR, answers=answers), LABEL).backward()
    # -r_e for the label: both have 0.15 of 0.3
    expected = torch.tensor([[[-0.5, 0.0], [-0.5, 0.0]]])
    torch.testing.assert_close(answers.grad, expected)


def test_em_by_hand() -> None:
    output = mixture(PRIOR, answers=ANSWERS)
    # responsibilities 1/2 and 1/2, joint probabilities 0.15 and 0.15
    assert float(ExpectationMaximisation()(output, LABEL)) == pytest.approx(-math.log(0.15))
    joint = torch.tensor([[0.3, 0.1], [0.05, 0.2]]).log()
    soft = torch.tensor([[0.75, 0.25], [0.2, 0.8]])
    torch.testing.assert_close(responsibilities(joint, hard=False), soft)
    assert responsibilities(joint, hard=True).tolist() == [[1, 0], [0, 1]]


def test_soft_em_has_the_gradient_of_competition_and_exceeds_it_by_an_entropy() -> None:
    output = random_mixture()
    assert output.expert_log_probs is not None
    leaves = (output.routing.logits, output.expert_log_probs)
    soft = ExpectationMaximisation()(output, SIX_LABELS)
    competition = Competition()(output, SIX_LABELS)
    grads = torch.autograd.grad(soft, leaves, retain_graph=True)
    torch.testing.assert_close(grads, torch.autograd.grad(competition, leaves, retain_graph=True))
    likelihood = output.expert_log_probs[torch.arange(6), :, SIX_LABELS]
    joint = output.routing.probs.log() + likelihood
    entropy = torch.distributions.Categorical(logits=joint).entropy().mean()
    assert soft.item() == pytest.approx((competition + entropy).item(), rel=1e-5)


def test_hard_em_trains_the_best_expert_alone() -> None:
    output = random_mixture()
    assert output.expert_log_probs is not None
    value = ExpectationMaximisation(hard=True)(output, SIX_LABELS)
    (grad,) = torch.autograd.grad(value, output.expert_log_probs)
    assert int((grad != 0).sum()) == 6
    assert float(grad.sum()) == pytest.approx(-1.0)


def test_loss_prediction_regresses_logits_on_likelihoods_that_stand_still() -> None:
    logits = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    answers = ANSWERS.clone().requires_grad_()
    value = LossPrediction()(mixture(PRIOR, logits=logits, answers=answers), LABEL)
    # log 0.2 = -1.609 and log 0.6 = -0.511
    assert value.item() == pytest.approx((0.609438 + 0.489174) / 2, rel=1e-5)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.5, -0.5]]
    assert answers.grad is None


def answers_of(*experts: list[list[float]]) -> MixtureOutput:
    """Experts' logits [B, C], stacked to [B, E, C]."""
    logits = torch.tensor(experts).transpose(0, 1)
    weights = torch.full(logits.shape[:2], 1 / logits.shape[1])
    return mixture(weights, answers=logits.log_softmax(-1))


def test_diversity_is_one_for_equal_and_zero_for_unlike_outputs() -> None:
    first, second = [[1.0, 0.0, -1.0]], [[1.0, -2.0, 1.0]]  # centred, orthogonal
    opposite = [[-1.0, 0.0, 1.0]]
    label = LABEL
    assert float(Diversity()(answers_of(first, first, first), label)) == pytest.approx(1.0)
    assert float(Diversity()(answers_of(first, second), label)) == pytest.approx(0.0, abs=1e-6)
    assert float(Diversity()(answers_of(first, opposite), label)) == 0.0
    # pairs: alike 1, orthogonal 0 and 0
    assert float(Diversity()(answers_of(first, first, second), label)) == pytest.approx(1 / 3)
    assert float(Diversity()(answers_of(first), label)) == 0.0


def test_orthogonality_compares_experts_over_the_whole_batch() -> None:
    first, second = [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]
    opposite = [-1.0, 0.0, 1.0]
    labels = torch.tensor([0, 0])
    term, other = Orthogonality(), Diversity()
    assert float(term(answers_of([first], [opposite]), LABEL)) == pytest.approx(1.0)
    assert float(term(answers_of([first], [second]), LABEL)) == pytest.approx(0.0, abs=1e-6)
    assert float(term(answers_of([first]), LABEL)) == 0.0
    # Alike on one image and opposite on the other: orthogonal as functions, alike half of the time.
    mixed = answers_of([first, first], [first, opposite])
    assert float(term(mixed, labels)) == pytest.approx(0.0, abs=1e-6)
    assert float(other(mixed, labels)) == pytest.approx(0.5)
    # Alike on one image, orthogonal on the other, all of squared norm 2: cosine 2 / 4.
    half = answers_of([first, [3**-0.5, -2 * 3**-0.5, 3**-0.5]], [first, first])
    assert float(term(half, labels)) == pytest.approx(0.25)


@pytest.mark.parametrize("term", [Diversity(), Orthogonality()], ids=name)
def test_experts_that_are_almost_alike_are_driven_apart(term: RoutingTerm) -> None:
    torch.manual_seed(0)
    logits = torch.randn(8, 1, 5).repeat(1, 3, 1) + 0.1 * torch.randn(8, 3, 5)
    target, weights = torch.zeros(8, dtype=torch.int64), torch.full((8, 3), 1 / 3)
    values = []
    for _ in range(20):
        logits.requires_grad_()
        value = term(mixture(weights, answers=logits.log_softmax(-1)), target)
        (grad,) = torch.autograd.grad(value, logits)
        logits = (logits - 2.0 * grad).detach()
        values.append(value.item())
    assert values[0] > 0.9
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize("term", ANSWER_TERMS, ids=name)
@pytest.mark.parametrize("extreme", [-500.0, -1e30, -math.inf])
def test_zero_probabilities_and_extreme_outputs_stay_finite(
    term: RoutingTerm, extreme: float
) -> None:
    logits = torch.tensor([[300.0, -300.0, 0.0]] * 4, requires_grad=True)
    answers = torch.tensor([[0.0, extreme]]).repeat(4, 3, 1).requires_grad_()
    probs = logits.softmax(-1)
    assert probs.min().item() == 0.0
    value = term(mixture(probs, logits=logits, answers=answers), TARGET)
    value.backward()
    assert value.isfinite()
    for leaf in (logits, answers):
        assert leaf.grad is None or leaf.grad.isfinite().all()


@pytest.mark.parametrize("term", ANSWER_TERMS, ids=name)
def test_half_precision_outputs_are_scored_in_float32(term: RoutingTerm) -> None:
    # Powers of two: exact in bfloat16, so that only the arithmetic can differ.
    probs = torch.tensor([[0.5, 0.25, 0.25]]).repeat(300, 1)
    answers = torch.tensor([[-0.5, -1.0], [-2.0, -0.125], [-0.25, -1.5]]).repeat(300, 1, 1)
    target = torch.arange(300) % 2
    exact = term(mixture(probs, logits=probs, answers=answers), target)
    half_probs = probs.bfloat16()
    half = term(mixture(half_probs, logits=half_probs, answers=answers.bfloat16()), target)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(exact), rel=1e-6)


def test_every_pass_is_the_mean_cross_entropy_of_all_passes() -> None:
    passes = torch.tensor([[[0.5, 0.5], [0.2, 0.8]], [[0.9, 0.1], [0.4, 0.6]]]).log()
    target = torch.tensor([0, 1])
    value = EveryPass()(IterativeOutput(passes[-1], passes), target)
    expected = -(math.log(0.5) + math.log(0.8) + math.log(0.9) + math.log(0.6)) / 4
    assert value.item() == pytest.approx(expected)
    single = EveryPass()(IterativeOutput(passes[0], passes[:1]), target)
    assert float(single) == pytest.approx(float(CrossEntropy()(Output(passes[0]), target)))


def adaptive(steps: Tensor) -> AdaptiveOutput:
    weights = torch.ones(len(steps), 1)
    routing = Routing(weights, weights, weights)
    return AdaptiveOutput(torch.zeros(len(steps), 1), routing, steps=steps)


def test_ponder_is_the_mean_number_of_steps() -> None:
    steps = torch.tensor([1.25, 3.5, 2.0, 1.25], requires_grad=True)
    value = Ponder()(adaptive(steps), TARGET)
    assert value.item() == pytest.approx(2.0)
    value.backward()
    torch.testing.assert_close(steps.grad, torch.full((4,), 0.25))
