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
    routing is refused for a model without a router, and experts that were not selected are computed
    only where a term needs every expert's prediction.
    """

    reads: ClassVar[type[Output]] = Output
    needs: ClassVar[tuple[str, ...]] = ()
    needs_every_expert: ClassVar[bool] = False
    # True where the combined prediction is scored: some parts learn from nothing else.
    judges_prediction: ClassVar[bool] = False
    # False where training can bring the value to zero or below: a learned weight, which is larger
    # for smaller losses, would then grow without bound.
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

    In a layer that routes tokens each token counts as an image, with the label of its image.
    """

    reads: ClassVar[type[Output]] = MixtureOutput

    @classmethod
    def accepts(cls, output_type: type[Output]) -> bool:
        return super().accepts(output_type) or issubclass(output_type, LayeredOutput)

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        # The mean over layers, not over decisions: a layer with many tokens counts like another.
        if isinstance(output, LayeredOutput):
            layers = layer_by_layer(output, target)
            return torch.stack([self.of_mixture(*layer) for layer in layers]).mean()
        assert isinstance(output, MixtureOutput), "refused when the model was composed"
        return self.of_mixture(output, target)

    @abstractmethod
    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        """The mean over the batch, not yet weighted."""


def layer_by_layer(output: LayeredOutput, target: Tensor) -> Iterator[tuple[MixtureOutput, Tensor]]:
    """Each layer as a mixture of its own, with labels [B * tokens] of its decisions."""
    for routing in output.decisions.values():
        # An image's tokens stand together, so labels are repeated one by one.
        decisions_per_image = len(routing.weights) // len(target)
        yield (
            MixtureOutput(output.log_probs, routing),
            target.repeat_interleave(decisions_per_image),
        )
