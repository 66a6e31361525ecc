"""Changed routings in a model: two ways that agree, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moe_lab.analysis.changes import knock_out, nothing
from moe_lab.analysis.probes import as_json, probe, probe_router
from moe_lab.analysis.rerouting import KeptAnswers, Rerun, changed, reroute, routers_of
from moe_lab.experts import MLPExperts
from moe_lab.models import AdaptiveDepth, Mixture, Model, Single
from moe_lab.models.combine import CombineConcat, CombineLogits
from moe_lab.networks.backbones import Flatten
from moe_lab.outputs import Output, Routing
from moe_lab.routers import (
    AttentionRouter,
    EntropyRouter,
    ExpertChoiceRouter,
    HashRouter,
    LinearGate,
    ReLURouter,
    SoftmaxRouter,
    TopKRouter,
    TreeRouter,
)
from tests.analysis.known import IMAGES, TARGET, C, E, batches, constant_mixture


def small_mixture(router: Any, combine: nn.Module | None = None) -> Mixture:
    experts = MLPExperts(4, 16, 8, 5)
    return Mixture(Flatten((1, 4, 4), 16), router, experts, combine or CombineLogits(), 4).eval()


ROUTERS: dict[str, Callable[[], nn.Module]] = {
    "top-1": lambda: TopKRouter(LinearGate(16, 4), 1),
    "softmax": lambda: SoftmaxRouter(LinearGate(16, 4)),
    "relu": lambda: ReLURouter(LinearGate(16, 4)),
    "expert choice": lambda: ExpertChoiceRouter(LinearGate(16, 4)),
    "hash": lambda: HashRouter(16, 4, 1),
    "tree": lambda: TreeRouter(16, [2, 2], 1),
    "entropy": lambda: EntropyRouter(4, "top_1"),
    "attention": lambda: AttentionRouter(LinearGate(16, 8), 8, 5, 4, top_k=2),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_kept_answers_tell_the_same_as_running_again_with_every_router(name: str) -> None:
    torch.manual_seed(1)
    model = small_mixture(ROUTERS[name](), CombineConcat(4, 5))
    with torch.no_grad():  # or most gates start undecided
        for parameter in model.router.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    images, target = torch.randn(90, 1, 4, 4), torch.randint(0, 5, (90,))
    split = [(images[:50], target[:50]), (images[50:], target[50:])]
    before = model(images).log_probs
    kept = KeptAnswers(model, split)
    again = Rerun(model, model.router, split)
    fast, slow = (as_json(probe_router(way, target.numpy(), 5)) for way in (kept, again))
    assert fast == slow
    assert fast["drop_top"]["changed_predictions"] > 0
    assert torch.equal(model(images).log_probs, before)
    assert not model.router._forward_hooks
    assert not model.experts._forward_hooks


def test_routing_is_restored_when_a_change_fails() -> None:
    model = constant_mixture([0, 1, 2])
    with pytest.raises(ZeroDivisionError), changed(model.router, lambda r, c, s: 1 / 0, []):
        model(IMAGES)
    assert not model.router._forward_hooks
    with changed(model.router, knock_out(0), []):
        assert model(IMAGES).log_probs.argmax(-1).tolist() == [1, 1, 2, 1, 1, 2]
    assert model(IMAGES).log_probs.argmax(-1).tolist() == [0, 0, 0, 1, 1, 2]


def test_changed_weights_are_all_that_the_model_sees_of_a_change() -> None:
    model = constant_mixture([0, 1, 2])
    plain = model(IMAGES).routing
    with changed(model.router, knock_out(0), []):
        routing: Routing = model(IMAGES).routing
    assert torch.equal(routing.probs, plain.probs)
    assert torch.equal(routing.logits, plain.logits)
    assert not routing.weights[:, 0].any()


def adaptive(max_steps: int) -> AdaptiveDepth:
    torch.manual_seed(2)
    model = AdaptiveDepth(
        Flatten((1, 4, 4), 16), TopKRouter(LinearGate(16, 4), 1), MLPExperts(4, 16, 8, 5),
        CombineLogits(), 4, 5, max_steps,
    )  # fmt: skip
    nn.init.normal_(model.halt.weight)
    nn.init.normal_(model.mixture.router.gate.linear.weight)
    return model.eval()


def test_a_model_that_thinks_one_step_is_its_mixture_and_one_that_thinks_on_is_rerouted() -> None:
    images, target = torch.randn(80, 1, 4, 4), torch.randint(0, 5, (80,))
    split = [(images[:30], target[:30]), (images[30:], target[30:])]
    once = adaptive(1)
    alone = as_json(probe(once.mixture, split, 5)["router"])
    assert as_json(probe(once, split, 5)["mixture.router"]) == alone
    longer = adaptive(4)
    calls = [len(r.weights) for r in Rerun(longer, longer.mixture.router, split).routings()]
    assert calls[0] == 80
    assert calls == sorted(calls, reverse=True)
    assert len(calls) > 1
    whole = as_json(probe(longer, [(images, target)], 5)["mixture.router"])
    assert as_json(probe(longer, split, 5)["mixture.router"]) == whole


class Two(Model):
    """Two mixtures whose predictions are averaged."""

    def __init__(self, one: Mixture, other: Mixture) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, images: Tensor, *, every_expert: bool = False) -> Output:
        return Output((self.one(images).log_probs + 0.1 * self.other(images).log_probs) / 1.1)


def test_each_router_of_a_model_is_probed_alone() -> None:
    model = Two(constant_mixture([0, 1, 2]), constant_mixture([0, 0, 0]))
    found = probe(model.eval(), batches(3), C)
    assert list(found) == ["one.router", "other.router"]
    assert found["one.router"].drop_top.changed_predictions == 6
    assert found["other.router"].drop_top.changed_predictions == 0


def test_a_model_without_routers_has_no_probes() -> None:
    single = Single(Flatten((1, 1, E), E), MLPExperts(1, E, 4, C))
    assert routers_of(single) == {}
    assert probe(single, batches(), C) == {}


def test_too_many_answers_to_keep_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = constant_mixture([0, 1, 2])
    assert isinstance(reroute(model, model.router, batches()), KeptAnswers)
    monkeypatch.setattr("moe_lab.analysis.rerouting.MOST_ANSWERS", 6 * E * C - 1)
    again = reroute(model, model.router, batches())
    assert isinstance(again, Rerun)
    assert again.predict(nothing).tolist() == TARGET.tolist()
