"""The evaluation as a whole: batches, devices, layers, passes, and what a run keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_sum

from moe_lab.metrics.classification import ClassificationStatistics
from moe_lab.metrics.evaluation import Evaluation
from moe_lab.metrics.passes import PassStatistics, StepStatistics
from moe_lab.metrics.routing import RoutingStatistics
from moe_lab.outputs import AdaptiveOutput, IterativeOutput, MixtureOutput, Output, Routing

E, C, T, B = 4, 7, 3, 90
Part = slice


@dataclass(frozen=True)
class TwoLayers(Output):
    """A model with a routing in each of two layers."""

    first: Routing
    second: Routing

    @property
    def routings(self) -> Mapping[str, Routing]:
        return {"first": self.first, "second": self.second}


def routing(num_experts: int, seed: int) -> Routing:
    logits = torch.randn(B, num_experts, generator=torch.Generator().manual_seed(seed))
    probs = (2 * logits).softmax(-1)
    weights = torch.where(probs > 0.2, probs, 0.0)
    weights[0] = 0
    return Routing(logits, probs, weights)


PASSES = torch.randn(T, B, C, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
TARGET = torch.randint(0, C, (B,), generator=torch.Generator().manual_seed(1))
NORM = torch.rand(T, B, generator=torch.Generator().manual_seed(2))
STEPS = torch.randint(1, T + 1, (B,), generator=torch.Generator().manual_seed(3))
ROUTING = routing(E, 4)


def rows(whole: Routing, part: Part) -> Routing:
    return Routing(whole.logits[part], whole.probs[part], whole.weights[part])


def iterative(part: Part) -> IterativeOutput:
    passes = PASSES[:, part]
    return IterativeOutput(passes[-1], passes, NORM[:, part], STEPS[part])


def feed(metric: Metric, part: Part) -> None:
    """Update any of the four metrics with some of the images."""
    if isinstance(metric, ClassificationStatistics):
        metric.update(PASSES[-1, part], TARGET[part])
    elif isinstance(metric, RoutingStatistics):
        correct = PASSES[-1, part].argmax(-1) == TARGET[part]
        metric.update(rows(ROUTING, part), TARGET[part], correct)
    elif isinstance(metric, PassStatistics):
        metric.update(iterative(part), TARGET[part])
    else:
        metric.update(STEPS[part])


MAKERS: dict[str, Callable[..., Any]] = {
    "classification": lambda **kwargs: ClassificationStatistics(C, **kwargs),
    "routing": lambda **kwargs: RoutingStatistics(E, C, **kwargs),
    "passes": lambda **kwargs: PassStatistics(T, **kwargs),
    "steps": lambda **kwargs: StepStatistics(**kwargs),
}


def flat(tables: Any) -> list[float]:
    """All numbers of nested dicts and lists in order."""
    if isinstance(tables, dict):
        tables = list(tables.values())
    if isinstance(tables, list):
        return [number for item in tables for number in flat(item)]
    return [float(tables)]


def assert_same(metric: Any, reference: Any) -> None:
    assert metric.compute() == pytest.approx(reference.compute(), rel=1e-5)
    np.testing.assert_allclose(flat(metric.tables()), flat(reference.tables()), rtol=1e-5)


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return MAKERS[request.param]


@pytest.mark.parametrize("size", [1, 7, 89])
def test_batch_size_does_not_change_a_value(make: Callable[..., Any], size: int) -> None:
    whole, parts = make(), make()
    feed(whole, Part(0, B))
    for start in range(0, B, size):
        feed(parts, Part(start, start + size))
    assert_same(parts, whole)


def test_states_are_sums_so_devices_do_not_change_a_value(make: Callable[..., Any]) -> None:
    whole, other = make(), make()
    feed(whole, Part(0, B))
    feed(other, Part(50, B))
    answers = iter([getattr(other, name) for name in other._reductions])

    def gather(state: Tensor, group: Any) -> list[Tensor]:
        return [state, next(answers)]

    metric = make(dist_sync_fn=gather, distributed_available_fn=lambda: True)
    feed(metric, Part(0, 50))
    assert all(reduce is dim_zero_sum for reduce in metric._reductions.values())
    metric.compute()  # the second device is asked once, and not again for the tables
    assert_same(metric, whole)


def test_reset_forgets_everything(make: Callable[..., Any]) -> None:
    metric, fresh = make(), make()
    feed(metric, Part(0, 40))
    metric.compute()
    metric.reset()
    feed(metric, Part(40, B))
    feed(fresh, Part(40, B))
    assert_same(metric, fresh)


def evaluated(output: Output, num_classes: int = C) -> Evaluation:
    evaluation = Evaluation(num_classes)
    evaluation.update(output, TARGET[: len(output.log_probs)])
    return evaluation


def test_a_model_without_routing_has_answers_only() -> None:
    evaluation = evaluated(Output(PASSES[-1]))
    alone = ClassificationStatistics(C)
    feed(alone, Part(0, B))
    assert evaluation.compute() == alone.compute()
    assert evaluation.tables().keys() == {"confusion", "calibration", "layers"}
    assert evaluation.used_share() == {}


def test_the_values_of_a_mixture_are_those_of_answers_and_router() -> None:
    evaluation = evaluated(MixtureOutput(PASSES[-1], ROUTING))
    answers, router = MAKERS["classification"](), MAKERS["routing"]()
    feed(answers, Part(0, B))
    feed(router, Part(0, B))
    assert evaluation.compute() == {**answers.compute(), **router.compute()}
    layer = evaluation.tables()["layers"]["router"]
    right = np.nansum(np.array(layer["accuracy_by_class"]) * np.array(layer["first"]))
    correct = (PASSES[-1].argmax(-1) == TARGET)[1:]  # the first image has no expert
    assert right == pytest.approx(int(correct.sum()))
    used = (ROUTING.weights != 0).double().mean(0).tolist()
    assert evaluation.used_share()["router"] == pytest.approx(used)


def test_several_layers_have_values_of_their_own() -> None:
    second = routing(6, 5)
    found = evaluated(TwoLayers(PASSES[-1], ROUTING, second)).compute()
    alone = evaluated(MixtureOutput(PASSES[-1], second)).compute()
    assert found["second_load_cv"] == alone["load_cv"]
    assert found["first_load_cv"] != found["second_load_cv"]
    assert "load_cv" not in found


def test_passes_and_steps_are_those_of_the_model() -> None:
    evaluation = evaluated(iterative(Part(0, B)))
    found = evaluation.compute()
    assert found[f"pass_{T}_accuracy"] == pytest.approx(found["accuracy"])
    assert found["mean_steps"] == pytest.approx(STEPS.double().mean().item())
    assert len(evaluation.tables()["passes"]["modulation_norm"]) == T
    adaptive = AdaptiveOutput(PASSES[-1], ROUTING, steps=STEPS + 0.5)
    assert evaluated(adaptive).compute()["mean_steps"] == pytest.approx(found["mean_steps"] + 0.5)


def test_a_batch_of_one_gives_numbers_only() -> None:
    mixture = MixtureOutput(PASSES[-1, 1:2], rows(ROUTING, Part(1, 2)))
    for output in (iterative(Part(0, 1)), mixture):
        assert all(np.isfinite(value) for value in evaluated(output).compute().values())


def test_a_run_keeps_the_tables_of_its_test(
    train: Callable[..., tuple[int, Path]], read_json: Callable[[Path], dict[str, Any]]
) -> None:
    code, run = train("model=sparse")
    assert code == 0
    summary, tables = read_json(run / "summary.json"), read_json(run / "tables.json")
    confusion = np.array(tables["confusion"])
    assert confusion.sum() == 100
    assert np.trace(confusion) / 100 == pytest.approx(summary["test_accuracy"])
    layer = tables["layers"]["router"]
    assert max(layer["load"]) == pytest.approx(summary["max_load_share"])
    assert sum(layer["used_share"]) == pytest.approx(summary["experts_per_image"])
    assert summary.keys() >= {
        "f1", "calibration_error", "top_5_accuracy", "specialisation", "router_margin",
        "class_entropy", "max_load_ratio",
    }  # fmt: skip
