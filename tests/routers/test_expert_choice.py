"""Expert choice: capacity, which images are taken, and thresholds that replace the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moe_lab.routers import ExpertChoiceRouter, LinearGate
from tests.routers.fixed import ScoresGate, logs

FOUR = logs([0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2])


@pytest.mark.parametrize(
    ("factor", "num_images", "capacity"),
    [(1.0, 4, 2), (2.0, 4, 4), (1.0, 5, 3), (0.01, 4, 1), (1.0, 1, 1), (9.0, 3, 3)],
)
def test_capacity_is_rounded_up_and_between_one_and_the_batch(
    factor: float, num_images: int, capacity: int
) -> None:
    assert ExpertChoiceRouter(ScoresGate(2), factor).capacity(num_images) == capacity


def test_each_expert_takes_the_images_that_score_highest_with_it() -> None:
    router = ExpertChoiceRouter(ScoresGate(2), capacity_factor=0.5).train()
    weights = router(FOUR).weights  # one image each: the first and the second
    expected = torch.tensor([[0.9, 0.0], [0.0, 0.4], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(weights, expected)
    assert (weights == 0).sum() == 6


def test_an_image_may_be_taken_by_several_experts() -> None:
    router = ExpertChoiceRouter(ScoresGate(2), capacity_factor=1.5).train()  # three each
    expected = torch.tensor([[0.9, 0.0], [0.0, 0.4], [0.7, 0.3], [0.8, 0.2]])
    torch.testing.assert_close(router(FOUR).weights, expected)


def test_every_expert_is_used_however_skewed_the_gate() -> None:
    router = ExpertChoiceRouter(ScoresGate(4), capacity_factor=1.0).train()
    weights = router(torch.randn(32, 4) + torch.tensor([9.0, 0.0, 0.0, 0.0])).weights
    assert (weights != 0).sum(0).tolist() == [8, 8, 8, 8]


def one_step(router: ExpertChoiceRouter, *batches: Tensor) -> None:
    for batch in batches:
        router(batch)
    router.end_step()


def test_the_first_batch_sets_the_thresholds_and_the_next_are_averaged() -> None:
    router = ExpertChoiceRouter(ScoresGate(2), capacity_factor=0.5, momentum=0.75).train()
    assert router.threshold.tolist() == [0.5, 0.5]
    one_step(router, FOUR)
    torch.testing.assert_close(router.threshold, torch.tensor([0.9, 0.4]))
    other = logs([0.5, 0.5])
    one_step(router, other)  # plain mean of two
    torch.testing.assert_close(router.threshold, torch.tensor([0.7, 0.45]))
    router.num_updates.fill_(1000)
    one_step(router, other)  # 0.75 * old + 0.25 * 0.5
    torch.testing.assert_close(router.threshold, torch.tensor([0.65, 0.4625]))


def test_the_batches_of_a_step_set_the_thresholds_together() -> None:
    router = ExpertChoiceRouter(ScoresGate(2), capacity_factor=0.5, momentum=0.75).train()
    router.num_updates.fill_(1000)
    one_step(router, FOUR, logs([0.5, 0.5]))
    # 0.75 * 0.5 + 0.25 * the mean of (0.9, 0.4) and (0.5, 0.5)
    torch.testing.assert_close(router.threshold, torch.tensor([0.55, 0.4875]))
    assert router.num_updates == 1001
    router.end_step()  # nothing was seen since
    torch.testing.assert_close(router.threshold, torch.tensor([0.55, 0.4875]))
    assert router.num_updates == 1001
    assert {"smallest", "num_batches"}.isdisjoint(router.state_dict())


def test_evaluation_uses_thresholds_and_falls_back_to_the_first_choice() -> None:
    router = ExpertChoiceRouter(ScoresGate(2)).eval()
    router.threshold.copy_(torch.tensor([0.75, 0.15]))
    features = logs([0.9, 0.1], [0.8, 0.2], [0.6, 0.4])
    expected = torch.tensor([[0.9, 0.0], [0.8, 0.2], [0.0, 0.4]])
    torch.testing.assert_close(router(features).weights, expected)
    router.threshold.fill_(1.1)  # no expert takes anything
    expected = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.6, 0.0]])
    torch.testing.assert_close(router(features).weights, expected)


def test_thresholds_give_each_expert_its_training_load_in_evaluation() -> None:
    torch.manual_seed(0)
    router = ExpertChoiceRouter(LinearGate(6, 4, init_std=1.0), capacity_factor=1.0).train()
    for _ in range(200):
        one_step(router, torch.randn(128, 6))
    routing = router.eval()(torch.randn(4000, 6))
    taken = routing.probs >= router.threshold
    share = taken.float().mean(0)
    assert ((share > 0.22) & (share < 0.28)).all()
    # Beyond that, only images that no expert took.
    assert torch.equal((routing.weights != 0)[taken.any(-1)], taken[taken.any(-1)])
    assert ((routing.weights != 0)[~taken.any(-1)].sum(-1) == 1).all()


def test_ranks_agree_on_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    # This process sees 0.9 and 0.4, the other 0.5 and 0.2.
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    other = torch.tensor([0.5, 0.2])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.add_(other))
    router = ExpertChoiceRouter(ScoresGate(2), capacity_factor=0.5).train()
    one_step(router, FOUR)
    torch.testing.assert_close(router.threshold, torch.tensor([0.7, 0.3]))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity_factor must be above 0, got 0"):
        ExpertChoiceRouter(ScoresGate(2), 0)
    with pytest.raises(ValueError, match="momentum must be at least 0 and below 1, got 1"):
        ExpertChoiceRouter(ScoresGate(2), momentum=1)
