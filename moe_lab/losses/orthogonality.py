"""How far the experts are from orthogonal functions."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.diversity import centred_log_probs, similarity_of_pairs
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Orthogonality(RoutingTerm):
    """Mean squared cosine of distinct experts, each the vector [B * C] of its centred
    log-probabilities on the whole batch.

    1 where all are equal or opposite, 0 where they are uncorrelated. `diversity` compares two
    experts image by image instead, and does not penalise opposite outputs.
    """

    needs_every_expert = True
    always_positive = False  # 0 where experts are uncorrelated

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        functions = centred_log_probs(output).transpose(0, 1).flatten(1)  # [E, B * C]
        return similarity_of_pairs(functions).square().mean()
