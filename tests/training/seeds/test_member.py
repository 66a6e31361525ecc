"""Which epoch of a seed is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from moe_lab.training.seeds.member import Member

NAN = float("nan")


@pytest.mark.parametrize(
    ("mode", "values", "kept"),
    [
        ("max", [0.5, 0.4, 0.5, 0.6], [0, 3]),
        ("min", [0.5, 0.4, 0.4, 0.6, 0.3], [0, 1, 4]),
        ("min", [NAN, 2.0, NAN], [0, 1]),
        ("max", [NAN, NAN], [0]),
    ],
)
def test_an_epoch_is_kept_if_it_is_strictly_better_than_all_before(
    mode: str, values: list[float], kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Member, "save", lambda self, name, epoch, steps: saved.append(epoch))
    member = Member.__new__(Member)
    callbacks = [ModelCheckpoint(monitor="watched", mode=mode), ModelCheckpoint(monitor=None)]
    member.trainer = SimpleNamespace(callbacks=callbacks)  # type: ignore[assignment]
    member.best = None
    for epoch, value in enumerate(values):
        member.seen = {"watched": value}
        member.keep_best(epoch, steps=epoch + 1)
    assert saved == kept
