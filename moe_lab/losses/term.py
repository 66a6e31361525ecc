"""The contract of a loss term."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from moe_lab.outputs import LayeredOutput, MixtureOutput, Output


class Term(ABC):
    """A pure, unweighted loss: (Output, target [B]) -> scalar in float32.

    A term says what it reads, and in `needs` which fields of it must not be None. One that reads
    routing is refused for a model without a router, and only where a term needs every expert's
    answer are experts that nobody chose computed.
    """

    reads: ClassVar[type[Output]] = Output
    needs: ClassVar[tuple[str, ...]] = ()
    needs_every_expert: ClassVar[bool] = False
    # True where the combined answer is judged: parts that only shape it learn from nothing else.
    judges_prediction: ClassVar[bool] = False
    # False where training can bring the value to zero or below: a learned weight would then grow
    # without bound.
    always_positive: ClassVar[bool] = True

    @classmethod
    def accepts(cls, output_type: type[Output]) -> bool:
        """Whether the term can read such an output."""
        return issubclass(output_type, cls.reads)

    @abstractmethod
    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """The mean over the batch, not yet weighted."""


class RoutingTerm(Term):
    """A term that reads the routing of a mixture; of several mixtures, the mean over layers.

    A layer that routes tokens counts each of them as an image with the label of its own.
    """

    reads: ClassVar[type[Output]] = MixtureOutput

    @classmethod
    def accepts(cls, output_type: type[Output]) -> bool:
        return super().accepts(output_type) or issubclass(output_type, LayeredOutput)

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        if isinstance(output, LayeredOutput):
            layers = layer_by_layer(output, target)
            return torch.stack([self.of_mixture(*layer) for layer in layers]).mean()
        assert isinstance(output, MixtureOutput), "refused when the model was composed"
        return self.of_mixture(output, target)

    @abstractmethod
    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        """The mean over the batch, not yet weighted."""


def layer_by_layer(output: LayeredOutput, target: Tensor) -> Iterator[tuple[MixtureOutput, Tensor]]:
    """Each layer as a mixture of its own, with the label of each of its decisions."""
    for routing in output.decisions.values():
        decisions_per_image = len(routing.weights) // len(target)
        yield (
            MixtureOutput(output.log_probs, routing),
            target.repeat_interleave(decisions_per_image),
        )
