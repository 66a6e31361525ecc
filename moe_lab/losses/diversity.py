"""The similarity of the experts' outputs for each image, after the diversity loss of LibMoE (Nguyen
et al. 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.losses.competition import LEAST_LOG_PROB
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput


class Diversity(RoutingTerm):
    """Mean over images and pairs of distinct experts of relu(cosine of their outputs), in 0..1.

    Compared are log-probabilities less their mean over classes: without that all entries are
    negative, and any two outputs are similar. The diagonal is left out, so that 1 means "all equal"
    for every E.
    """

    needs_every_expert = True
    always_positive = False  # 0 once no two experts agree

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return similarity_of_pairs(centred_log_probs(output)).relu().mean()


def centred_log_probs(output: MixtureOutput) -> Tensor:
    """Each expert's log-probabilities relative to their mean over classes, [B, E, C]."""
    assert output.expert_log_probs is not None, "needs_every_expert requests them"
    log_probs = output.expert_log_probs.float().clamp(min=LEAST_LOG_PROB)
    return log_probs - log_probs.mean(-1, keepdim=True)


def similarity_of_pairs(vectors: Tensor) -> Tensor:
    """Cosines of all pairs of distinct experts, [..., E, D] -> [..., pairs]; a single 0 where there
    is one expert.
    """
    num_experts = vectors.shape[-2]
    if num_experts == 1:  # a mean over no pairs would be NaN
        return vectors.sum(-1) * 0
    unit = functional.normalize(vectors, dim=-1)
    first, second = torch.triu_indices(num_experts, num_experts, 1, device=vectors.device)
    return (unit @ unit.mT)[..., first, second]
