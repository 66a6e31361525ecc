"""What training on pictures adds: mixed labels, mirror images in an evaluation, memory layout and
bfloat16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import moe_lab
from moe_lab.config.check import check_overrides
from moe_lab.data.mixup import partners
from moe_lab.errors import ConfigError
from moe_lab.losses import CrossEntropy, Objective, RouterZ
from moe_lab.losses.mixed import mixed_loss
from moe_lab.models import costs
from moe_lab.training import build
from tests.losses.samples import random_mixture
from tests.training.vision import CONV, classifier_of, random_images

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]


# ---- mixed labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixture_is_cross_entropy_with_both_labels(smoothing: float) -> None:
    output, labels = random_mixture(), torch.tensor([0, 1, 2, 0, 1, 2])
    terms = {
        "cross_entropy": {"weight": 2.0, "term": CrossEntropy(smoothing)},
        "router_z": {"weight": 0.5, "term": RouterZ()},
    }
    objective = Objective(terms)
    loss = mixed_loss(objective, output, labels, partners(labels), 0.3)
    soft = 0.3 * functional.one_hot(labels, 3) + 0.7 * functional.one_hot(partners(labels), 3)
    expected = functional.cross_entropy(output.log_probs, soft, label_smoothing=smoothing)
    torch.testing.assert_close(loss.terms["cross_entropy"], expected.detach())
    # A term without labels is what it is without mixing.
    torch.testing.assert_close(loss.terms["router_z"], RouterZ()(output, labels).detach())
    torch.testing.assert_close(loss.total, 2 * expected + 0.5 * loss.terms["router_z"])


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_share_of_everything_or_nothing_is_the_plain_loss(share: float) -> None:
    output, labels = random_mixture(), torch.tensor([0, 1, 2, 0, 1, 2])
    objective = Objective({"cross_entropy": {"weight": 1.0, "term": CrossEntropy()}})
    plain = objective(output, labels if share else partners(labels))
    loss = mixed_loss(objective, output, labels, partners(labels), share)
    torch.testing.assert_close(loss.total, plain.total)


@pytest.mark.parametrize(
    "model",
    [
        "sparse",
        pytest.param("vit_moe", marks=pytest.mark.slow),
        pytest.param("iwmn", marks=pytest.mark.slow),
    ],
)
def test_mixing_trains_every_kind_of_model(model: str, train: Train) -> None:
    words = (f"model={model}", "dataset.augment.mixup=0.4", "dataset.augment.cutmix=1.0")
    code, run = train("dataset=synthetic", "debug=fast", "report=false", *words, small=False)
    assert code == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracy = [line["train_accuracy"] for line in lines if "train_accuracy" in line]
    assert all(0 <= value <= 1 for value in accuracy)


def test_a_model_that_is_taught_by_labels_refuses_to_mix_them() -> None:
    with pytest.raises(ConfigError, match=r"taught by its one label \(feedback=oracle\)"):
        classifier_of("model=iwmn", "feedback=oracle", "dataset.augment.mixup=0.2")


# ---- mirror images in an evaluation


def test_an_answer_is_the_mean_of_image_and_mirror_image() -> None:
    plain = classifier_of("model=sparse", "router=top_k").eval()
    both = classifier_of("model=sparse", "router=top_k", "test_time_flip=true").eval()
    images = random_images()
    output, mirrored = plain(images), plain(images.flip(-1))
    mean = (output.log_probs.exp() + mirrored.log_probs.exp()) / 2
    found = both(images)
    torch.testing.assert_close(found.log_probs.exp(), mean)
    torch.testing.assert_close(both(images.flip(-1)).log_probs, found.log_probs)
    assert torch.equal(found.routing.weights, output.routing.weights)
    raw = (images * 30 + 128).clamp(0, 255).to(torch.uint8)
    torch.testing.assert_close(both.predict(raw), both.predict(raw.flip(-1)))
    both.train()
    assert torch.equal(both(images).log_probs, plain.train()(images).log_probs)


def test_mirror_images_count_in_the_cost_of_an_answer() -> None:
    plain, both = (
        costs.flops_per_image(classifier_of(*CONV, *words), random_images())
        for words in ([], ["test_time_flip=true"])
    )
    assert both == pytest.approx(2 * plain, rel=0.02)


def test_training_and_eval_agree_on_flipped_answers(train: Train, read_json: ReadJSON) -> None:
    from moe_lab.commands.eval import main

    code, run = train("test_time_flip=true", "dataset.source.noise=0.8")
    assert code == 0
    summary = read_json(run / "summary.json")
    assert main([f"run={run}"]) == 0
    again = read_json(run / "eval_test_best.json")
    assert again["accuracy"] == summary["test_accuracy"]
    assert again["loss"] == pytest.approx(summary["test_loss"], rel=1e-6)
    _, without = train("dataset.source.noise=0.8")
    assert read_json(without / "summary.json")["test_loss"] != summary["test_loss"]
    weights = [moe_lab.load(folder).state_dict() for folder in (run, without)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_points_have_no_mirror_images() -> None:
    config = check_overrides("train", ["dataset=toy2d", "test_time_flip=true"], multirun=False)
    with pytest.raises(ConfigError, match="swap x and y"):
        build.asks_for_flip(config)


# ---- memory layout


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("model=dense", "backbone=resnet18"), marks=pytest.mark.slow),
        pytest.param(("model=dense", "backbone=wide_resnet"), marks=pytest.mark.slow),
        ("model=sparse", "router=top_k", *CONV),
        ("model=conv_moe",),
        ("model=vit_moe",),
    ],
    ids=" ".join,
)
def test_channels_last_changes_the_layout_and_not_the_numbers(words: tuple[str, ...]) -> None:
    plain = classifier_of(*words)
    last = classifier_of(*words, "channels_last=true")
    kernels = [module.weight for module in last.modules() if isinstance(module, nn.Conv2d)]
    assert kernels
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    target = torch.arange(12) % 10
    losses = []
    for classifier in (plain, last):
        torch.manual_seed(2)
        output = classifier.model.teach(classifier._laid_out(random_images()), target)
        loss = classifier.objective(output, target).total
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1])
    for (name, weight), other in zip(plain.named_parameters(), last.parameters(), strict=True):
        if weight.grad is not None and other.grad is not None:
            # Batch norm and ReLU enlarge the rounding of single entries.
            difference = float((weight.grad - other.grad).norm())
            assert difference <= 0.01 * float(weight.grad.norm()) + 1e-5, name


def test_a_run_with_channels_last_loads_and_evaluates(train: Train, read_json: ReadJSON) -> None:
    code, run = train(*CONV, "channels_last=true", "dataset.size=[3,16,16]")
    assert code == 0
    assert read_json(run / "summary.json")["status"] == "done"
    assert moe_lab.load(run).channels_last


# ---- bfloat16


@pytest.mark.parametrize("model", [pytest.param("conv_moe", marks=pytest.mark.slow), "vit_moe"])
def test_bfloat16_trains_with_routers_in_float32(model: str, train: Train) -> None:
    words = ("dataset=synthetic", "dataset.size=[3,16,16]", "debug=fast", "report=false")
    code, run = train(*words, f"model={model}", "trainer.precision=bf16-mixed", small=False)
    assert code == 0
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}
    classifier = moe_lab.load(run)
    with torch.autocast("cpu", torch.bfloat16):
        output = classifier(random_images())
    assert output.log_probs.dtype == torch.float32
    assert math.isfinite(output.log_probs.sum().item())
    for routing in output.decisions.values():
        assert {routing.logits.dtype, routing.probs.dtype, routing.weights.dtype} == {torch.float32}
