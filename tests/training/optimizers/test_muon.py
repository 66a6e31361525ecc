"""Muon against torch's own, matrix by matrix, and which weights of a model it gets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError
from moe_lab.training import build
from moe_lab.training.optimizers import HiddenMuon, Muon, orthogonalize

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: Tensor) -> Tensor:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def ours(start: Tensor, gradients: Tensor, **options: Any) -> Tensor:
    weight = nn.Parameter(start.clone())
    group = {"params": [weight], "orthogonal": True}
    return trained(Muon([group], lr=0.1, weight_decay=0.2, **options), weight, gradients)


def theirs(start: Tensor, gradients: Tensor) -> Tensor:
    weight = nn.Parameter(start.clone())
    return trained(torch.optim.Muon([weight], lr=0.1, weight_decay=0.2), weight, gradients)


@pytest.mark.parametrize("shape", [(6, 6), (12, 5), (5, 12)])
def test_a_matrix_moves_as_in_torch(shape: tuple[int, int]) -> None:
    start, gradients = random(*shape), random(4, *shape, seed=1)
    # Both round to bfloat16 on the way, at most 2^-8 of an entry a step.
    torch.testing.assert_close(
        ours(start, gradients), theirs(start, gradients), atol=4e-3, rtol=1e-2
    )


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_each_expert_of_a_stack_is_a_matrix_of_its_own(shape: tuple[int, int]) -> None:
    start, gradients = random(3, *shape), random(4, 3, *shape, seed=1)
    gradients[:, 1] *= 1000  # the size of one gradient is nothing to the others
    together = ours(start, gradients)
    for expert in range(3):
        # A stack keeps [in, out], torch's matrices are [out, in].
        alone = theirs(start[expert].T.contiguous(), gradients[:, expert].mT.contiguous())
        torch.testing.assert_close(together[expert], alone.T, atol=4e-3, rtol=1e-2)


def test_a_kernel_is_a_matrix_of_one_row_an_output_and_a_stack_of_kernels_several() -> None:
    start, gradients = random(2, 4, 3, 3, 3), random(3, 2, 4, 3, 3, 3, seed=1)
    together = ours(start, gradients)
    for expert in range(2):
        flat = theirs(start[expert].flatten(1), gradients[:, expert].flatten(2))
        torch.testing.assert_close(together[expert].flatten(1), flat, atol=4e-3, rtol=1e-2)
        alone = ours(start[expert], gradients[:, expert])
        torch.testing.assert_close(together[expert], alone, atol=4e-3, rtol=1e-2)


def test_singular_values_end_near_one_and_zero_stays_zero() -> None:
    matrices = random(3, 20, 30)
    matrices[2] = 0
    found = orthogonalize(matrices).float()
    values = torch.linalg.svdvals(found[:2])
    assert values.min() > 0.5
    assert values.max() < 1.3
    assert not found[2].any()
    # The directions are those of the matrix: U V^T of its singular value decomposition.
    left, _, right = torch.linalg.svd(matrices[0], full_matrices=False)
    along = (found[0] * (left @ right)).sum() / (found[0].norm() * (left @ right).norm())
    assert along > 0.97


def test_an_expert_that_nobody_asked_stays_where_it_is() -> None:
    start, gradients = random(2, 4, 5), random(3, 2, 4, 5, seed=1)
    gradients[1:, 0] = 0
    weight = nn.Parameter(start.clone())
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=0.1)
    after_one = trained(optimizer, weight, gradients[:1]).clone()
    after_all = trained(optimizer, weight, gradients[1:])
    assert not torch.equal(after_one[0], start[0])
    assert torch.equal(after_all[0], after_one[0])
    assert not torch.equal(after_all[1], after_one[1])


def test_other_groups_move_as_with_adamw() -> None:
    start, gradients = random(5), random(6, 5, seed=1)
    weight, reference = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    options: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.3}
    group = {"params": [weight], "orthogonal": False, **options}
    moved = trained(Muon([group], lr=9.0), weight, gradients)
    expected = trained(torch.optim.AdamW([reference], **options), reference, gradients)
    torch.testing.assert_close(moved, expected)


def test_a_state_that_is_loaded_goes_on_exactly() -> None:
    def begun() -> tuple[Muon, list[nn.Parameter]]:
        weights = [nn.Parameter(random(4, 6)), nn.Parameter(random(5, seed=3))]
        groups = [
            {"params": weights[:1], "orthogonal": True},
            {"params": weights[1:], "orthogonal": False, "lr": 0.01},
        ]
        return Muon(groups, lr=0.1), weights

    def step(optimizer: Muon, weights: list[nn.Parameter], seed: int) -> None:
        for weight in weights:
            weight.grad = random(*weight.shape, seed=seed)
        optimizer.step()

    first, weights = begun()
    step(first, weights, 1)
    second, copies = begun()
    for own, weight in zip(copies, weights, strict=True):
        own.data.copy_(weight.data)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step(first, weights, 2)
    step(second, copies, 2)
    assert all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))


def test_groups_that_do_not_say_what_they_are_are_refused() -> None:
    with pytest.raises(ValueError, match="orthogonal"):
        Muon([{"params": [nn.Parameter(torch.zeros(2, 2))]}], lr=0.1)
    with pytest.raises(ValueError, match="1 dimensions holds no matrices"):
        Muon([{"params": [nn.Parameter(torch.zeros(2))], "orthogonal": True}], lr=0.1)


# What Muon gets, by the end of its name.
HIDDEN = {
    "sparse": {"experts.first.weight"},
    "conv_moe": {
        "blocks.0.convolution.weight", "blocks.0.mixture.experts.kernels",
        "blocks.1.convolution.weight", "blocks.1.mixture.experts.kernels",
    },
    "vit_moe": {
        "attention.queries_keys_values.weight", "attention.out.weight", "mlp.0.weight",
        "mlp.2.weight", "experts.first.weight", "experts.rest.0.weight",
    },
}  # fmt: skip


@pytest.mark.parametrize("model", HIDDEN)
def test_hidden_matrices_are_for_muon_and_all_else_is_for_adamw(model: str) -> None:
    register_resolvers()
    size = ["dataset=synthetic", "dataset.size=[3,32,32]"]
    config = check_overrides("train", [f"model={model}", "optimizer=muon", *size], multirun=False)
    OmegaConf.update(config, "dataset.mean", [0.5] * 3)
    OmegaConf.update(config, "dataset.std", [0.5] * 3)
    classifier = build.build_classifier(config, build.Length(1, 1))
    optimizer = classifier.configure_optimizers()["optimizer"]
    names = {id(weight): name for name, weight in classifier.named_parameters()}
    groups = [[names[id(w)] for w in group["params"]] for group in optimizer.param_groups]
    assert sorted(name for group in groups for name in group) == sorted(names.values())
    hidden, decayed, free = groups
    for name in names.values():
        assert (name in hidden) == any(name.endswith(ending) for ending in HIDDEN[model]), name
    assert all(name.endswith(("weight", "positions")) for name in decayed)
    assert not any(classifier.get_parameter(name).ndim > 2 for name in free)
    rates = [group["initial_lr"] for group in optimizer.param_groups]
    assert rates == [0.02, 0.002, 0.002]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01, 0.0]


def test_a_model_without_hidden_matrices_is_refused() -> None:
    recipe = HiddenMuon(in_shape=(1, 4, 4), num_classes=3)
    with pytest.raises(ConfigError, match="use optimizer=adamw"):
        recipe.parameter_groups(nn.Linear(16, 3))


def test_training_with_muon_learns(train: Train, read_json: ReadJSON) -> None:
    code, run = train("optimizer=muon", "scheduler=one_cycle", "trainer.max_epochs=8")
    assert code == 0
    assert read_json(run / "summary.json")["test_accuracy"] > 0.8
