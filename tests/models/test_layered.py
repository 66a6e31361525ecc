"""Every router and every loss for models with mixtures in their body: sound, or refused by name;
and what a run with several layers reports.
"""

from __future__ import annotations

import json
import re

import pytest
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from moe_lab.analysis.audit import Subject, audit, compose_subject
from moe_lab.config.check import CommandLineError, check_overrides
from moe_lab.config.compose import assemble
from moe_lab.config.help import options
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError
from moe_lab.models.costs import flops_per_image, params_active, params_total
from moe_lab.outputs import LayeredOutput
from moe_lab.routers import ExpertOutputRouter
from tests.conftest import Train

SMALL = ("dataset=synthetic", "dataset.size=[1,8,12]", "num_images=32")
SIZES = {
    "conv_moe": ("model.channels=[6,8]", "backbone.out_features=4"),
    "vit_moe": (
        "model.mlp_hidden=16", "expert.hidden=16", "backbone.out_features=16", "model.num_heads=2",
    ),
}  # fmt: skip
MODELS = ("conv_moe", "vit_moe")
NEEDS_EVERYONE = {
    "competition", "em", "loss_prediction", "diversity", "orthogonality", "sample_similarity",
}  # fmt: skip


def subject(*typed: str) -> Subject:
    register_resolvers()
    sizes = SIZES.get(typed[0].removeprefix("model="), ())
    if any(word.startswith("backbone=") for word in typed):
        sizes = ()
    return compose_subject(check_overrides("audit", [*SMALL, *sizes, *typed], multirun=False))


def chosen(model: str, group: str, option: str) -> DictConfig:
    """A model of small sizes with one of its parts chosen."""
    config = assemble(model, {group: option}, SMALL)
    for setting in SIZES[model]:
        key, _, value = setting.partition("=")
        if group != "expert" or not key.startswith("expert"):
            OmegaConf.update(config, key, json.loads(value))
    return config


def failures(case: Subject) -> list[str]:
    return [f"{v.name}: {v.detail}" for v in audit(case) if v.passed is False]


@pytest.mark.parametrize("router", options("router"))
@pytest.mark.parametrize("model", ["vit_moe", pytest.param("conv_moe", marks=pytest.mark.slow)])
def test_every_router_is_sound_inside_a_network_or_refused(model: str, router: str) -> None:
    config = chosen(model, "router", router)
    if issubclass(get_class(config.router._target_), ExpertOutputRouter):
        with pytest.raises(ConfigError, match=r"decides from|expert\.out_features"):
            compose_subject(config)
        return
    if get_class(config.router._target_).reads_domain:
        with pytest.raises(ConfigError, match="does not hand on"):
            compose_subject(config)
        return
    assert failures(compose_subject(config)) == []


