"""Terms on how decided routing is: entropy, information, logits, sparsity, labels, similarity."""

from __future__ import annotations

import math

import pytest
import torch

from moe_lab.losses import (
    Entropy,
    LabelAssignment,
    MutualInformation,
    ReluSparsity,
    RouterZ,
    RoutingTerm,
    SampleSimilarity,
)
from moe_lab.losses.label_assignment import block_owner
from moe_lab.losses.sample_similarity import distances, pairwise_distance
from tests.losses.samples import TARGET, mixture, name, one_hot, random_mixture


def test_router_z_of_zero_logits_is_the_square_of_log_e() -> None:
    zeros = mixture(torch.full((4, 8), 0.125), logits=torch.zeros(4, 8))
    assert float(RouterZ()(zeros, TARGET)) == pytest.approx(math.log(8) ** 2)  # 4.324
    shifted = mixture(torch.full((4, 8), 0.125), logits=torch.full((4, 8), 5.0))
    assert float(RouterZ()(shifted, TARGET)) == pytest.approx((5 + math.log(8)) ** 2, rel=1e-6)


def test_entropy_is_one_for_undecided_and_zero_for_decided_images() -> None:
    for num_experts in (2, 8):
        undecided = mixture(torch.full((4, num_experts), 1 / num_experts))
        assert float(Entropy()(undecided, TARGET)) == pytest.approx(1.0)
    decided = mixture(torch.eye(4))
    assert float(Entropy()(decided, TARGET)) == pytest.approx(0.0)
    one_expert = mixture(torch.ones(4, 1))
    assert float(Entropy()(one_expert, TARGET)) == 0.0
    # H(1/2, 1/4, 1/4) = 1.5 bits, of log2 3; the other image is decided
    probs = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert float(Entropy()(mixture(probs), TARGET)) == pytest.approx(0.75 / math.log2(3))
    maximised = Entropy(direction="maximise")(mixture(probs), TARGET)
    assert float(maximised) == pytest.approx(-0.75 / math.log2(3))
    with pytest.raises(ValueError, match="minimise or maximise, got 'up'"):
        Entropy(direction="up")  # type: ignore[arg-type]


@pytest.mark.parametrize(("direction", "sign"), [("minimise", 1), ("maximise", -1)])
def test_entropy_sharpens_or_softens(direction: str, sign: int) -> None:
    logits = torch.tensor([[1.0, 0.0]], requires_grad=True)
    term = Entropy(direction=direction)  # type: ignore[arg-type]
    term(mixture(logits.softmax(-1)), TARGET[:1]).backward()
    assert logits.grad is not None
    assert sign * logits.grad[0, 0] < 0, "down the gradient the larger logit grows"


def test_mutual_information_is_minus_one_only_if_decided_and_balanced() -> None:
    cases = [
        (-1.0, torch.eye(4)),
        (0.0, one_hot([2] * 4, 4)),  # decided, collapsed
        (0.0, torch.full((4, 4), 0.25)),  # balanced, undecided
        (-0.5, one_hot([0, 0, 1, 1], 4)),  # one of two bits
    ]
    for expected, probs in cases:
        value = float(MutualInformation()(mixture(probs), TARGET))
        assert value == pytest.approx(expected, abs=1e-6)
    assert float(MutualInformation()(mixture(torch.ones(4, 1)), TARGET)) == 0.0


def test_mutual_information_of_a_worked_matrix() -> None:
    # H(3/4, 1/4) = 0.811278 bits, less the mean of 1 and 0 bits
    probs = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    value = float(MutualInformation()(mixture(probs), TARGET))
    assert value == pytest.approx(-(0.811278 - 0.5), abs=1e-5)


def test_relu_sparsity_sums_weights_and_makes_busy_experts_pay_more() -> None:
    weights = torch.tensor([[2.0, 0.0], [1.0, 0.5], [0.5, 0.0], [0.0, 0.0]])
    output = mixture(weights, torch.full((4, 2), 0.5))
    assert float(ReluSparsity(balanced=False)(output, TARGET)) == pytest.approx(4.0 / 4)
    # 3 and 1 of 4 pairs: factors 1.5 and 0.5; (1.5 * 3.5 + 0.5 * 0.5) / 4
    assert float(ReluSparsity()(output, TARGET)) == pytest.approx(5.5 / 4)
    equal = mixture(torch.rand(4, 3) + 0.1)
    plain = float(ReluSparsity(balanced=False)(equal, TARGET))
    assert float(ReluSparsity()(equal, TARGET)) == pytest.approx(plain)
    assert float(ReluSparsity()(mixture(torch.zeros(4, 2)), TARGET)) == 0.0


def test_classes_are_dealt_in_balanced_blocks() -> None:
    classes = torch.arange(10)
    assert block_owner(classes, 10, 10).tolist() == list(range(10))
    assert block_owner(classes, 10, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert block_owner(classes, 10, 3).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert block_owner(classes, 10, 1).tolist() == [0] * 10
    assert block_owner(torch.arange(2), 2, 8).tolist() == [0, 4]


def test_label_assignment_by_hand() -> None:
    probs = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25]])
    # owners of the labels 0, 1, 1, 0 have 1/2, 3/4, 1/2, 3/4
    cross_entropy = -(2 * math.log(0.5) + 2 * math.log(0.75)) / 4
    assert float(LabelAssignment()(mixture(probs), TARGET)) == pytest.approx(cross_entropy)
    # with two experts that sum to 1, each of the two says the same
    binary = LabelAssignment(form="binary")(mixture(probs), TARGET)
    assert float(binary) == pytest.approx(cross_entropy)
    crossed = LabelAssignment(owners=[1, 0], num_classes=2, num_experts=2)
    swapped = -(2 * math.log(0.5) + 2 * math.log(0.25)) / 4
    assert float(crossed(mixture(probs), TARGET)) == pytest.approx(swapped)


