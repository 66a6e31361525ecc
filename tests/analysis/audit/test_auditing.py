"""The audit passes sound compositions and catches each fault that it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from moe_lab.analysis.audit import CHECKS, Subject, audit
from moe_lab.commands.audit import main
from moe_lab.dispatch import Plan
from moe_lab.experts import MLPExperts
from moe_lab.losses import CrossEntropy, Objective, SwitchBalance
from moe_lab.models import Mixture
from moe_lab.models.combine import CombineLogits
from moe_lab.networks.backbones import Flatten
from moe_lab.outputs import MixtureOutput, Routing
from moe_lab.routers import LinearGate, Router, TopKRouter

D, C, E = 16, 5, 4
IMAGES = (1, 4, 4)


def subject(change: Callable[[Mixture], None] | None = None) -> Subject:
    torch.manual_seed(0)
    router = TopKRouter(LinearGate(D, E), 2)
    experts = MLPExperts(E, D, 8, C)
    model = Mixture(Flatten(IMAGES, D), router, experts, CombineLogits(), E)
    if change is not None:
        change(model)
    terms = {
        "cross_entropy": {"weight": 1.0, "term": CrossEntropy()},
        "switch_balance": {"weight": 0.1, "term": SwitchBalance()},
    }
    images = torch.randn(64, *IMAGES)
    return Subject(model, Objective(terms), images, torch.randint(0, C, (64,)))


def failed(case: Subject) -> list[str]:
    return [verdict.name for verdict in audit(case) if verdict.passed is False]


def test_a_sound_mixture_passes_and_is_left_as_it_was() -> None:
    case = subject()
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    verdicts = audit(case)
    assert [verdict.passed for verdict in verdicts] == [True] * len(CHECKS)
    assert all(torch.equal(before[k], v) for k, v in case.model.state_dict().items())


class Wrapped(nn.Module):
    """A part of the mixture with one fault in it."""

    def __init__(
        self, inner: nn.Module, fault: Callable[[nn.Module, Tensor, Plan], Tensor]
    ) -> None:
        super().__init__()
        self.inner, self.fault = inner, fault
        self.num_experts, self.in_features = E, D

    def forward(self, features: Tensor, plan: Plan) -> Tensor:
        return self.fault(self.inner, features, plan)


class FaultyRouter(Router):
    """A top-k router whose routing is changed afterwards."""

    num_experts = E

    def __init__(self, inner: Router, fault: Callable[[Routing], Routing]) -> None:
        super().__init__()
        self.inner, self.fault = inner, fault
        self.row_sum = inner.row_sum

    def route(self, features: Tensor) -> Routing:
        return self.fault(self.inner(features))


def reroute(fault: Callable[[Routing], Routing]) -> Callable[[Mixture], None]:
    def change(model: Mixture) -> None:
        model.router = FaultyRouter(model.router, fault)

    return change


def rebank(fault: Callable[[nn.Module, Tensor, Plan], Tensor]) -> Callable[[Mixture], None]:
    def change(model: Mixture) -> None:
        model.experts = Wrapped(model.experts, fault)  # type: ignore[assignment]

    return change


def compute_everything(bank: nn.Module, features: Tensor, plan: Plan) -> Tensor:
    """What the public systems do: all experts, then a mask."""
    everyone = bank(features, Plan.every(len(features), E))
    chosen: Tensor = everyone[plan.expert * len(features) + plan.row]
    return chosen


def test_experts_that_are_computed_and_thrown_away_are_found() -> None:
    assert failed(subject(rebank(compute_everything))) == ["unused experts are not computed"]


def test_noise_in_evaluation_is_found() -> None:
    def noisy(bank: nn.Module, features: Tensor, plan: Plan) -> Tensor:
        answers: Tensor = bank(features, plan)
        return answers + torch.randn_like(answers)

    assert "noise is off in evaluation" in failed(subject(rebank(noisy)))


def test_an_answer_that_depends_on_batch_mates_is_found() -> None:
    def over_batch(bank: nn.Module, features: Tensor, plan: Plan) -> Tensor:
        answers: Tensor = bank(features - features.mean(0), plan)
        return answers

    assert failed(subject(rebank(over_batch))) == ["evaluation ignores batch mates"]


def test_an_expert_that_nothing_reaches_is_found() -> None:
    def never_the_first(routing: Routing) -> Routing:
        keep = torch.tensor([0.0, 1.0, 1.0, 1.0])
        weights = routing.weights * keep + 1e-3 * keep
        return Routing(routing.logits, routing.probs, weights / weights.sum(-1, keepdim=True))

    case = subject(reroute(never_the_first))
    assert failed(case) == ["every expert and the router learn"]


def test_a_gate_without_gradient_is_found() -> None:
    def cut(routing: Routing) -> Routing:
        return Routing(
            *(part.detach() for part in (routing.logits, routing.probs, routing.weights))
        )

    assert failed(subject(reroute(cut))) == ["every expert and the router learn"]


def test_weights_that_break_the_routers_promise_are_found() -> None:
    def doubled(routing: Routing) -> Routing:
        return Routing(routing.logits, routing.probs, 2 * routing.weights)

    assert failed(subject(reroute(doubled))) == ["weights sum to what the router promises"]


def test_not_a_number_is_found() -> None:
    def overflow(bank: nn.Module, features: Tensor, plan: Plan) -> Tensor:
        answers: Tensor = bank(features, plan) * torch.tensor(float("inf"))
        return answers

    assert "finite in float32 and bfloat16" in failed(subject(rebank(overflow)))


def test_a_model_that_is_handed_labels_is_found() -> None:
    class Leaky(Mixture):
        def forward(  # type: ignore[override]
            self, images: Tensor, *, every_expert: bool = False, labels: Tensor | None = None
        ) -> MixtureOutput:
            return super().forward(images, every_expert=every_expert)

    case = subject()
    model = case.model
    assert isinstance(model, Mixture)
    case.model = Leaky(model.backbone, model.router, model.experts, model.combine, E)
    assert failed(case) == ["labels cannot reach predictions"]


def test_the_command_passes_the_default_composition_and_refuses_a_senseless_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ["dataset=synthetic", "dataset.size=[1,8,8]", "expert.hidden=16", "num_images=64"]
    assert main(small) == 0
    assert capsys.readouterr().out.count("pass") == len(CHECKS)
    assert main([*small, "router.top_k=1", "router.normalize=true"]) == 2
    assert "never learns" in capsys.readouterr().err
    assert main(["dataset=image_folder"]) == 2
