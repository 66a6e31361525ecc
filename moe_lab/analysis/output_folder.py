"""Where the files of an analysis go; known before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig


def output_folder(request: DictConfig) -> Path:
    """`out`, or a folder of the run named for the split."""
    if request.out is not None:
        return Path(str(request.out))
    suffix = "" if request.checkpoint == "best" else f"_{request.checkpoint}"
    return Path(str(request.run)) / f"analysis_{request.split}{suffix}"
