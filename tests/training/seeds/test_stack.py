"""One step of several seeds: clipping, weight decay, sparse plans, and what the probe finds."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from moe_lab.dispatch import Plan, all_pairs
from moe_lab.losses import CrossEntropy, Objective
from moe_lab.models import Model
from moe_lab.outputs import Output
from moe_lab.training.classifier import Classifier
from moe_lab.training.schedules import Exponential, WarmupCosine
from moe_lab.training.seeds.probe import probe
from moe_lab.training.seeds.refusals import CannotBatch
from moe_lab.training.seeds.speed import measure
from moe_lab.training.seeds.stack import SeedBatch

SGD = partial(torch.optim.SGD, lr=1.0)


class Linear(Model):
    """Two pixels, three classes."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.factor = factor

    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        logits = self.linear(images.flatten(1)) * self.factor
        return Output(logits.log_softmax(-1))


class DrawsInEvaluation(Linear):
    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        output = super().forward(images)
        return output if self.training else Output(output.log_probs + torch.rand(()))


class OneNorm(torch.optim.Optimizer):
    """Divides every tensor by its norm, and so mixes the seeds that it holds."""

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * parameter.grad / parameter.grad.norm()


def classifiers(
    make: Callable[[], Model] = Linear, count: int = 3, optimizer: Any = SGD
) -> list[Classifier]:
    """One a seed, from weights of its own."""
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        terms = {"cross_entropy": {"weight": 1.0, "term": CrossEntropy()}}
        found.append(
            Classifier(make(), Objective(terms), 3, [0.0], [1.0], optimizer, Exponential(0.5), 1, 4)
        )
    return found


def batches(count: int = 3, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, size, 1, 1, 2, generator=generator)
    return images, torch.randint(0, 3, (count, size), generator=generator)


def test_the_gradient_of_a_seed_is_clipped_by_its_own_norm() -> None:
    images, target = batches()
    images[1] *= 100  # one seed with a large gradient leaves the others alone
    before = [list(c.model.parameters()) for c in classifiers()]
    batch = SeedBatch(classifiers())
    batch.train(images, target, clip=5.0)
    for seed, (weight, bias) in enumerate(before):
        logits = images[seed].flatten(1) @ weight.t() + bias
        nn.functional.cross_entropy(logits, target[seed]).backward()
        norm = nn.utils.clip_grad_norm_([weight, bias], 5.0)
        assert (norm > 5) == (seed == 1)
        assert weight.grad is not None
        assert bias.grad is not None
        moved = weight.detach() - weight.grad
        torch.testing.assert_close(batch.parameters["model.linear.weight"][seed], moved)
        torch.testing.assert_close(
            batch.parameters["model.linear.bias"][seed], bias.detach() - bias.grad
        )


def test_stacked_biases_are_still_without_weight_decay() -> None:
    batch = SeedBatch(classifiers(optimizer=partial(torch.optim.AdamW, weight_decay=0.3)))
    decayed, free = batch.optimizer.param_groups
    assert [list(p.shape) for p in decayed["params"]] == [[3, 3, 2]]
    assert [list(p.shape) for p in free["params"]] == [[3, 3]]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)


def test_the_learning_rate_follows_the_schedule() -> None:
    batch = SeedBatch(classifiers())
    rates = []
    for _ in range(3):
        rates.append(batch.optimizer.param_groups[0]["lr"])
        batch.train(*batches())
    assert rates == [1.0, 0.5, 0.25]


def test_classifiers_see_their_weights_move() -> None:
    three = classifiers()
    batch = SeedBatch(three)
    batch.train(*batches())
    for seed, classifier in enumerate(three):
        torch.testing.assert_close(
            classifier.get_parameter("model.linear.weight"),
            batch.parameters["model.linear.weight"][seed],
        )


def test_a_plan_of_all_pairs_gives_the_same_sum_and_gradient() -> None:
    values = torch.tensor([[1.0], [2.0], [10.0], [20.0]])  # of expert 0, then of expert 1
    weights = torch.tensor([[0.5, 0.0], [0.25, 0.75]], requires_grad=True)

    def mixed(weights: Tensor) -> Tensor:
        plan = Plan.from_weights(weights)
        return plan.mix(values[plan.expert * 2 + plan.row]).squeeze(1)

    sparse = mixed(weights)
    with all_pairs():
        full = vmap(mixed)(weights.unsqueeze(0)).squeeze(0)
    assert sparse.tolist() == full.tolist() == [0.5, 15.5]
    assert Plan.from_weights(weights).counts == (2, 1)
    (of_sparse,) = torch.autograd.grad(sparse.sum(), weights)
    (of_full,) = torch.autograd.grad(full.sum(), weights)
    # The one place where they differ is behind a weight that is 0 whatever the router computes.
    assert of_sparse.tolist() == [[1.0, 0.0], [2.0, 20.0]]
    assert of_full.tolist() == [[1.0, 10.0], [2.0, 20.0]]


def test_the_probe_takes_what_is_equal_and_leaves_it_untouched() -> None:
    three = classifiers(optimizer=partial(torch.optim.Adam, fused=True))
    for classifier in three:
        classifier.schedule = WarmupCosine(warmup=1.0)  # starts with a quarter of the rate
    before = [c.get_parameter("model.linear.weight").clone() for c in three]
    state = torch.get_rng_state()
    probe(three, *batches())
    assert torch.equal(torch.get_rng_state(), state)
    for classifier, weight in zip(three, before, strict=True):
        assert torch.equal(classifier.get_parameter("model.linear.weight"), weight)
        assert classifier.get_parameter("model.linear.weight").grad is None


def test_the_probe_finds_an_optimizer_that_mixes_seeds() -> None:
    with pytest.raises(CannotBatch, match="OneNorm does not treat each number by itself"):
        probe(classifiers(optimizer=OneNorm), *batches())


def test_the_probe_finds_seeds_that_differ_in_more_than_weights() -> None:
    numbers = random.Random(0)
    with pytest.raises(CannotBatch, match="comes out differently"):
        probe(classifiers(lambda: Linear(numbers.random())), *batches())


def test_the_probe_finds_draws_in_evaluation() -> None:
    with pytest.raises(CannotBatch, match="random numbers when it is evaluated"):
        probe(classifiers(DrawsInEvaluation), *batches())


def test_both_ways_are_timed_without_touching_the_weights() -> None:
    three = classifiers()
    before = three[0].get_parameter("model.linear.weight").clone()
    speed = measure(three, *batches())
    assert 0 < speed.together < 1
    assert 0 < speed.alone < 1
    assert torch.equal(three[0].get_parameter("model.linear.weight"), before)
