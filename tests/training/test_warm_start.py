"""Second stages: what a model takes over from trained runs, and what stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import moe_lab
from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training.build import build
from moe_lab.training.warm_start import freeze, part_names, start_from
from tests.conftest import Train, Trained

IMAGES = torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("expert", ["mlp", pytest.param("mlp_list", marks=pytest.mark.slow)])
def test_an_upcycled_run_starts_as_the_dense_one(
    expert: str, train: Train, trained_once: Trained
) -> None:
    dense = trained_once("model=dense", f"expert={expert}")
    code, mixture = train(
        f"expert={expert}", f"init_from={dense}", "optimizer.lr=1e-12", "optimizer.weight_decay=0"
    )
    assert code == 0
    expected = moe_lab.load(dense)(IMAGES).log_probs
    torch.testing.assert_close(moe_lab.load(mixture)(IMAGES).log_probs, expected, atol=1e-4, rtol=0)


def test_noise_makes_copies_of_an_expert_differ(train: Train, trained_once: Trained) -> None:
    dense = trained_once("model=dense")
    _, noisy = train(f"init_from={dense}", "init_noise=0.1", "optimizer.lr=1e-12")
    weight = next(p for n, p in moe_lab.load(noisy).named_parameters() if "experts" in n)
    spread = (weight - weight.mean(0)).std() / weight.mean(0).std()
    assert float(spread) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("expert", ["mlp", pytest.param("mlp_list", marks=pytest.mark.slow)])
def test_merged_runs_are_the_experts_of_one_mixture(
    expert: str, train: Train, trained_once: Trained
) -> None:
    runs = [trained_once("model=dense", f"expert={expert}", f"seed={seed}") for seed in (1, 2, 3)]
    listed = ",".join(map(str, runs))
    code, merged = train(
        f"init_from=[{listed}]", "model.num_experts=3", "freeze=[experts]", f"expert={expert}"
    )
    assert code == 0
    alone = moe_lab.load(merged).model(IMAGES, every_expert=True).expert_log_probs
    for number, run in enumerate(runs):
        torch.testing.assert_close(alone[:, number], moe_lab.load(run)(IMAGES).log_probs)


def test_frozen_experts_do_not_move_while_the_gate_learns(
    train: Train, trained_once: Trained
) -> None:
    first = trained_once("model=standard")
    _, second = train(
        "router=top_k", f"init_from={first}", "freeze=experts", "trainer.max_epochs=3"
    )
    before, after = (moe_lab.load(run).model.state_dict() for run in (first, second))
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("experts"))
    gate = "router.gate.linear.weight"
    assert float((before[gate] - after[gate]).abs().max()) > 1e-3


VIT = ["model=vit_moe", "model.depth=2", "model.mlp_hidden=8", "model.num_heads=2"]
VIT += ["backbone.out_features=8", "expert.hidden=8"]
CONV = ["model=conv_moe", "model.channels=[4,6]", "backbone.out_features=4"]
LAYERED = [VIT, [*VIT, "expert=mlp_list"], CONV, [*CONV, "model.mixing=kernels"]]


def untrained(*typed: str) -> nn.Module:
    register_resolvers()
    words = ["dataset=synthetic", "dataset.size=[1,8,8]", *typed]
    model: nn.Module = build(check_overrides("train", words, multirun=False).model)
    return model.eval()


def given(monkeypatch: pytest.MonkeyPatch, *models: nn.Module) -> list[str]:
    """Runs whose best weights are those of these models."""
    states = {str(number): model.state_dict() for number, model in enumerate(models)}
    monkeypatch.setattr("moe_lab.training.warm_start.trained_state", lambda run: states[str(run)])
    return list(states)


@pytest.mark.parametrize("model", LAYERED, ids=["vit", "vit_list", "conv", "conv_kernels"])
def test_a_network_of_single_experts_is_upcycled_layer_by_layer(
    model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    dense = untrained(*model, "model.num_experts=1", "router.top_k=1")
    mixture = untrained(*model)
    parts = [name for name, _ in mixture.named_children() if name != "dropout"]
    assert start_from(mixture, given(monkeypatch, dense), parts) > 10
    images = IMAGES[..., :8, :8]
    torch.testing.assert_close(mixture(images).log_probs, dense(images).log_probs)
    assert {layer.num_experts for layer in mixture(images).routings.values()} == {8}


def test_noise_falls_on_weights_and_not_on_the_statistics_of_batch_norm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    words = ["expert=conv", "expert.channels=2", "expert.batch_norm=1", "expert.hidden=4"]
    dense, mixture = untrained("model=dense", *words), untrained("model=sparse", *words)
    for name, buffer in dense.named_buffers():
        if "running_var" in name:
            buffer.copy_(torch.tensor([1e-6, 5.0]))
    start_from(mixture, given(monkeypatch, dense), ["backbone", "experts"], noise=1.0)
    own = mixture.state_dict()
    for number in range(8):
        norm = f"experts.experts.{number}.blocks.1"
        assert own[f"{norm}.running_var"].tolist() == pytest.approx([1e-6, 5.0])
    kernels = torch.stack([own[f"experts.experts.{number}.blocks.0.weight"] for number in range(8)])
    assert kernels.std(0).min() > 0.05


def test_layered_runs_are_merged_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    first, second = (untrained(*VIT, "model.num_experts=1", "router.top_k=1") for _ in range(2))
    both = untrained(*VIT, "model.num_experts=2")
    start_from(both, given(monkeypatch, first, second), ["experts"])
    for name, value in both.state_dict().items():
        if ".experts." in name:
            own = [model.state_dict()[name] for model in (first, second)]
            assert torch.equal(value, torch.cat(own)), name


def test_experts_and_routers_are_those_of_every_layer_and_routers_come_only_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    old, new = untrained(*CONV), untrained(*CONV)
    before, runs = {k: v.clone() for k, v in new.state_dict().items()}, given(monkeypatch, old)

    def moved() -> set[str]:
        now = new.state_dict()
        changed = {name for name in now if not torch.equal(now[name], before[name])}
        return {".".join(name.split(".")[:4]) for name in changed}

    layers = [f"blocks.{index}.mixture" for index in (0, 1)]
    assert start_from(new, runs, ["experts"]) == 2 * 2  # kernels and biases
    assert moved() == {f"{layer}.experts" for layer in layers}
    start_from(new, runs, ["blocks"])
    assert not any("router" in name for name in moved())
    start_from(new, runs, ["blocks", "router", "backbone", "head"])
    for name, value in new.state_dict().items():
        assert torch.equal(value, old.state_dict()[name]), name
    freeze(new, ["router"])
    still = {name for name, value in new.named_parameters() if not value.requires_grad}
    assert still == {f"{layer}.router.gate.linear.weight" for layer in layers}
    assert {"blocks.0", "experts", "router", "head"} <= set(part_names(new))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["init_from=nowhere"], "holds no run"),
        (["init_from={run}", "expert.hidden=8"], "wants shape"),
        (["init_from={run}", "init_parts=[experts,memory]"], "'memory'"),
        (["freeze=[expert]"], "parts of the model: "),
        (["init_from=[{run},{run}]"], "wants shape [8,"),
        (["freeze=[backbone,experts,router]", "model=standard"], "in which nothing learns"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    line: list[str],
    expected: str,
    train: Train,
    trained_once: Trained,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = trained_once("model=dense")
    code, _ = train(*(word.format(run=run) for word in line))
    assert code == 2
    assert expected in capsys.readouterr().err
