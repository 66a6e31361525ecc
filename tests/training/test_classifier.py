"""The LightningModule: what it decays, predicts and stores."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from moe_lab.errors import UserError
from moe_lab.experts import ExpertList, MLPExperts
from moe_lab.losses import CrossEntropy, Objective
from moe_lab.models import Mixture, Single
from moe_lab.models.combine import CombineLogits
from moe_lab.models.costs import flops_per_image, params_active, params_total
from moe_lab.networks.backbones import Conv, Flatten
from moe_lab.routers import LinearGate, TopKRouter
from moe_lab.training.classifier import Classifier, parameter_groups
from moe_lab.training.schedules import Plateau, WarmupCosine
from tests.conftest import Train


def objective() -> Objective:
    return Objective({"cross_entropy": {"weight": 1, "term": CrossEntropy()}})


def single() -> Single:
    return Single(Conv((1, 8, 8), [2, 2], 6), MLPExperts(1, 6, 4, 3))


def test_only_weight_matrices_decay() -> None:
    model = single()
    decayed, free = parameter_groups(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all("bias" not in names[id(p)] and p.ndim >= 2 for p in decayed["params"])
    assert free["weight_decay"] == 0.0
    # one bias in the backbone's linear layer, two in the expert, scale and shift of two batch norms
    assert len(free["params"]) == 1 + 2 + 4
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_frozen_parameters_are_left_out() -> None:
    model = single()
    model.backbone.requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(model)) == 4


def test_predict_normalises_raw_images_with_the_statistics_of_training() -> None:
    torch.manual_seed(0)
    model = Single(Flatten((1, 2, 2), 4), MLPExperts(1, 4, 4, 3))
    classifier = Classifier(model, objective(), 3, mean=[0.25], std=[0.5]).eval()
    images = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)
    normalised = (torch.tensor([[[[0.0, 0.2], [0.4, 1.0]]]]) - 0.25) / 0.5
    torch.testing.assert_close(classifier.predict(images), model(normalised).log_probs.exp())


def test_bytes_floats_and_pictures_of_the_same_images_get_the_same_answer() -> None:
    torch.manual_seed(0)
    config = {"dataset": {"shape": [1, 8, 8], "image_size": None}}
    classifier = Classifier(single(), objective(), 3, [0.3], [0.2], config=config)
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    expected = classifier.predict(images)
    assert expected.std(0).max() > 1e-3  # the same answer to all would prove nothing
    pictures = [Image.fromarray(image[0].numpy()) for image in images]
    for same in (images / 255, images.numpy(), images.double().numpy() / 255, pictures):
        torch.testing.assert_close(classifier.predict(same), expected)
    torch.testing.assert_close(classifier.predict(images[3]), expected[3:4])
    torch.testing.assert_close(classifier.predict(images[3, 0]), expected[3:4])
    with pytest.raises(UserError, match=r"float32 from 0 to 255"):
        classifier.predict(images.float())
    with pytest.raises(UserError, match=r"shape \[1, 4, 16\]"):
        classifier.predict(images[0].view(1, 4, 16))


def test_predict_uses_running_statistics_and_leaves_the_mode_alone() -> None:
    classifier = Classifier(single(), objective(), 3, [0.0], [1.0]).train()
    images = torch.randint(0, 255, (5, 1, 8, 8), dtype=torch.uint8)
    whole = classifier.predict(images)
    torch.testing.assert_close(classifier.predict(images[:1]), whole[:1])
    assert classifier.model.training


@pytest.mark.parametrize(
    ("schedule", "key"), [(WarmupCosine(), "interval"), (Plateau(), "monitor")]
)
def test_schedules_are_stepped_by_what_they_depend_on(schedule: object, key: str) -> None:
    classifier = Classifier(
        single(), objective(), 3, [0.0], [1.0],
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1), schedule=schedule,  # type: ignore[arg-type]
        steps_per_epoch=10, total_steps=100,
    )  # fmt: skip
    configured = classifier.configure_optimizers()
    expected = {"interval": "step", "monitor": "val_loss"}[key]
    assert configured["lr_scheduler"][key] == expected


def mixture(experts: MLPExperts | ExpertList, top_k: int) -> Mixture:
    router = TopKRouter(LinearGate(16, 4), top_k)
    return Mixture(Flatten((1, 4, 4), 16), router, experts, CombineLogits(), 4)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_flops_and_active_parameters_grow_with_the_experts_in_use(top_k: int) -> None:
    torch.manual_seed(0)
    model = mixture(MLPExperts(4, 16, 8, 3), top_k)
    gate, weights = 16 * 4, 16 * 8 + 8 * 3
    images = torch.randn(64, 1, 4, 4)
    assert flops_per_image(model, images) == 2 * (gate + top_k * weights)
    used = (model(images).routing.weights != 0).float().mean(0).tolist()
    assert params_active(model, {"router": used}, images) == gate + top_k * (weights + 8 + 3)
    assert params_total(model) == gate + 4 * (weights + 8 + 3)


def test_active_parameters_of_unequal_experts_follow_their_use() -> None:
    experts = ExpertList(
        [torch.nn.Linear(16, 3), *(torch.nn.Linear(16, 3, bias=False) for _ in range(3))], 3
    )
    model = mixture(experts, 1)
    gate = 16 * 4
    shares = {"router": [0.5, 0.5, 0.0, 0.0]}
    assert params_active(model, shares, torch.randn(8, 1, 4, 4)) == round(
        gate + 0.5 * (16 * 3 + 3) + 0.5 * 16 * 3
    )


def test_every_validation_records_each_experts_share(train: Train) -> None:
    code, run = train("model=sparse", "model.num_experts=4")
    assert code == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = [f"val_share_{expert}" for expert in range(4)]
    shares = [[line[name] for name in names] for line in lines if names[0] in line]
    assert len(shares) == 2  # after the epoch, and of the best weights
    assert [sum(row) for row in shares] == pytest.approx([1, 1])
