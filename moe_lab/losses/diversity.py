"""How alike the experts answer each image, after the diversity loss of LibMoE (Nguyen et al.
2024).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.losses.competition import LEAST_LOG_PROB
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Diversity(RoutingTerm):
    """Mean over images and pairs of distinct experts of relu(cosine of their answers), in 0..1.

    Answers are log-probabilities less their mean over classes: as they are, all their entries are
    negative, and any two look alike. The diagonal is left out, so that 1 means all alike whatever
    E is.
    """

    needs_every_expert = True
    always_positive = False

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return similarity_of_pairs(centred_log_probs(output)).relu().mean()


def centred_log_probs(output: MixtureOutput) -> Tensor:
    """What each expert says relative to its own mean over classes, [B, E, C]."""
    assert output.expert_log_probs is not None, "needs_every_expert asks for them"
    answers = output.expert_log_probs.float().clamp(min=LEAST_LOG_PROB)
    return answers - answers.mean(-1, keepdim=True)


def similarity_of_pairs(vectors: Tensor) -> Tensor:
    """Cosines of all pairs of distinct experts, [..., E, D] -> [..., pairs]; one 0 for one
    expert.
    """
    num_experts = vectors.shape[-2]
    if num_experts == 1:
        return vectors.sum(-1) * 0
    unit = functional.normalize(vectors, dim=-1)
    first, second = torch.triu_indices(num_experts, num_experts, 1, device=vectors.device)
    return (unit @ unit.mT)[..., first, second]
