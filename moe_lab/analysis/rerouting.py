"""What a trained model predicts when the weights of one of its routers are changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from moe_lab.analysis.changes import WeightChange, nothing
from moe_lab.data.resident import Batch, domain_of
from moe_lab.dispatch import Plan
from moe_lab.models import Mixture, Model
from moe_lab.outputs import Routing
from moe_lab.routers import ExpertOutputRouter, Router

Batches = Iterable[Batch]  # that can be gone through again and again
MOST_ANSWERS = 2**28  # numbers that are kept at most: a gibibyte of float32


def routers_of(model: nn.Module) -> dict[str, Router | ExpertOutputRouter]:
    """Every router by its place in the model, without routers inside of routers."""
    found: dict[str, Router | ExpertOutputRouter] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, Router | ExpertOutputRouter) and not inside:
            found[name] = module
    return found


class Rerouted(Protocol):
    """Gives the routing of a split as it is, and the predictions under any change of it."""

    def routings(self) -> list[Routing]:
        """One for each call of the router, with the images that reached it."""

    def predict(self, change: WeightChange) -> Tensor:
        """The predicted class of each image, [B]."""


def reroute(model: Model, router: Router | ExpertOutputRouter, batches: Batches) -> Rerouted:
    """The quicker way that fits: a mixture's expert outputs are kept, any other model is run again.

    `batches` must give the same images each time.
    """
    if type(model) is not Mixture:
        return Rerun(model, router, batches)
    num_images = sum(len(target) for _, target, *_ in batches)
    numbers = num_images * model.experts.num_experts * model.experts.out_features
    return Rerun(model, router, batches) if numbers > MOST_ANSWERS else KeptAnswers(model, batches)


class KeptAnswers:
    """Every expert's output for every image, so that a change costs none but the combine rule."""

    def __init__(self, mixture: Mixture, batches: Batches) -> None:
        self.mixture = mixture
        outputs: list[Tensor] = []  # [B, E, D] of each batch
        routings: list[Routing] = []

        def keep(bank: nn.Module, args: object, output: Tensor) -> None:
            shape = (mixture.experts.num_experts, -1, output.shape[-1])
            outputs.append(output.view(shape).transpose(0, 1))

        handle = mixture.experts.register_forward_hook(keep)
        try:
            with evaluating(mixture):
                for batch in batches:
                    output = mixture.with_domain(batch[0], domain_of(batch), every_expert=True)
                    routings.append(output.routing)
        finally:
            handle.remove()
        self.outputs, self.routing = torch.cat(outputs), joined(routings)

    def routings(self) -> list[Routing]:
        return [self.routing]

    def predict(self, change: WeightChange) -> Tensor:
        with evaluating(self.mixture):
            plan = Plan.from_weights(change(self.routing, 0, 0))
            log_probs: Tensor = self.mixture.combine(self.outputs[plan.row, plan.expert], plan)
        return log_probs.argmax(-1)


class Rerun:
    """Any model that asks a router, run on the whole split for each change."""

    def __init__(self, model: Model, router: Router | ExpertOutputRouter, batches: Batches) -> None:
        self.model, self.router, self.batches = model, router, batches

    def routings(self) -> list[Routing]:
        calls: list[list[Routing]] = []

        def write_down(routing: Routing, call: int, start: int) -> Tensor:
            if call == len(calls):
                calls.append([])
            calls[call].append(routing)
            return nothing(routing, call, start)

        self.predict(write_down)
        return [joined(parts) for parts in calls]

    def predict(self, change: WeightChange) -> Tensor:
        seen: list[int] = []  # images that reached each call
        predicted = []
        with evaluating(self.model):
            for batch in self.batches:
                with changed(self.router, change, seen):
                    output = self.model.with_domain(batch[0], domain_of(batch))
                    predicted.append(output.log_probs.argmax(-1))
        return torch.cat(predicted)


@contextmanager
def changed(router: nn.Module, change: WeightChange, seen: list[int]) -> Iterator[None]:
    """Within, what the router hands over on one batch has the changed weights; `seen` counts the
    images of each call.

    A hook on the router's output: the router and its weights stay untouched, and the model finds
    the same kind of router in the same place.
    """
    call = 0

    def hook(module: nn.Module, args: object, routing: Routing) -> Routing:
        nonlocal call
        if call == len(seen):
            seen.append(0)
        weights = change(routing, call, seen[call])
        seen[call] += len(weights)
        call += 1
        return replace(routing, weights=weights)

    handle = router.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def joined(parts: Sequence[Routing]) -> Routing:
    """The routing of several batches as one."""
    return Routing(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.probs for part in parts]),
        torch.cat([part.weights for part in parts]),
    )
