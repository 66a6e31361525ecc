"""Pictures that more than one part holds, so that a test asks what training has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from torch import Tensor

NAMED_PAIRS = 3  # pairs that a note names


def shared_between(
    images: Mapping[str, Tensor], labels: Mapping[str, Tensor], paths: Mapping[str, Sequence[str]]
) -> list[str]:
    """A sentence for each two parts with identical pictures, pixel by pixel.

    `images` are [B, channels, height, width] uint8, `labels` [B], both by part, as are `paths`.
    """
    digests = {part: [pixel_sum(image) for image in images[part]] for part in images}
    notes = []
    parts = [part for part in ("train", "val", "test") if part in images]
    for place, first in enumerate(parts):
        rows = {key: row for row, key in reversed(list(enumerate(digests[first])))}
        for second in parts[place + 1 :]:
            pairs = [(rows[k], row) for row, k in enumerate(digests[second]) if k in rows]
            if not pairs:
                continue
            named = ", ".join(
                f"{paths[second][b]} = {paths[first][a]}" for a, b in pairs[:NAMED_PAIRS]
            )
            more = " and so on" if len(pairs) > NAMED_PAIRS else ""
            torn = sum(int(labels[first][a] != labels[second][b]) for a, b in pairs)
            classes = f", {torn:,} of them in another class" if torn else ""
            notes.append(
                f"{len(pairs):,} of {len(images[second]):,} pictures of {second} are also in "
                f"{first}, pixel by pixel{classes}: what is measured on {second} is too "
                f"favourable ({named}{more})"
            )
    return notes


def pixel_sum(image: Tensor) -> bytes:
    return blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
