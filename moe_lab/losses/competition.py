"""The competition of experts (Jacobs, Jordan, Nowlan & Hinton 1991, equation 1.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput

# Log-probabilities below this are clamped: they carry no information, and their squares overflow.
LEAST_LOG_PROB = -1e4


class Competition(RoutingTerm):
    """Mean over images of -log sum_e p_e P_e(y), with p the router's probs and P_e(y) the
    probability that expert e alone gives to the label.

    Each expert gets a gradient in proportion to its posterior, so that the best one for an image
    learns it and the others need not. Cross-entropy with combine=logits instead scores a sum of
    logits, to which all experts contribute; with combine=probabilities it equals this term where
    all experts are used. The paper's Gaussian likelihood becomes the categorical one.
    """

    needs_every_expert = True

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return -log_joint(output, target).logsumexp(-1).mean()


def log_joint(output: MixtureOutput, target: Tensor) -> Tensor:
    """log p_e + log P_e(y), finite where p_e is 0, [B, E]."""
    probs = output.routing.probs.float()
    # Sparse routers give probabilities of exactly 0, whose logarithm would make gradients NaN.
    prior = probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
    return prior + log_likelihood(output, target)


def log_likelihood(output: MixtureOutput, target: Tensor) -> Tensor:
    """log P_e(y), the log-probability that each expert alone gives to the label, [B, E]."""
    assert output.expert_log_probs is not None, "needs_every_expert requests them"
    num_images, num_experts, _ = output.expert_log_probs.shape
    # nll_loss selects like gather, whose backward is not deterministic on CUDA.
    labels = target.repeat_interleave(num_experts)  # [B * E]
    log_probs = output.expert_log_probs.float().clamp(min=LEAST_LOG_PROB).flatten(0, 1)
    of_label = -functional.nll_loss(log_probs, labels, reduction="none")
    return of_label.view(num_images, num_experts)
