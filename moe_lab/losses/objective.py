"""The weighted sum of loss terms that is minimised."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from moe_lab.losses.term import Term
from moe_lab.losses.uncertainty import Uncertainty
from moe_lab.losses.weight import Weight
from moe_lab.losses.whole_batch import whole_batch
from moe_lab.networks.progress import FollowsProgress
from moe_lab.outputs import Output


@dataclass(frozen=True)
class Loss:
    """The weighted sum, each term unweighted under its own name, and the weights that move."""

    total: Tensor  # []
    terms: dict[str, Tensor]  # name -> [], detached
    # name -> []; scheduled and learned ones alone: a constant needs no curve.
    weights: dict[str, Tensor] = field(default_factory=dict)


class Objective(FollowsProgress):
    """Weighs loss terms: `{name: {weight, schedule, term}}` -> Loss.

    Terms whose weight is 0 throughout are not computed. weighting=uncertainty learns a factor for
    each of the others.
    """

    def __init__(
        self,
        terms: Mapping[str, Mapping[str, Any]],
        weighting: Literal["fixed", "uncertainty"] = "fixed",
    ) -> None:
        super().__init__()
        if weighting not in ("fixed", "uncertainty"):
            raise ValueError(f"loss.weighting must be fixed or uncertainty, got {weighting!r}")
        weights = {name: Weight.of_entry(name, entry) for name, entry in terms.items()}
        self.weights = {name: weight for name, weight in weights.items() if not weight.is_zero}
        self.terms: dict[str, Term] = {name: terms[name]["term"] for name in self.weights}
        if not self.terms:
            raise ValueError("every loss term has weight 0: nothing would be learned")
        learned = weighting == "uncertainty"  # of the terms in use alone
        self.uncertainty = Uncertainty(self.terms, self.weights) if learned else None

    @property
    def needs_every_expert(self) -> bool:
        return any(term.needs_every_expert for term in self.terms.values())

    def forward(self, output: Output, target: Tensor) -> Loss:
        """The loss of a batch; in distributed training that of the images of all processes."""
        # Features are by far the largest field: they are gathered only where a term reads them.
        read = any("features" in term.needs for term in self.terms.values())
        output, target = whole_batch(output, target, with_features=read)
        # Autocast would run matrix products of a term in half precision.
        with torch.autocast(output.log_probs.device.type, enabled=False):
            return self._weigh({name: term(output, target) for name, term in self.terms.items()})

    def _weigh(self, values: dict[str, Tensor]) -> Loss:
        summands: list[Tensor] = []
        moving: dict[str, Tensor] = {}
        for name, value in values.items():
            weight = self.weights[name].at(self.fraction)
            summand = weight * value
            if self.uncertainty is not None:
                moving[name] = weight * self.uncertainty.factor(name)
                summand = self.uncertainty(name, summand)
            elif isinstance(weight, Tensor):
                moving[name] = weight
            summands.append(summand)
        # Added in the order of the configuration, without a 0 to start from: the sum of one term is
        # that term to the last bit.
        total = summands[0]
        for summand in summands[1:]:
            total = total + summand
        return Loss(total, {name: value.detach() for name, value in values.items()}, moving)

    def check_terms(self, needed: Mapping[str, str]) -> None:
        """Refuse an objective without a term that a part depends on: {term: part}."""
        for name, part in needed.items():
            if name not in self.terms:
                raise ValueError(
                    f"{part} learns from loss.terms.{name} alone: set "
                    f"loss.terms.{name}.weight above 0"
                )

    def check_teaches(self, only_from_prediction: str | None) -> None:
        """Refuse an objective under which a part that only a loss on the combined prediction can
        train would not learn.
        """
        if only_from_prediction and not any(t.judges_prediction for t in self.terms.values()):
            raise ValueError(
                f"{only_from_prediction} learns only from the combined prediction, which none of "
                f"the loss terms {', '.join(self.terms)} reads: set "
                "loss.terms.cross_entropy.weight=1"
            )

    def check_reads(
        self, model_name: str, output_type: type[Output], missing: Collection[str] = ()
    ) -> None:
        """Refuse terms that read another type of output, or a field that this model leaves None."""
        for name, term in self.terms.items():
            remedy = f"set loss.terms.{name}.weight=0"
            if not term.accepts(output_type):
                raise ValueError(
                    f"loss.terms.{name} reads {term.reads.__name__}, but {model_name} returns "
                    f"{output_type.__name__}: {remedy}"
                )
            experts = ("expert_log_probs",) if term.needs_every_expert else ()
            lacking = [needed for needed in (*term.needs, *experts) if needed in missing]
            if lacking:
                raise ValueError(
                    f"loss.terms.{name} needs {lacking[0]}, which {model_name} does not give: "
                    f"{remedy}"
                )
