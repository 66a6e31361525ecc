"""How far the experts are from orthogonal functions."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.diversity import centred_log_probs, similarity_of_pairs
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Orthogonality(RoutingTerm):
    """Mean squared cosine of distinct experts, each a vector of its centred answers to the whole
    batch, [B * C].

    1 where all are alike or opposite, 0 where they are uncorrelated. `diversity` compares two
    experts image by image instead, and leaves opposite answers alone.
    """

    needs_every_expert = True
    always_positive = False

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        functions = centred_log_probs(output).transpose(0, 1).flatten(1)  # [E, B * C]
        return similarity_of_pairs(functions).square().mean()
