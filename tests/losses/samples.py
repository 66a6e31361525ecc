"""Outputs made by hand, for the tests of losses."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn import functional

from moe_lab.outputs import MixtureOutput, Routing

TARGET = torch.tensor([0, 1, 1, 0])


def mixture(
    weights: Tensor,
    probs: Tensor | None = None,
    logits: Tensor | None = None,
    selection_probs: Tensor | None = None,
    answers: Tensor | None = None,
    features: Tensor | None = None,
) -> MixtureOutput:
    """A mixture with these weights; what is not given follows from them. Two classes at a half."""
    probs = weights if probs is None else probs
    logits = probs.clamp(min=1e-9).log() if logits is None else logits
    log_probs = torch.full((len(weights), 2), 0.5).log()
    routing = Routing(logits, probs, weights, selection_probs)
    return MixtureOutput(log_probs, routing, answers, features)


def one_hot(experts: list[int], num_experts: int) -> Tensor:
    return functional.one_hot(torch.tensor(experts), num_experts).float()


def random_mixture(
    num_images: int = 6, num_experts: int = 4, num_classes: int = 3, seed: int = 0
) -> MixtureOutput:
    """A mixture output with every field; its leaves are logits and expert log-probabilities."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, num_experts, generator=generator).requires_grad_()
    answers = torch.randn(num_images, num_experts, num_classes, generator=generator)
    probs = logits.softmax(-1)
    log_probs = answers.log_softmax(-1).requires_grad_()
    mixed = (probs.unsqueeze(-1) * log_probs).sum(1).log_softmax(-1)
    features = torch.randn(num_images, 1, 3, 3, generator=generator)
    return MixtureOutput(mixed, Routing(logits, probs, probs), log_probs, features)


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    """Any routing: of a softmax, sharp or not, or its top_k, normalised or not, or of a ReLU."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    # Quarters, not floats: hypothesis refuses to draw those once torch flushes denormal numbers.
    quarters = draw(arrays(np.int64, shape, elements=st.integers(-16, 16)))
    logits = draw(st.sampled_from([0.1, 1.0, 40.0])) * torch.from_numpy(quarters).float() / 4
    probs = logits.softmax(-1)
    kind = draw(st.sampled_from(["dense", "normalised", "kept", "relu"]))
    if kind == "relu":
        return Routing(logits, probs, logits.relu())
    if kind == "dense":
        return Routing(logits, probs, probs)
    chosen = probs.topk(draw(st.integers(1, shape[1]))).indices
    weights = torch.zeros_like(probs).scatter(-1, chosen, 1.0) * probs
    return Routing(logits, probs, weights / weights.sum(-1, keepdim=True)
                   if kind == "normalised" else weights)  # fmt: skip


def name(term: object) -> str:
    """How a parametrised test is called after its term."""
    return type(term).__name__
