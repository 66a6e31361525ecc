"""Tries whether several seeds at once compute what each of them computes alone."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moe_lab.networks.progress import follow
from moe_lab.training.classifier import Classifier, parameter_groups
from moe_lab.training.seeds.refusals import CannotBatch
from moe_lab.training.seeds.stack import SeedBatch, TrainingStep

FRACTIONS = (0.0, 0.5, 1.0)  # of training: schedules change what a step computes
# Float32 sums in another order differ by about 1e-6 of their size. A part of the gradient whose
# true value is 0 is all rounding: it is measured against the whole.
OF_ITSELF, OF_ALL = 1e-3, 1e-5


def probe(classifiers: Sequence[Classifier], images: Tensor, target: Tensor) -> None:
    """CannotBatch where training these classifiers together would not be training each alone.

    Compares losses, gradients, buffers and optimizer steps on images [S, B, ...] and on the first
    two of them, with which experts go unused. The classifiers themselves are not touched.
    """
    batch = SeedBatch(copy.deepcopy(list(classifiers)))
    alone = [classifier.train() for classifier in copy.deepcopy(list(classifiers))]
    place = Place()
    for classifier in alone:
        classifier.trainer = place  # type: ignore[assignment]
        classifier.train_sums = torch.zeros(3, device=images.device)
    for fraction in FRACTIONS:
        for size in (2, target.shape[1]):
            batch.follow(fraction)
            for classifier in alone:
                follow(classifier, fraction)
            compare_steps(batch, alone, images[:, :size], target[:, :size])
    compare_optimizers(classifiers)
    refuse_random_evaluation(alone[0], images[0])


class Place:
    """What a classifier's own training step asks its trainer: not a step to log anything at."""

    global_step, log_every_n_steps = 0, 2


def compare_steps(
    batch: SeedBatch, alone: Sequence[Classifier], images: Tensor, target: Tensor
) -> None:
    """One step of all seeds against a step of each."""
    batch.optimizer.zero_grad()
    before = random_state(images)
    try:
        together = batch.forward(images, target)["loss"]  # [S]
        together.sum().backward()
    except Exception as error:
        raise CannotBatch(why(error)) from error
    for seed, classifier in enumerate(alone):
        classifier.zero_grad()
        loss = classifier.training_step((images[seed], target[seed]), 0)["loss"]
        loss.backward()
        refuse_difference({"loss": together[seed]}, {"loss": loss})
        grads = {name: p.grad for name, p in classifier.named_parameters()}
        for name, stacked in batch.parameters.items():
            if (stacked.grad is None) != (grads[name] is None):
                raise CannotBatch(f"{name} has no gradient where no image reaches it")
        own = {n: p.grad[seed] for n, p in batch.parameters.items() if p.grad is not None}
        refuse_difference(own, {name: g for name, g in grads.items() if g is not None})
        buffers = {name: b for name, b in classifier.named_buffers() if name in batch.buffers}
        refuse_difference({name: batch.buffers[name][seed] for name in buffers}, buffers)
    if not torch.equal(before, random_state(images)):
        raise CannotBatch("a training step draws random numbers")


def compare_optimizers(classifiers: Sequence[Classifier]) -> None:
    """Two long steps along the same made-up gradients."""
    batch = SeedBatch(copy.deepcopy(list(classifiers)))
    lengthen(batch.optimizer)
    generator = torch.Generator().manual_seed(0)
    grads = [
        {n: torch.randn(p.shape, generator=generator).to(p.device) for n, p in made.items()}
        for made in [batch.parameters] * 2
    ]
    for grad in grads:
        for name, parameter in batch.parameters.items():
            parameter.grad = grad[name].clone() if parameter.requires_grad else None
        batch.optimizer.step()
    for seed, classifier in enumerate(copy.deepcopy(list(classifiers))):
        step = TrainingStep(classifier)
        assert classifier.optimizer is not None
        optimizer = classifier.optimizer(parameter_groups(step.model, step.objective))
        lengthen(optimizer)
        for grad in grads:
            for name, parameter in step.named_parameters():
                parameter.grad = grad[name][seed].clone() if parameter.requires_grad else None
            optimizer.step()
        own = {name: parameter.detach()[seed] for name, parameter in batch.parameters.items()}
        try:
            refuse_difference(own, {n: p.detach() for n, p in step.named_parameters()})
        except CannotBatch:
            name = type(optimizer).__name__
            raise CannotBatch(f"optimizer {name} does not treat each number by itself") from None


def lengthen(optimizer: Optimizer) -> None:
    """Make steps long enough to show beside the weights, whatever the schedule starts with."""
    for group in optimizer.param_groups:
        group["lr"] = 0.1


def refuse_random_evaluation(classifier: Classifier, images: Tensor) -> None:
    """Draws in a validation would follow those of the seeds before."""
    before = random_state(images)
    with torch.no_grad():
        classifier.eval()(images)
    if not torch.equal(before, random_state(images)):
        raise CannotBatch("the model draws random numbers when it is evaluated")


def refuse_difference(together: Mapping[str, Tensor], alone: Mapping[str, Tensor]) -> None:
    """CannotBatch where tensors of the same name differ by more than rounding."""
    whole = sum(size(value) ** 2 for value in alone.values()) ** 0.5
    for name, value in alone.items():
        apart = size(together[name].detach().double() - value.detach().double())
        if not apart <= OF_ITSELF * size(value) + OF_ALL * whole:  # so that NaN is refused as well
            raise CannotBatch(f"{name} comes out differently for several seeds at once")


def size(value: Tensor) -> float:
    return float(value.detach().double().norm())


def random_state(like: Tensor) -> Tensor:
    """The state of the generator that models on this device draw from."""
    if like.device.type == "cuda":
        return torch.cuda.get_rng_state(like.device)
    return torch.get_rng_state()


def why(error: Exception) -> str:
    """One line that names the part of the model in which a step for several seeds failed."""
    owners = [
        type(frame.f_locals["self"]).__name__
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if isinstance(frame.f_locals.get("self"), nn.Module)
    ]
    part = owners[-1] if owners else "the model"
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "random operation" in text:
        return f"{part} draws random numbers while it trains"
    return f"{part} cannot compute several seeds at once: {text}"
