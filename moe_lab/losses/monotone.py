"""A penalty on passes that are worse than the one before."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import Term
from moe_lab.outputs import IterativeOutput, Output


class Monotone(Term):
    """Mean over images and t >= 1 of max(0, CE_t - CE_(t-1)): 0 where no pass made an image worse.

    CE_(t-1) counts as a constant: otherwise a pass could learn to be worse, so that the next one is
    better than it.
    """

    # It is 0 for passes that are all equally bad: nothing can be learned from it alone.
    judges_prediction: ClassVar[bool] = False
    reads = IterativeOutput

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        assert isinstance(output, IterativeOutput), "refused when the model was composed"
        return worsening(output.pass_log_probs.float(), target)


def worsening(pass_log_probs: Tensor, target: Tensor) -> Tensor:
    """Mean rise of -log p[target] from pass to pass, falls counted as 0. [T, B, C], [B] -> []"""
    passes = len(pass_log_probs)
    if passes < 2:
        return pass_log_probs.new_zeros(())
    index = target.expand(passes, -1)[..., None]  # [T, B, 1]
    cost = -pass_log_probs.gather(-1, index).squeeze(-1)  # [T, B]
    return functional.relu(cost[1:] - cost[:-1].detach()).mean()
