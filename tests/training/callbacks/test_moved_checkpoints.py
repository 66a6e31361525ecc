"""A run that was moved remembers which score its best weights have."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from moe_lab.training.callbacks.checkpoint import BestCheckpoint, checkpoint


def test_the_best_score_is_kept_in_another_folder(tmp_path: Path) -> None:
    before, now = (checkpoint(str(tmp_path / name / "checkpoints"))[0] for name in ("a", "b"))
    assert isinstance(before, BestCheckpoint)
    assert isinstance(now, BestCheckpoint)
    best = str(tmp_path / "a" / "checkpoints" / "best.ckpt")
    before.best_model_path = before.kth_best_model_path = best
    before.best_model_score = before.kth_value = torch.tensor(0.9)
    before.best_k_models = {best: torch.tensor(0.9)}
    before.loss = 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Lightning warns that it forgets
        now.load_state_dict(before.state_dict())
    assert now.best_model_path == str(tmp_path / "b" / "checkpoints" / "best.ckpt")
    assert now.best_k_models == {now.best_model_path: torch.tensor(0.9)}
    assert (float(now.best_model_score), now.loss) == (torch.tensor(0.9).item(), 0.25)
