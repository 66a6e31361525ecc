from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moe_lab.data.augment import Augment
from moe_lab.data.resident import ResidentLoader, batch_bounds


def numbered(num_images: int, **options: Any) -> ResidentLoader:
    """Images whose pixels and label are their own number, so a batch shows its rows."""
    labels = torch.arange(num_images)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 6, 6)
    mean, std = torch.tensor([0.5]), torch.tensor([0.25])
    options = {"batch_size": 8, "shuffle": True, "seed": 3, **options}
    return ResidentLoader(images, labels, options.pop("batch_size"), mean, std, **options)


def labels_of(loader: ResidentLoader, epoch: int = 0) -> list[list[int]]:
    loader.sampler.set_epoch(epoch)
    return [labels.tolist() for _, labels in loader]


def test_each_epoch_visits_every_image_once():
    for epoch in range(3):
        visited = [row for batch in labels_of(numbered(50), epoch) for row in batch]
        assert sorted(visited) == list(range(50))


def test_order_depends_on_seed_and_epoch_only():
    assert labels_of(numbered(50), 4) == labels_of(numbered(50), 4)
    assert labels_of(numbered(50), 4) != labels_of(numbered(50), 5)
    assert labels_of(numbered(50), 4) != labels_of(numbered(50, seed=4), 4)


def test_order_ignores_the_global_generator():
    torch.manual_seed(1)
    first = labels_of(numbered(50))
    torch.manual_seed(2)
    assert labels_of(numbered(50)) == first


def test_evaluation_keeps_the_order_of_the_images():
    assert labels_of(numbered(10, shuffle=False)) == [[*range(8)], [8, 9]]


def test_pixels_are_normalised_with_the_given_mean_and_std():
    images, _ = next(iter(numbered(8, shuffle=False)))
    expected = (torch.arange(8) / 255 - 0.5) / 0.25
    torch.testing.assert_close(images[:, 0, 0, 0], expected)
    assert images.shape == (8, 1, 6, 6)
    assert images.dtype == torch.float32


@pytest.mark.parametrize("augment", [None, Augment(shift=2, flip=True, cutout=2)])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_see_the_batches_of_one_process(world_size: int, augment: Augment | None):
    whole = list(numbered(49, augment=augment, batch_size=10))
    parts = [
        list(numbered(49, augment=augment, batch_size=10, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for step, (images, labels) in enumerate(whole):
        for rank in range(world_size):
            part_images, part_labels = parts[rank][step]
            assert torch.equal(part_labels, labels[rank::world_size])
            assert torch.equal(part_images, images[rank::world_size])


def test_augmentation_depends_on_seed_epoch_and_step():
    loader = numbered(16, augment=Augment(shift=3))
    loader.images.fill_(255)  # the order no longer shows in the pixels, only the shifts do

    def pixels(epoch: int) -> list[Tensor]:
        loader.sampler.set_epoch(epoch)
        return [images for images, _ in loader]

    assert torch.equal(pixels(0)[1], pixels(0)[1])
    assert not torch.equal(pixels(0)[0], pixels(0)[1])
    assert not torch.equal(pixels(0)[1], pixels(1)[1])


def test_a_restored_position_continues_the_same_epoch_and_is_used_once():
    loader = numbered(40, augment=Augment(shift=2))
    loader.sampler.set_epoch(7)
    whole = list(loader)
    running = iter(loader)
    next(running), next(running)
    state = loader.state_dict()
    assert state == {"position": 2}

    resumed = numbered(40, augment=Augment(shift=2))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    batches = iter(resumed)
    resumed.sampler.set_epoch(7)  # Lightning sets the epoch after it asked for the iterator
    rest = list(batches)
    assert len(rest) == 3
    for (images, labels), (images_before, labels_before) in zip(rest, whole[2:], strict=True):
        assert torch.equal(images, images_before)
        assert torch.equal(labels, labels_before)
    assert len(list(resumed)) == 5


def test_a_finished_epoch_stands_at_the_start_of_the_next():
    loader = numbered(40)
    list(loader)
    assert loader.state_dict() == {"position": 0}


def test_a_last_training_batch_of_one_image_is_left_out():
    assert [len(batch) for batch in labels_of(numbered(17))] == [8, 8]
    assert [len(batch) for batch in labels_of(numbered(18))] == [8, 8, 2]
    assert [len(batch) for batch in labels_of(numbered(17, shuffle=False))] == [8, 8, 1]
    assert [len(batch) for batch in labels_of(numbered(18, drop_last=True))] == [8, 8]
    assert len(numbered(17)) == 2
    assert len(numbered(1)) == 1


def test_no_rank_gets_an_empty_evaluation_batch_or_a_single_training_image():
    assert batch_bounds(33, 8, False, 4, False)[-1] == (24, 33)
    assert batch_bounds(31, 8, False, 4, False)[-1] == (24, 31)
    assert batch_bounds(35, 8, True, 2, False)[-1] == (24, 32)
    assert batch_bounds(36, 8, True, 2, False)[-1] == (32, 36)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="batch_size must be >= 4"):
        numbered(8, batch_size=2, world_size=4)
    with pytest.raises(ValueError, match=r"rank must be in 0\.\.1, got 2"):
        numbered(8, rank=2, world_size=2)


Seen = list[tuple[int, list[int]]]


def batches_seen(folder: Path, resume: Path | None = None) -> Seen:
    """(epoch, labels) of every step up to 15 that Lightning trains, saving after each one."""
    from lightning import LightningModule, Trainer

    class Recorder(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen: Seen = []

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            self.seen.append((self.current_epoch, batch[1].tolist()))
            return self.weight * batch[0].mean()

        def on_train_batch_end(self, *_: object) -> None:
            self.trainer.save_checkpoint(folder / f"{self.global_step}.ckpt")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    recorder = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=15,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(recorder, numbered(40), ckpt_path=resume, weights_only=True)
    return recorder.seen


def test_lightning_resumes_at_the_exact_batch(tmp_path: Path):
    whole = batches_seen(tmp_path)
    assert [epoch for epoch, _ in whole] == [0] * 5 + [1] * 5 + [2] * 5
    assert whole[0][1] != whole[5][1]
    for stop in (3, 5, 8):  # 5 batches an epoch: inside one, at its end, inside the next
        rest = batches_seen(tmp_path / "resumed", tmp_path / f"{stop}.ckpt")
        assert rest == whole[stop:]
    twice = batches_seen(tmp_path / "twice", tmp_path / "resumed" / "9.ckpt")
    assert twice == whole[9:]
