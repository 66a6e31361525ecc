"""The divergence of the experts' mean probabilities from the uniform distribution."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.entropy import entropy
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class KLUniform(RoutingTerm):
    """exp(KL(mean probs || uniform)) = E / perplexity: 1 at balance, E / n where n experts share
    everything equally, E at total collapse, n = 1.

    The exponential puts it on the scale of the other balance terms: E over the number of experts
    that are effectively in use.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        # The mean before the entropy: the entropy of single images is a matter of `Entropy`.
        return experts_per_effective_expert(output.routing.probs.float().mean(0))


def experts_per_effective_expert(mean_probs: Tensor) -> Tensor:
    """E / exp(entropy) of probabilities [E]."""
    return mean_probs.numel() * (-entropy(mean_probs)).exp()
