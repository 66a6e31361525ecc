"""The contract of a loss term."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from moe_lab.outputs import MixtureOutput, Output


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
    judges_answer: ClassVar[bool] = False
    # False where training can bring the value to zero or below: a learned weight would then grow
    # without bound.
    always_positive: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, output: Output, target: Tensor) -> Tensor:
        """The mean over the batch, not yet weighted."""


class RoutingTerm(Term):
    """A term that reads the routing of a mixture."""

    reads: ClassVar[type[Output]] = MixtureOutput

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        assert isinstance(output, MixtureOutput), "refused when the model was composed"
        return self.of_mixture(output, target)

    @abstractmethod
    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        """The mean over the batch, not yet weighted."""
