"""The training loop for several seeds at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from moe_lab.training.classifier import Batch, scheduled_values
from moe_lab.training.seeds.member import Member
from moe_lab.training.seeds.refusals import CannotBatch
from moe_lab.training.seeds.speed import now
from moe_lab.training.seeds.stack import Found, SeedBatch


def fit(members: Sequence[Member]) -> int:
    """Train all members together; the number of optimizer steps.

    CannotBatch where the loss of a seed becomes NaN, which is for a run of its own to say.
    """
    trainer = members[0].trainer
    batch = SeedBatch([member.classifier for member in members])
    for member in members:
        member.start()
    steps = 0
    assert trainer.max_epochs is not None
    for epoch in range(trainer.max_epochs):
        started = now(trainer.strategy.root_device)
        sums, steps = train_epoch(members, batch, epoch, steps)
        elapsed = now(trainer.strategy.root_device) - started
        for member, own in zip(members, sums, strict=True):
            watch = member.run.stopwatch
            watch.train_seconds += elapsed / len(members)
            watch.images += int(own[2])
            if not bool(own.isfinite().all()):
                raise CannotBatch(f"the training loss of seed {member.seed} became NaN or infinite")
            member.end_epoch(epoch, steps, own, started)
            watch.epochs += 1
    return steps


def train_epoch(
    members: Sequence[Member], batch: SeedBatch, epoch: int, steps: int
) -> tuple[Tensor, int]:
    """[S, 3] summed loss, correct answers and images of each seed; the steps so far."""
    trainer, first = members[0].trainer, members[0].classifier
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    sums = torch.zeros(len(members), 3, device=trainer.strategy.root_device)
    for index, (images, target) in enumerate(stacked_batches(members, epoch)):
        batch.follow(steps / max(1, first.total_steps - 1))
        is_logged = (steps + 1) % every == 0
        # Before the step, which moves them.
        moving = [
            scheduled_values(member.classifier.model, batch.optimizer) if is_logged else {}
            for member in members
        ]
        found = batch.train(images, target, trainer.gradient_clip_val)
        size = target.new_full((len(members),), target.shape[1])
        sums += torch.stack((found["loss"].detach() * size, found["correct"], size), dim=1)
        steps += 1
        for seed, member in enumerate(members):
            if is_logged:
                member.log({**logged(found, seed), **moving[seed]}, steps - 1, epoch)
            routings = {name: weights[seed] for name, weights in found["routings"].items()}
            member.watch(routings, index, steps, epoch)
    return sums, steps


def stacked_batches(members: Sequence[Member], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The next batch of every seed, in its own order. [S, B, ...], [S, B]"""
    for member in members:
        member.images.sampler.set_epoch(epoch)
    for batches in zip(*(member.images for member in members), strict=True):
        yield stack(batches)


def stack(batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Batches (images, labels) as one; CannotBatch where a batch holds more than that."""
    if any(len(batch) != 2 for batch in batches):
        raise CannotBatch("the batches of this data set hold more than images and labels")
    images, target = zip(*batches, strict=True)
    return torch.stack(images), torch.stack(target)


def logged(found: Found, seed: int) -> dict[str, Tensor]:
    """What a run logs of a training step."""
    return {
        "train_loss": found["loss"][seed].detach(),
        **{f"train_{name}": values[seed] for name, values in found["terms"].items()},
        **{f"weight_{name}": values[seed] for name, values in found["weights"].items()},
    }
