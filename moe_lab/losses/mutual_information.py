"""The mutual information of expert and image (Bridle, Heading & MacKay 1991)."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.entropy import normalised_entropy
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class MutualInformation(RoutingTerm):
    """-I(E; X) / log E = -(H(mean probs) - mean H(probs)) / log E, in -1..0.

    -1 where each image has one expert and all experts are used equally; 0 where all images have the
    same routing, to one expert or to all.
    """

    always_positive = False  # it is negative

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return -normalised_information(output.routing.probs.float())


def normalised_information(probs: Tensor) -> Tensor:
    """Between the image and its expert, divided by log E. [B, E] -> []"""
    # Never negative: the entropy of a mean is at least the mean of the entropies.
    return normalised_entropy(probs.mean(0)) - normalised_entropy(probs).mean()
