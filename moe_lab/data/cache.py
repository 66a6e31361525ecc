"""Decoded images in one file, which is used only if it is what was written."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch

from moe_lab.data.sources import ImageSets, fingerprint

TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONAL = ("val_images", "val_labels")


def read_cache(path: Path) -> ImageSets | None:
    """The cached images, nameless; None where the file is absent or not what was written."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, weights_only=True)
        tensors = {name: state[name] for name in TENSORS}
        tensors |= {name: state[name] for name in OPTIONAL if name in state}
        names, notes = tuple(state["class_names"]), tuple(state["notes"])
        sets = ImageSets(**tensors, class_names=names, name="", copy="", notes=notes)
        if fingerprint(sets) == state["fingerprint"]:
            return sets
        reason = "its content does not match its fingerprint"
    except Exception as error:  # a damaged file fails in any part of the unpickling
        reason = type(error).__name__
    print(f"rebuilding the damaged image cache {path} ({reason})", file=sys.stderr)
    return None


def write_cache(path: Path, sets: ImageSets) -> None:
    """Puts the file into place whole, or says why it cannot."""
    tensors = {name: getattr(sets, name) for name in (*TENSORS, *OPTIONAL)}
    # A clone, because a view would drag the whole storage along.
    state: dict[str, object] = {n: t.clone() for n, t in tensors.items() if t is not None}
    state |= {"class_names": list(sets.class_names), "notes": list(sets.notes)}
    state["fingerprint"] = fingerprint(sets)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # The images are in memory: a full disk only costs the next start its time.
        print(f"image cache {path} not written: {error}", file=sys.stderr)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
