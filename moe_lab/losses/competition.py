"""The competition of experts (Jacobs, Jordan, Nowlan & Hinton 1991, equation 1.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput

# Below it a log-probability only carries overflow into sums and squares.
LEAST_LOG_PROB = -1e4


class Competition(RoutingTerm):
    """Mean over images of -log sum_e p_e P_e(y), p the router's probs, P_e(y) what expert e alone
    gives to the label.

    Each expert is judged by its own answer, in proportion to how well it did, so that the best at
    an image learns it and the others need not. Cross-entropy of combine=logits instead judges a sum
    of logits, to which all must contribute; of combine=probabilities it is this term where all
    experts are used. The paper's Gaussian likelihood becomes the categorical one.
    """

    needs_every_expert = True

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return -log_joint(output, target).logsumexp(-1).mean()


def log_joint(output: MixtureOutput, target: Tensor) -> Tensor:
    """log p_e + log P_e(y), finite where p_e is 0, [B, E]."""
    probs = output.routing.probs.float()
    prior = probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
    return prior + log_likelihood(output, target)


def log_likelihood(output: MixtureOutput, target: Tensor) -> Tensor:
    """log P_e(y), what each expert alone gives to the label, [B, E]."""
    assert output.expert_log_probs is not None, "needs_every_expert asks for them"
    num_images, num_experts, _ = output.expert_log_probs.shape
    # nll_loss picks like gather, whose backward is not deterministic on CUDA.
    labels = target.repeat_interleave(num_experts)
    answers = output.expert_log_probs.float().clamp(min=LEAST_LOG_PROB).flatten(0, 1)
    chosen = -functional.nll_loss(answers, labels, reduction="none")
    return chosen.view(num_images, num_experts)