def test_binary_assignment_judges_each_probability_by_itself() -> None:
    probs = torch.tensor([[0.5, 0.25, 0.25]])
    value = LabelAssignment(form="binary", owners=[0, 0])(mixture(probs), TARGET[:1])
    expected = -(math.log(0.5) + 2 * math.log(0.75)) / 3
    assert value.item() == pytest.approx(expected)
    reference = torch.nn.functional.binary_cross_entropy(probs, one_hot([0], 3))
    assert value.item() == pytest.approx(float(reference))


@pytest.mark.parametrize("form", ["cross_entropy", "binary"])
def test_labels_change_the_loss_and_its_gradient_pulls_towards_the_owner(form: str) -> None:
    output = random_mixture(num_images=4, num_classes=2)
    term = LabelAssignment(form=form)  # type: ignore[arg-type]
    value, other = term(output, TARGET), term(output, 1 - TARGET)
    assert value.item() != pytest.approx(other.item())
    (grad,) = torch.autograd.grad(value, output.routing.logits)
    owners = block_owner(TARGET, 2, 4)  # 0, 2, 2, 0
    assert (grad[torch.arange(4), owners] < 0).all()


@pytest.mark.parametrize("form", ["cross_entropy", "binary"])
def test_label_assignment_is_finite_when_the_router_is_certain_and_wrong(form: str) -> None:
    logits = torch.tensor([[-200.0, 200.0]] * 4, requires_grad=True)
    term = LabelAssignment(form=form, owners=[0, 0])  # type: ignore[arg-type]
    value = term(mixture(logits.softmax(-1)), TARGET)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_label_assignment_refuses_owners_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="one expert for each of 3 classes, got 2"):
        LabelAssignment(owners=[0, 1], num_classes=3, num_experts=2)
    with pytest.raises(ValueError, match="one expert for each of 3 classes, got 1"):
        LabelAssignment(owners=4, num_classes=3)
    with pytest.raises(ValueError, match=r"owners must be experts 0\.\.1, got 2"):
        LabelAssignment(owners=[0, 2], num_classes=2, num_experts=2)
    with pytest.raises(ValueError, match="form must be cross_entropy or binary, got 'mse'"):
        LabelAssignment(form="mse")  # type: ignore[arg-type]


def test_distances_are_scaled_to_the_largest_of_the_batch() -> None:
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.5]], requires_grad=True)
    # 5, 2.5 and sqrt(9 + 2.25) = 3.354
    expected = torch.tensor([[0, 1, 0.5], [1, 0, 0.67082], [0.5, 0.67082, 0]])
    distance = pairwise_distance(features)
    torch.testing.assert_close(distance, expected)
    assert not distance.requires_grad
    assert pairwise_distance(torch.ones(3, 2)).sum() == 0


def test_sample_similarity_equals_the_double_sum_of_the_paper() -> None:
    output = random_mixture()
    probs, distance = output.routing.probs.tolist(), pairwise_distance(output.features).tolist()  # type: ignore[arg-type]
    num_images, num_experts = 6, 4
    same = different = 0.0
    for x in range(num_images):
        for y in range(num_images):
            for e in range(num_experts):
                for f in range(num_experts):
                    part = probs[x][e] * probs[y][f] * distance[x][y]
                    same += part if e == f else 0.0
                    different += part if e != f else 0.0
    same /= num_experts * num_images**2
    different /= (num_experts**2 - num_experts) * num_images**2
    value = SampleSimilarity(beta_same=2.0, beta_different=0.5)(output, torch.zeros(6).long())
    assert value.item() == pytest.approx(2.0 * same - 0.5 * different)


def test_sample_similarity_does_not_depend_on_how_often_a_batch_is_repeated() -> None:
    output = random_mixture()
    assert output.features is not None
    once = distances(output.routing.probs, output.features)
    twice = distances(output.routing.probs.repeat(2, 1), output.features.repeat(2, 1, 1, 1))
    torch.testing.assert_close(once, twice)


def test_sample_similarity_prefers_like_images_with_like_experts() -> None:
    features = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    target = torch.zeros(4, dtype=torch.int64)
    together = mixture(one_hot([0, 0, 1, 1], 2), features=features)
    mixed = mixture(one_hot([0, 1, 0, 1], 2), features=features)
    for term in (SampleSimilarity(1.0, 0.0), SampleSimilarity(0.0, 1.0), SampleSimilarity()):
        assert float(term(together, target)) < float(term(mixed, target))
    alone = mixture(torch.ones(4, 1), features=features)
    assert SampleSimilarity()(alone, target).isfinite()
    with pytest.raises(ValueError, match="beta_same must be at least 0, got -1"):
        SampleSimilarity(beta_same=-1)


@pytest.mark.parametrize("term", [Entropy(), MutualInformation(), RouterZ()], ids=name)
def test_gradients_are_finite_where_probabilities_are_exactly_zero(term: RoutingTerm) -> None:
    logits = torch.tensor([[400.0, 0.0, -400.0]] * 4, requires_grad=True)
    value = term(mixture(logits.softmax(-1), logits=logits), TARGET)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
