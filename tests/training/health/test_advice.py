"""Advice: right about the trouble, and every key it names is there."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from moe_lab.config.check import check_overrides
from moe_lab.config.compose import assemble
from moe_lab.config.help import options
from moe_lab.config.resolvers import register_resolvers
from moe_lab.training.health import Usage, advise
from moe_lab.training.health.advice import value_of

COLLAPSED = Usage(
    200,
    used_share=np.array([1.0, 0, 0, 0, 0, 0, 0, 0]),
    share=np.array([1.0, 0, 0, 0, 0, 0, 0, 0]),
    idle=np.array([0, 300, 300, 250, 300, 300, 300, 300]),
)
ONE_UNUSED = Usage(
    200,
    used_share=np.full(8, 1 / 7) * (np.arange(8) != 3),
    share=np.full(8, 1 / 7) * (np.arange(8) != 3),
    idle=np.where(np.arange(8) == 3, 200, 0),
)
BALANCED = Usage(200, np.full(8, 0.25), np.full(8, 1 / 8), np.zeros(8, dtype=np.int64))
KEY = re.compile(r"\b[a-z_]+(?:\.[a-z_]+)+\b")
CHOICE = re.compile(r"\b([a-z]+)=([a-z_0-9]+)")


def composed(model: str, chosen: dict[str, str], *settings: str) -> dict[str, Any]:
    config = OmegaConf.to_container(assemble(model, chosen, settings), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def test_the_example_of_the_readme() -> None:
    config = composed("sparse", {}, "loss.terms.switch_balance.weight=0.01")
    assert advise(ONE_UNUSED, config) == [
        "expert 3 unused for 200 steps: raise loss.terms.switch_balance.weight (now 0.01) or "
        "router.noise_std (now 1)"
    ]


def test_balanced_experts_need_no_advice() -> None:
    assert advise(BALANCED, composed("sparse", {})) == []


def test_collapse_names_the_heavy_expert_and_counts_the_unused() -> None:
    unused, heavy = advise(COLLAPSED, composed("sparse", {}))
    assert unused.startswith("7 of 8 experts unused for 250 steps: raise loss.terms.")
    assert heavy.startswith("expert 0 has 100% of the weight: raise loss.terms.")
    assert heavy.endswith("or lower optimizer.lr (now 0.002)")


def test_a_faint_expert_is_not_called_unused() -> None:
    share = np.array([0.0001, *[0.9999 / 7] * 7])
    seen = Usage(200, np.ones(8), share, np.zeros(8, dtype=np.int64))
    (line,) = advise(seen, composed("standard", {}))
    assert line.startswith("expert 0 below 1 % of a fair share: raise ")
    assert "temperature.value (now 1)" in line


def test_terms_that_are_off_are_named_with_a_first_weight() -> None:
    (line,) = advise(ONE_UNUSED, composed("sparse", {"loss": "unbalanced"}))
    assert "raise loss.terms.switch_balance.weight (now 0, try 0.05)" in line


def test_a_term_in_use_comes_before_one_that_is_off() -> None:
    config = composed("sparse", {"loss": "unbalanced"}, "loss.terms.gini.weight=0.2")
    assert "loss.terms.gini.weight (now 0.2)" in advise(ONE_UNUSED, config)[0]


def test_where_a_weight_decays_its_end_is_what_to_raise() -> None:
    settings = ("loss.terms.switch_balance.schedule.end=0.0",)
    (line,) = advise(ONE_UNUSED, composed("sparse", {}, *settings))
    assert "raise loss.terms.switch_balance.schedule.end (now 0)" in line


@pytest.mark.parametrize("router", ["hash", "random", "uniform"])
def test_a_router_that_learns_nothing_has_to_be_replaced(router: str) -> None:
    (line,) = advise(ONE_UNUSED, composed("standard", {"router": router}))
    assert line.endswith("this router is fixed, choose one that learns, such as router=noisy_top_k")


def test_a_frozen_router_has_to_be_freed() -> None:
    (line,) = advise(ONE_UNUSED, composed("sparse", {}, "freeze=[router]"))
    assert line.endswith("the router does not learn, take it out of freeze")


def routed() -> list[tuple[str, dict[str, str]]]:
    models = [model for model in options("model") if "router" in composed(model, {})]
    cases: list[tuple[str, dict[str, str]]] = [(model, {}) for model in [*models, "soft_moe"]]
    cases += [("standard", {"router": router}) for router in options("router")]
    cases += [("sparse", {"loss": loss}) for loss in ("task", "unbalanced", "specialised")]
    return cases


@pytest.mark.slow
def test_no_advice_names_a_key_that_the_composition_lacks() -> None:
    cases = routed()
    assert len(cases) > 30
    for (model, chosen), usage in itertools.product(cases, (COLLAPSED, ONE_UNUSED)):
        config = composed(model, chosen)
        found = advise(usage, config)
        assert found, (model, chosen)
        for line in found:
            keys, choices = KEY.findall(line), CHOICE.findall(line)
            assert keys or choices or "freeze" in line, line
            for key in keys:
                assert isinstance(value_of(config, key), int | float), (model, chosen, key)
                assert f"{key} (now {value_of(config, key):g}" in line
            for group, option in choices:
                assert option in options(group)


@pytest.mark.parametrize("router", ["noisy_top_k", "cosine", "tree", "gumbel", "threshold"])
def test_the_advice_can_be_typed(router: str) -> None:
    register_resolvers()
    (line,) = advise(ONE_UNUSED, composed("standard", {"router": router}))
    keys = KEY.findall(line)
    assert len(keys) == 2
    typed = [f"{key}=0.75" for key in keys]
    check_overrides("train", ["model=standard", f"router={router}", *typed], multirun=False)
