"""The control that is told the domain of each image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from moe_lab.config.check import check_overrides
from moe_lab.data import ImageData, PatchClustersSource
from moe_lab.data.resident import domain_of
from moe_lab.errors import ConfigError, UserError
from moe_lab.metrics.domains import DomainStatistics
from moe_lab.models.costs import flops_per_image
from moe_lab.routers import OracleRouter
from moe_lab.train import main
from moe_lab.training.build import Length, build_classifier, training_length
from moe_lab.training.load_run import load

SMALL = (
    "dataset=patch_clusters", "dataset.source.num_train=200", "dataset.source.num_test=60",
    "dataset.source.patch_size=8", "dataset.batch_size=50", "trainer.max_epochs=1", "trainer=cpu",
    "report=false", "callbacks=minimal", "expert.hidden=4", "loss=task",
)  # fmt: skip
ORACLE = (*SMALL, "model=sparse", "router=oracle", "model.num_experts=4")


def test_an_image_goes_to_the_expert_with_the_number_of_its_domain() -> None:
    router = OracleRouter(num_experts=4, num_domains=3)
    routing = router(torch.randn(3, 5), torch.tensor([2, 0, 1]))
    expected = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    for part in (routing.logits, routing.probs, routing.weights):
        assert torch.equal(part, expected)
    assert torch.equal(router(torch.randn(2, 5)).weights, torch.full((2, 4), 0.25))


def test_fewer_experts_than_domains_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.num_experts must be at least 4, got 3"):
        OracleRouter(num_experts=3, num_domains=4)
    with pytest.raises(ConfigError, match=r"must be at least 4, got 2"):
        build(*ORACLE[:-1], "model.num_experts=2")


def build(*words: str, length: Length | None = None) -> object:
    config = check_overrides("train", list(words), multirun=False)
    config.dataset.mean, config.dataset.std = [0.5], [1.0]
    return build_classifier(config, length or training_length(config, 4))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("model=sparse", "router=oracle", "dataset=synthetic"), "dataset=synthetic does not know"),
        (("model=adaptive_depth", "router=oracle", *SMALL[:-2]), "AdaptiveDepth.* not hand on"),
        ((*ORACLE, "dataset.augment.mixup=0.5"), "make one image of two"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build(*words)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oracle") / "run"
    assert main([*ORACLE, "trainer.accumulate_grad_batches=2", f"run_dir={folder}"]) == 0
    return folder


def test_a_run_is_routed_by_domain_in_training_and_test(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["domain_adjusted_information"] == pytest.approx(1.0)
    assert summary["domain_information_p_value"] < 0.05
    tables = json.loads((run / "tables.json").read_text())
    table = torch.tensor(tables["layers"]["router"]["first_by_domain"])
    source = PatchClustersSource(patch_size=8, num_train=200, num_test=60)
    domains = source.load().test_domains
    assert domains is not None
    assert torch.equal(table, torch.diag(torch.bincount(domains, minlength=4)))
    # One expert per image: 32 -> 4 -> 2, a multiply-add is two operations.
    assert summary["flops_per_image"] == 2 * (32 * 4 + 4 * 2)


def test_predictions_follow_the_domain_that_is_told(run: Path) -> None:
    classifier = load(run).eval()
    data = ImageData(PatchClustersSource(patch_size=8, num_train=200, num_test=60))
    batch = next(iter(data.loader("test")))
    domain = domain_of(batch)
    assert domain is not None
    with torch.inference_mode():
        told = classifier(batch[0], domain=domain).routing.weights.argmax(-1)  # type: ignore[attr-defined]
    assert torch.equal(told, domain)
    assert flops_per_image(classifier.model, batch[0]) == 2 * (32 * 4 + 4 * 2)
    with pytest.raises(UserError, match="router=oracle"):
        classifier.predict(torch.zeros(1, 4, 8))


def test_information_on_the_domain_is_that_of_a_hand_made_table() -> None:
    statistics = DomainStatistics(num_experts=2, num_domains=2)
    weights = torch.tensor([[1.0, 0.0]] * 6 + [[0.2, 0.8]] * 4 + [[0.0, 0.0]])
    domain = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    statistics.update(weights, domain)
    assert statistics.first.tolist() == [[5, 1], [0, 4]]  # the last image has no expert
    values = statistics.compute()
    # H(E) = H(0.6), H(D) = 1, H(E, D) = H(0.5, 0.1, 0.4): 0.9710 + 1 - 1.3610 bits
    seen = values["domain_information"] + values["domain_information_null"]
    assert seen == pytest.approx(0.6100, abs=1e-4)
