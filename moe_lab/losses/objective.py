"""The sum that is minimised, and the names under which its parts are logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from moe_lab.losses.term import Term
from moe_lab.outputs import Output


@dataclass(frozen=True)
class Loss:
    """The weighted sum, and each term unweighted under its own name."""

    total: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """Weighs loss terms: `{name: {weight, term}}` -> Loss. Terms of weight 0 are not computed."""

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.weights: dict[str, float] = {}
        self.terms: dict[str, Term] = {}
        for name, entry in terms.items():
            weight = float(entry["weight"])
            if weight < 0:
                raise ValueError(f"loss.terms.{name}.weight must be at least 0, got {weight}")
            if weight > 0:
                self.weights[name], self.terms[name] = weight, entry["term"]
        if not self.terms:
            raise ValueError("every loss term has weight 0: nothing would be learned")

    @property
    def needs_every_expert(self) -> bool:
        return any(term.needs_every_expert for term in self.terms.values())

    def forward(self, output: Output, target: Tensor) -> Loss:
        values = {name: term(output, target) for name, term in self.terms.items()}
        weighted = [self.weights[name] * value for name, value in values.items()]
        total = weighted[0]
        for value in weighted[1:]:
            total = total + value
        return Loss(total, {name: value.detach() for name, value in values.items()})

    def check_reads(self, model_name: str, output_type: type[Output]) -> None:
        """Refuse terms that read what this model does not return."""
        for name, term in self.terms.items():
            if not issubclass(output_type, term.reads):
                raise ValueError(
                    f"loss.terms.{name} reads {term.reads.__name__}, but {model_name} returns "
                    f"{output_type.__name__}: set loss.terms.{name}.weight=0"
                )
