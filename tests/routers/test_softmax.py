"""The softmax router and its noise."""

from __future__ import annotations

import pytest
import torch

from moe_lab.routers import SoftmaxRouter
from moe_lab.routers.gates import LinearGate


def router(noise_std: float) -> SoftmaxRouter:
    made = SoftmaxRouter(LinearGate(3, 4), temperature=0.5, noise_std=noise_std)
    torch.nn.init.zeros_(made.gate.linear.weight)  # type: ignore[union-attr, arg-type]
    return made


def test_noise_has_the_given_spread_and_only_in_training() -> None:
    noisy = router(0.1).train()
    torch.manual_seed(0)
    probs = noisy(torch.zeros(20_000, 3)).probs
    # With logits of 0 the difference of two log-probabilities is that of two draws.
    differences = probs[:, 0].log() - probs[:, 1].log()
    assert float(differences.detach().std()) == pytest.approx(0.1 * 2**0.5, rel=0.02)
    assert torch.equal(noisy.eval()(torch.zeros(2, 3)).probs, torch.full((2, 4), 0.25))


def test_without_noise_training_draws_nothing() -> None:
    quiet = router(0.0).train()
    state = torch.get_rng_state()
    quiet(torch.zeros(5, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="noise_std must be at least 0, got -1"):
        router(-1)
