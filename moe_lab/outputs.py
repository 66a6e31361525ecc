"""What every model returns, and the one axis legend of the project.

Axis legend, used in every docstring, comment and einsum:

    B images   E experts   C classes   T passes   D features   H hidden   N (expert, image) pairs,
    sorted by expert

Routers, experts, combine rules, losses, metrics and callbacks meet only here: nothing else is
shared between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """Who is asked: the answer of a router for one batch.

    One dense matrix stands for every kind of routing. The pattern of non-zero `weights` *is* the
    dispatch plan, so an expert whose weight is exactly 0 is not computed.
    """

    logits: Tensor  # [B, E] float32, the gate's clean scores before noise
    probs: Tensor  # [B, E] rows sum to 1; losses differentiate through these
    weights: Tensor  # [B, E] what multiplies each answer; exactly 0 where an expert is not used
    selection_probs: Tensor | None = (
        None  # [B, E] P(picked) under the router's own noise, where it has any
    )

    @property
    def num_experts(self) -> int:
        return self.weights.shape[-1]


@dataclass(frozen=True)
class Output:
    """What any model says about a batch of images."""

    log_probs: Tensor  # [B, C] rows are proper log-probabilities

    @property
    def routings(self) -> Mapping[str, Routing]:
        """Every routing in the model by the name of its layer; none without experts."""
        return {}


@dataclass(frozen=True)
class MixtureOutput(Output):
    """The output of a mixture: the answer, who gave it, and every expert's own answer when
    somebody asked for it.
    """

    routing: Routing
    expert_log_probs: Tensor | None = None  # [B, E, C]
    features: Tensor | None = None  # [B, ...] what router and experts saw

    @property
    def routings(self) -> Mapping[str, Routing]:
        return {"router": self.routing}


@dataclass(frozen=True)
class LayeredOutput(Output):
    """The output of a network with several mixtures in its body.

    Metrics and records count images, so `layers` has a row an image: where tokens are routed, the
    mean over its tokens, exactly 0 where none of them used the expert. `decisions` has a row for
    each decision of a router, before any capacity, which is what losses on routing read.
    """

    layers: Mapping[str, Routing]  # [B, E] each
    decisions: Mapping[str, Routing]  # [B, E] or [B * tokens, E] each, an image's tokens together
    used: Mapping[str, Tensor] = field(default_factory=dict)  # [B, E] tokens that an expert saw
    dropped: Mapping[str, Tensor] = field(default_factory=dict)  # [B, E] tokens that it refused

    @property
    def routings(self) -> Mapping[str, Routing]:
        return self.layers


@dataclass(frozen=True)
class IterativeOutput(Output):
    """The output of a model that answers several times; `log_probs` is its final word."""

    pass_log_probs: Tensor  # [T, B, C]; after an image has halted, its last answer repeated
    modulation_norm: Tensor | None = None  # [T, B] root mean square of what the pass added
    steps: Tensor | None = None  # [B] passes that were computed
    predicted_error: Tensor | None = None  # [T - 1, B, C] forecasts of onehot(target) - probs


@dataclass(frozen=True)
class AdaptiveOutput(MixtureOutput):
    """The output of a model that decides for each image how long to think.

    `routing` is that of all steps together: each step's weights times the weight of the step.
    """

    halting: Tensor | None = None  # [T, B] weight of each step in the answer; sums to 1 over T
    steps: Tensor | None = None  # [B] steps taken plus remainder: what the ponder cost charges
