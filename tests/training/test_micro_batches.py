"""A step in micro-batches is the step on all its images at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moe_lab.losses.objective import Loss
from moe_lab.training import micro_batches
from moe_lab.training.classifier import Classifier
from moe_lab.training.micro_batches import in_micro_batches
from tests.training.vision import classifier_of

Train = Callable[..., tuple[int, Path]]
IMAGES, MOST = 121, 50  # parts of 41, 40 and 40
DENSE = ("model=dense", "expert.hidden=16")
# Terms of every kind: of counts, of means, of pairs of images, of all experts' outputs.
BALANCED = (
    "model=sparse", "router=top_k", "expert.hidden=16", "loss=specialised",
    "loss.terms.switch_balance.weight=1", "loss.terms.gini.weight=0.1",
    "loss.terms.load.weight=0.1", "loss.terms.mutual_information.weight=1",
    "loss.terms.sample_similarity.weight=1", "loss.terms.orthogonality.weight=0.1",
)  # fmt: skip


def batch(num_images: int = IMAGES) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    images = torch.randn(num_images, 3, 16, 16, generator=draw)
    return images, torch.randint(10, (num_images,), generator=draw)


def learn(classifier: Classifier, most: int, images: Tensor, target: Tensor) -> Loss:
    """Forward and backward of one training step; the gradients are left in the parameters."""
    classifier.train()
    classifier.zero_grad()
    teach = partial(classifier.model.teach, every_expert=classifier.objective.needs_every_expert)
    output = in_micro_batches(teach, classifier.model, images, target, most)
    loss: Loss = classifier.objective(output, target)
    loss.total.backward()
    return loss


def gradients(classifier: Classifier) -> dict[str, Tensor]:
    named = classifier.named_parameters()
    return {name: own.grad.clone() for name, own in named if own.grad is not None}


@pytest.mark.parametrize(
    "words",
    [
        DENSE,
        BALANCED,
        ("model=iwmn",),
        ("model=adaptive_depth", "expert.hidden=16"),
        ("model=vit_moe", "model.depth=2"),
        ("model=sparse", "router=top_k", "expert.hidden=16", "loss.weighting=uncertainty"),
    ],
    ids=lambda words: words[0] + words[-1],
)
def test_loss_and_gradients_are_those_of_all_images(words: tuple[str, ...]) -> None:
    classifier = classifier_of(*words)
    images, target = batch()
    whole = learn(classifier, IMAGES, images, target)
    expected = gradients(classifier)
    parts = learn(classifier, MOST, images, target)
    assert parts.terms.keys() == whole.terms.keys()
    for name, value in whole.terms.items():
        torch.testing.assert_close(parts.terms[name], value, rtol=1e-4, atol=1e-6)
    found = gradients(classifier)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-6, msg=name)


def test_the_mean_of_the_micro_batches_would_be_another_loss() -> None:
    classifier = classifier_of(*BALANCED)
    images, target = batch()
    whole = learn(classifier, IMAGES, images, target).total
    sizes = (50, 50, 21)
    pairs = zip(images.split(sizes), target.split(sizes), strict=True)
    mean = torch.stack([learn(classifier, IMAGES, *part).total for part in pairs]).mean()
    assert (mean - whole).abs() > 1e-3


def test_noise_and_dropout_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = classifier_of(
        "model=sparse", "router=noisy_top_k", "expert.hidden=16", "expert.dropout=0.5"
    )
    found = []
    # Computed again in the backward pass, or kept as it was: the same numbers.
    for checkpoint in (micro_batches.checkpoint, lambda teach, *part, **_: teach(*part)):
        monkeypatch.setattr(micro_batches, "checkpoint", checkpoint)
        torch.manual_seed(3)
        learn(classifier, MOST, *batch())
        found.append(gradients(classifier) | {"next draw": torch.rand(3)})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_running_statistics_see_each_image_once() -> None:
    words = ("model=sparse", "router=sigmoid_balanced", "router.top_k=2", "expert.hidden=16")
    classifier = classifier_of(*words, "backbone=se_resnet", "backbone.channels=[8]")
    learn(classifier, MOST, *batch())
    state = dict(classifier.model.named_buffers())
    tracked = {int(value) for name, value in state.items() if name.endswith("batches_tracked")}
    assert tracked == {3}, "once for each micro-batch, not again in the backward pass"
    assert state["router.counts"].sum() == 2 * IMAGES


def test_what_fits_at_once_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(micro_batches, "checkpoint", refuse)
    learn(classifier_of(*DENSE), IMAGES, *batch())


def test_memory_holds_the_outputs_of_all_but_the_activations_of_none() -> None:
    classifier = classifier_of("model=dense", "expert.hidden=512")
    classifier.train()
    images, target = batch()

    def kept(most: int) -> int:
        """Bytes beside those of the images themselves, which both hold."""
        found = [-images.nbytes]

        def pack(tensor: Tensor) -> Tensor:
            found.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            in_micro_batches(classifier.model.teach, classifier.model, images, target, most)
        return sum(found)

    hidden = 4 * IMAGES * 512  # bytes of the hidden layer alone
    assert kept(IMAGES) > hidden
    assert kept(MOST) < hidden / 10


def weights_after(run: Path) -> dict[str, Tensor]:
    path = run / "checkpoints" / "last.ckpt"
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def steps_of(run: Path) -> int:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return int(state["global_step"])


# 121 images to train.
SMALL = (
    "dataset.source.num_train=134", "dataset.val_fraction=0.1", "optimizer=sgd",
    "optimizer.lr=0.05", "trainer.max_epochs=2",
)  # fmt: skip
ROUTED = ("model=sparse", "router=sigmoid_balanced", "router.bias_rate=0.01",
          "loss.terms.switch_balance.weight=1", "loss.terms.load.weight=1")  # fmt: skip


@pytest.mark.parametrize("words", [DENSE, ROUTED], ids=["dense", "routed"])
@pytest.mark.parametrize(
    ("size", "accumulate", "whole"),
    [(50, 3, 150), (25, 2, 50), (41, 100, 4100)],
    ids=["remainder", "two", "more than there is"],
)
def test_a_run_in_micro_batches_learns_what_one_with_large_batches_does(
    train: Train, words: tuple[str, ...], size: int, accumulate: int, whole: int
) -> None:
    runs = []
    for batch_size, times in ((whole, 1), (size, accumulate)):
        code, run = train(
            *SMALL, *words, f"dataset.batch_size={batch_size}",
            f"trainer.accumulate_grad_batches={times}",
        )  # fmt: skip
        assert code == 0
        runs.append(run)
    assert steps_of(runs[0]) == steps_of(runs[1]) == 2 * -(-121 // whole)
    expected, found = map(weights_after, runs)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    losses = [
        [line["train_epoch_loss"] for line in map(json.loads, lines) if "train_epoch_loss" in line]
        for lines in ((run / "metrics.jsonl").read_text().splitlines() for run in runs)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
