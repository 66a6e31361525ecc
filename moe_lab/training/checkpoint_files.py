"""How checkpoints reach the disk: beside the target, complete, with their checksum, and the one
before is kept until the next.

Lightning's own writer copies from the folder for temporary files, and a kill in the copy leaves
half a file where a whole one was.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from moe_lab.errors import UserError
from moe_lab.training.checksums import PREVIOUS, Checksums
from moe_lab.training.disk import write_atomically


class CheckpointFiles(CheckpointIO):
    """Saves and loads the checkpoints of a run directory."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        target = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()

        def make_way() -> None:
            Checksums(target.parent.parent).expect(target, digest)
            keep_previous(target)

        write_atomically(target, content, before=make_way)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def previous_of(path: Path) -> Path:
    """Where the checkpoint before this one is kept."""
    return path.with_name(f"{path.stem}{PREVIOUS}{path.suffix}")


def keep_previous(path: Path) -> None:
    """Give a checkpoint that is about to be replaced a second name."""
    if not path.is_file():
        return
    second = path.with_name(f".{path.name}.second.partial")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # a file system without links: for a moment only the previous one is there
        os.replace(path, previous_of(path))
        return
    os.replace(second, previous_of(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file, which holds tensors and plain containers only; verified."""
    if not path.is_file():
        raise UserError(
            f"there is no checkpoint {path}",
            "the weights of a run that trained for at least one epoch",
            "train again, or name another run",
        )
    Checksums(path.parent.parent).verify(path)
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, IndexError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else "empty file"
        raise UserError(
            f"the checkpoint {path} cannot be read: {first_line}",
            "a complete file written by moe_lab",
            "use checkpoint=last or best, whichever is whole, or train again",
        ) from None
    return content
