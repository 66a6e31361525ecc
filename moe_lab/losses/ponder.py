"""The ponder cost of adaptive computation time (Graves 2016)."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.term import Term
from moe_lab.outputs import AdaptiveOutput, Output


class Ponder(Term):
    """Mean over images of the steps taken plus the remainder, which carries the gradient."""

    reads = AdaptiveOutput
    needs = ("steps",)

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        assert isinstance(output, AdaptiveOutput), "refused when the model was composed"
        assert output.steps is not None, "refused when the model was composed"
        return output.steps.float().mean()