@pytest.mark.parametrize(
    "expert",
    [
        pytest.param(option, marks=[] if option in ("mlp", "mixed", "conv") else pytest.mark.slow)
        for option in options("expert")
    ],
)
def test_every_expert_is_sound_on_tokens_or_refused(expert: str) -> None:
    config = chosen("vit_moe", "expert", expert)
    if "in_shape" in config.expert:
        with pytest.raises(ConfigError, match="need the pixels of an image"):
            compose_subject(config)
        return
    assert failures(compose_subject(config)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        "model=vit_moe model.capacity_factor=1.0",
        "model=vit_moe model.capacity_factor=0.5 router=noisy_top_k",
        "model=vit_moe model.moe_every=1 model.depth=3 model.dropout=0.1",
        "model=vit_soft_moe",
        "model=vit_soft_moe model.slots=1 loss.terms.entropy.weight=0.1",
        "model=conv_moe model.mixing=kernels",
        "model=conv_moe model.mixing=kernels router=softmax",
        "model=conv_moe model.channels=8 gate=mlp",
        "model=conv_moe router=top_k router.top_k=1",
    ],
)
def test_variants_are_sound(typed: str) -> None:
    assert failures(subject(*typed.split())) == []


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("model=vit_moe backbone=conv", "use backbone=patch"),
        ("model=vit_moe model.num_heads=5", "divide the width of a token, 16, got 5"),
        ("model=vit_moe gate=conv", "gate=conv reads images"),
        ("model=conv_moe backbone=flatten", "use backbone=stem"),
        ("model=conv_moe backbone=patch", "use backbone=stem"),
        ("model=standard backbone=stem", "use model=conv_moe"),
        ("model=dense backbone=stem", "use model=conv_moe"),
        ("model=conv_moe model.channels=[4,4,4,4]", r"1\.\.3 blocks for 8x12"),
        ("model=conv_moe expert=mlp", "model=conv_moe uses a expert"),
        ("model=vit_soft_moe router=top_k", "model=vit_soft_moe uses a router"),
        ("model=vit_moe combine=logits", "model=vit_moe uses a combine"),
        ("model=vit_moe model.moe_every=5", "expected int 1..model.depth = 4"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(typed: str, reason: str) -> None:
    with pytest.raises((ConfigError, CommandLineError), match=reason):
        subject(*typed.split())


ROUTING_TERMS = sorted(
    OmegaConf.to_container(assemble("standard", {"loss": "unbalanced"}, SMALL).loss.terms)  # type: ignore[union-attr]
)


@pytest.mark.parametrize("term", ROUTING_TERMS)
@pytest.mark.parametrize("model", MODELS)
def test_every_loss_term_trains_layers_or_is_refused(model: str, term: str) -> None:
    config = chosen(model, "loss", "unbalanced")
    config.loss.terms[term].weight = 0.5
    if term in NEEDS_EVERYONE:
        with pytest.raises(ConfigError, match=rf"loss\.terms\.{term} needs \w+, which model=\w+"):
            compose_subject(config)
        return
    case = compose_subject(config)
    assert case.step().isfinite()
    weight = next(p for n, p in case.model.named_parameters() if n.endswith("gate.linear.weight"))
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_loss_on_routing_is_the_mean_over_layers(model: str) -> None:
    from moe_lab.losses import RouterZ, SwitchBalance
    from moe_lab.losses.switch_balance import switch_balance

    case = subject(f"model={model}")
    output = case.model(case.images)
    assert isinstance(output, LayeredOutput)
    assert len(output.decisions) == 2
    alone = [switch_balance(routing) for routing in output.decisions.values()]
    value = SwitchBalance()(output, case.target)
    torch.testing.assert_close(value, (alone[0] + alone[1]) / 2)
    squares = [
        routing.logits.logsumexp(-1).square().mean() for routing in output.decisions.values()
    ]
    torch.testing.assert_close(RouterZ()(output, case.target), (squares[0] + squares[1]) / 2)


def test_each_token_counts_with_the_label_of_its_image() -> None:
    from moe_lab.losses import LabelAssignment

    case = subject("model=vit_moe")
    output = case.model(case.images)
    probs = [routing.probs.view(32, 6, 8) for routing in output.decisions.values()]
    owner = case.target * 8 // 10
    expected = torch.stack([-p[torch.arange(32), :, owner].log().mean() for p in probs]).mean()
    torch.testing.assert_close(LabelAssignment()(output, case.target), expected)


@pytest.mark.parametrize("typed", ["model=vit_moe", "model=conv_moe"])
def test_counted_flops_fall_with_top_k(typed: str) -> None:
    cases = [subject(typed, f"router.top_k={k}") for k in (1, 2, 8)]
    flops = [flops_per_image(case.model, case.images) for case in cases]
    # Everything else costs the same: seven and six more experts, not one and a few.
    assert flops[2] - flops[1] == pytest.approx(6 * (flops[1] - flops[0]), rel=1e-6)
    assert flops[0] < flops[1] < flops[2]


def test_mixing_kernels_costs_the_same_for_every_top_k() -> None:
    typed = ("model=conv_moe", "model.mixing=kernels")
    few, many = (subject(*typed, f"router.top_k={k}") for k in (1, 8))
    assert flops_per_image(few.model, few.images) == flops_per_image(many.model, many.images)


@pytest.mark.parametrize("model", MODELS)
def test_active_parameters_are_those_of_the_experts_in_use_in_every_layer(model: str) -> None:
    case = subject(f"model={model}")
    layers = case.model.routed_layers()
    banks = [sum(p.numel() for p in layer.experts.parameters()) for layer in layers.values()]
    half = {name: [1.0] * 4 + [0.0] * 4 for name in layers}
    everything = params_total(case.model)
    assert params_active(case.model, half, case.images) == everything - sum(banks) // 2
    first = {next(iter(layers)): [0.25] * 8}
    assert params_active(case.model, first, case.images) == everything - 3 * banks[0] // 4


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_of_one_image_is_predicted_and_trained_on(model: str) -> None:
    case = subject(f"model={model}")
    case.target = case.target[:1]
    assert case.step(case.images[:1]).isfinite()
    assert case.evaluate(case.images[:1]).shape == (1, 10)


@pytest.mark.parametrize("model", MODELS)
def test_every_layer_draws_its_own_router_and_experts(model: str) -> None:
    case = subject(f"model={model}", *(["model.channels=[8,8]"] if model == "conv_moe" else []))
    first, second = case.model.routed_layers().values()
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert len(pairs) >= 3
    assert all(not torch.equal(a, b) for a, b in pairs)


RUN = (
    "dataset.size=[1,8,12]", "model.num_experts=4", "report=true", "trainer.max_epochs=2",
)  # fmt: skip


@pytest.mark.parametrize("model", [pytest.param("conv_moe", marks=pytest.mark.slow), "vit_moe"])
def test_a_run_reports_every_layer(model: str, train: Train) -> None:
    sizes = ["model.capacity_factor=1.0", "expert.hidden=16"] if model == "vit_moe" else []
    small = [word for word in SYNTHETIC if not word.startswith("expert")]
    code, run = train(*small, f"model={model}", *RUN, *sizes, small=False)
    assert code == 0
    summary = json.loads((run / "summary.json").read_text())
    names = ["block_1", "block_3"] if model == "vit_moe" else ["block_0", "block_1"]
    tables = json.loads((run / "tables.json").read_text())["layers"]
    assert sorted(tables) == names
    for name in names:
        assert summary[f"{name}_load_cv"] >= 0
        assert len(tables[name]["load"]) == 4
        if model == "vit_moe":
            assert 0 < summary[f"{name}_dropped_share"] < 1
            assert sum(tables[name]["token_load"]) == pytest.approx(1)
        else:
            assert summary[f"{name}_experts_per_image"] == pytest.approx(2)
    logged = (run / "metrics.jsonl").read_text()
    assert f"val_{names[1]}_load_cv" in logged
    if model == "conv_moe":
        assert summary["params_active"] < summary["params_total"]
    page = (run / "report.html").read_text()
    assert all(re.search(name, page) for name in names)


SYNTHETIC = (
    "dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
    "trainer.accelerator=cpu",
)  # fmt: skip
