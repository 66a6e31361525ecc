"""What every model returns, and the one axis legend of the project.

Axis legend, used in every docstring, comment and einsum:

    B images   E experts   C classes   T passes   D features   H hidden
    N (expert, image) pairs, sorted by expert

Routers, experts, combine rules, losses, metrics and callbacks meet only here: nothing else is
shared between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """Which experts are selected for each image of one batch, and with which weight.

    One dense matrix represents every kind of routing. The pattern of non-zero `weights` *is* the
    dispatch plan, so an expert whose weight is exactly 0 is not computed.
    """

    logits: Tensor  # [B, E] float32, the gate's scores before noise
    probs: Tensor  # [B, E] rows sum to 1; losses differentiate through these
    # [B, E] what multiplies each expert's output; exactly 0 where an expert is not used
    weights: Tensor
    # [B, E] P(selected) under the router's own noise, where it has any. A field, and not computed
    # by the load loss, so that the loss stays a pure function of what the router returned.
    selection_probs: Tensor | None = None

    @property
    def num_experts(self) -> int:
        return self.weights.shape[-1]


@torch.no_grad()
def weight_shares(weights: Tensor) -> Tensor:
    """Each expert's share of an image's weight, [B, E] -> [B, E]; 0 where an image has no expert.

    The load of an expert, everywhere in the project, is the mean of its shares over the images. For
    one expert per image that is the share of images it gets, as every paper counts. With several it
    is how much the answers rest on the expert, where a count of images would not see that a router
    which asks everybody, or always the same second, listens to one expert alone.
    """
    weights = weights.float()
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-20)


@dataclass(frozen=True)
class Output:
    """What any model returns for a batch of images."""

    log_probs: Tensor  # [B, C] rows are proper log-probabilities

    @property
    def routings(self) -> Mapping[str, Routing]:
        """Every routing in the model by the name of its layer; none without experts."""
        return {}


@dataclass(frozen=True)
class MixtureOutput(Output):
    """The output of a mixture: its prediction, its routing and, where they were requested, the
    predictions of every single expert.
    """

    routing: Routing
    expert_log_probs: Tensor | None = None  # [B, E, C]
    features: Tensor | None = None  # [B, ...] what router and experts read

    @property
    def routings(self) -> Mapping[str, Routing]:
        return {"router": self.routing}


@dataclass(frozen=True)
class LayeredOutput(Output):
    """The output of a network with several mixtures in its body.

    Metrics and records count images, so `layers` has one row per image: where tokens are routed,
    the mean over its tokens, exactly 0 where none of them used the expert. `decisions` has one row
    per decision of a router, before any capacity limit: losses on routing read these, since a
    token that was dropped still tells the gate what it preferred.
    """

    layers: Mapping[str, Routing]  # [B, E] each
    decisions: Mapping[str, Routing]  # [B, E] or [B * tokens, E] each, an image's tokens together
    used: Mapping[str, Tensor] = field(default_factory=dict)  # [B, E] tokens an expert processed
    dropped: Mapping[str, Tensor] = field(default_factory=dict)  # [B, E] tokens beyond its capacity

    @property
    def routings(self) -> Mapping[str, Routing]:
        return self.layers


@dataclass(frozen=True)
class IterativeOutput(Output):
    """The output of a model that makes several passes; `log_probs` is that of the last one."""

    pass_log_probs: Tensor  # [T, B, C]; after an image has halted, its last prediction repeated
    modulation_norm: Tensor | None = None  # [T, B] root mean square of what the pass added
    steps: Tensor | None = None  # [B] passes that were computed
    predicted_error: Tensor | None = None  # [T - 1, B, C] forecasts of onehot(target) - probs


@dataclass(frozen=True)
class AdaptiveOutput(MixtureOutput):
    """The output of a model that decides for each image how many steps it takes.

    `routing` is that of all steps together: each step's weights times the weight of the step.
    """

    halting: Tensor | None = None  # [T, B] weight of each step in the prediction; sums to 1 over T
    steps: Tensor | None = None  # [B] steps taken plus remainder: what the ponder cost charges
