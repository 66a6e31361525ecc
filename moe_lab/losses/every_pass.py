"""Deep supervision: every pass is trained on the labels, not only the last (Lee et al. 2015)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import Term
from moe_lab.outputs import IterativeOutput, Output


class EveryPass(Term):
    """Cross-entropy of each pass, averaged over passes and images."""

    judges_prediction: ClassVar[bool] = True
    reads = IterativeOutput

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        assert isinstance(output, IterativeOutput), "refused when the model was composed"
        return mean_cross_entropy(output.pass_log_probs.float(), target)


def mean_cross_entropy(pass_log_probs: Tensor, target: Tensor) -> Tensor:
    """Mean of -log p[target] over passes and images. [T, B, C], [B] -> []"""
    # flatten puts all images of a pass together, and so does repeat with the labels.
    passes = len(pass_log_probs)
    return functional.nll_loss(pass_log_probs.flatten(0, 1), target.repeat(passes))
