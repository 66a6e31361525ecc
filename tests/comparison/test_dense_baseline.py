"""The matched dense baseline of a mixture: its width is the largest that the budget allows."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from moe_lab.comparison.dense_baseline import (
    BUDGETS,
    compose_training,
    count_cost,
    find_width,
    match_dense,
)
from moe_lab.errors import ConfigError

SMALL = ("dataset=synthetic", "expert.hidden=16", "router.top_k=2")
MLP = 784 + 1 + 10  # parameters of a perceptron for each hidden unit, beside 10 output biases


def test_active_flops_by_hand() -> None:
    # two experts 2 (784 + 10) 16 each, gate and noise 2 * 784 * 8 each where they are computed
    mixture = count_cost(compose_training(SMALL), "active_flops")
    baseline = match_dense(SMALL, "active_flops")
    assert baseline.mixture_cost == mixture
    assert mixture >= 2 * 2 * 794 * 16 + 2 * 784 * 8
    assert baseline.hidden == mixture // (2 * 794)
    assert baseline.cost == 2 * 794 * baseline.hidden


def test_total_and_active_parameters_by_hand() -> None:
    expert = MLP * 16 + 10
    total = match_dense(SMALL, "total_parameters")
    gate = 784 * 8
    assert total.mixture_cost == 8 * expert + gate + gate  # the second sizes the noise
    assert total.hidden == (total.mixture_cost - 10) // MLP
    active = match_dense(SMALL, "active_parameters")
    assert active.mixture_cost == 2 * expert + gate  # no evaluation reads the noise
    assert active.hidden == (active.mixture_cost - 10) // MLP


@pytest.mark.parametrize("budget", BUDGETS)
def test_one_hidden_unit_more_would_cost_more_than_the_mixture(budget: str) -> None:
    baseline = match_dense(SMALL, budget)
    *words, _ = baseline.overrides
    wider = count_cost(compose_training([*words, f"expert.hidden={baseline.hidden + 1}"]), budget)
    assert baseline.cost <= baseline.mixture_cost < wider
    nearest = match_dense(SMALL, budget, side="nearest")
    assert nearest.hidden in (baseline.hidden, baseline.hidden + 1)
    assert abs(nearest.cost - baseline.mixture_cost) <= abs(baseline.cost - baseline.mixture_cost)


def test_what_both_models_have_is_kept_and_the_rest_is_dropped() -> None:
    shared = {
        "dataset=synthetic", "optimizer=sgd", "optimizer.lr=0.01", "expert.dropout=0.1",
        "trainer.max_epochs=7", "loss.terms.cross_entropy.term.label_smoothing=0.1",
    }  # fmt: skip
    baseline = match_dense(
        [*shared, "expert.hidden=16", "router=top_k", "loss=unbalanced", "model.num_experts=4",
         "seed=3", "init_from=outputs/a"],
        "active_flops",
    )  # fmt: skip
    assert set(baseline.overrides) == {*shared, "model=dense", f"expert.hidden={baseline.hidden}"}
    assert baseline.command.startswith("python -m moe_lab.train model=dense ")


def test_an_experiment_is_carried_over_by_its_values() -> None:
    baseline = match_dense(["experiment=smoke"], "total_parameters")
    assert "dataset.source.num_train=600" in baseline.overrides
    assert not any("num_experts" in word or "experiment" in word for word in baseline.overrides)
    OverridesParser.create().parse_overrides(baseline.overrides)


def test_parts_that_only_a_mixture_can_use_become_the_dense_default() -> None:
    baseline = match_dense(
        ("dataset=synthetic", "expert=shared", "expert.hidden=8"), "active_flops"
    )
    assert not any(word.startswith(("backbone=", "expert=")) for word in baseline.overrides)


def test_a_width_that_must_be_divisible_stays_divisible() -> None:
    baseline = match_dense(
        ["dataset=synthetic", "expert=attention", "expert.hidden=16"], "total_parameters"
    )
    assert baseline.hidden % 4 == 0
    assert baseline.cost <= baseline.mixture_cost


def test_a_recorded_cost_replaces_the_count() -> None:
    baseline = match_dense(SMALL, "active_flops", cost=2 * 794 * 100)
    assert (baseline.hidden, baseline.mixture_cost) == (100, 2 * 794 * 100)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (("model=dense",), "is a dense network itself"),
        (("expert=deep",), "expert.hidden=\\[256, 128\\]"),
        (("model=soft_moe",), "reads averages of patches"),
    ],
)
def test_what_has_no_baseline_is_refused(overrides: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        match_dense(overrides, "active_flops")


def test_the_search_finds_the_edge() -> None:
    for target in (1, 2, 3, 9, 10, 1000, 1023, 1024, 1025):
        assert find_width(lambda width: width, target, 1, "below") == target
    assert find_width(lambda width: 10 * width, 16, 1, "below") == 1
    assert find_width(lambda width: 10 * width, 16, 1, "nearest") == 2
    assert find_width(lambda width: 10 * width, 14, 1, "nearest") == 1
    assert find_width(lambda width: width, 11, 4, "below") == 8
    with pytest.raises(ConfigError, match="even a dense network"):
        find_width(lambda width: 10 * width, 9, 1, "below")
    with pytest.raises(ConfigError, match="no width"):
        find_width(lambda width: 1, 9, 1, "below")


SMALL_CONV = (
    "model=conv_moe", "dataset=synthetic", "dataset.size=[3,16,16]", "model.channels=[8,16]",
    "backbone.out_features=8",
)  # fmt: skip
SMALL_VIT = (
    "model=vit_moe", "dataset=synthetic", "dataset.size=[1,8,8]", "backbone.patch_size=4",
    "backbone.out_features=16", "expert.hidden=12", "router.top_k=2",
)  # fmt: skip


def test_the_baseline_of_routed_convolutions_is_the_same_network_with_convolutions_for_all() -> (
    None
):
    baseline = match_dense([*SMALL_CONV, "router.top_k=2", "optimizer.lr=0.01"], "active_flops")
    assert {"model=conv_moe", "router=uniform", "loss=task"} <= set(baseline.overrides)
    assert baseline.overrides[-1] == "model.num_experts=2"  # two of eight, and two for all
    assert "optimizer.lr=0.01" in baseline.overrides
    assert 0.95 < baseline.cost / baseline.mixture_cost <= 1  # the gates are gone


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vit_moe", "vit_soft_moe"])
def test_the_baseline_of_a_vision_transformer_keeps_its_blocks(model: str) -> None:
    words = [f"model={model}", *SMALL_VIT[1:]]
    words = [w for w in words if model == "vit_moe" or not w.startswith("router")]
    baseline = match_dense(words, "active_flops")
    typed = set(baseline.overrides)
    assert {"model=vit_moe", "router=uniform", "loss=task", "model.num_experts=1"} <= typed
    assert "backbone.out_features=16" in typed
    if model == "vit_moe":  # two of width 12 for each token, or one of 24 and what the gates cost
        assert 24 <= baseline.hidden <= 32
    assert baseline.cost <= baseline.mixture_cost


@pytest.mark.slow
@pytest.mark.parametrize("model", ["iwmn", "recurrent", "adaptive_depth"])
def test_the_baseline_of_a_model_of_many_passes_has_a_whole_loss(model: str) -> None:
    size = ["dataset=synthetic", "dataset.size=[1,8,8]"]
    baseline = match_dense([*size, f"model={model}"], "active_flops")
    assert not any(word.startswith("loss.") for word in baseline.overrides)
    smoothed = "loss.terms.cross_entropy.term.label_smoothing=0.1"
    assert smoothed in match_dense([*size, f"model={model}", smoothed], "active_flops").overrides
