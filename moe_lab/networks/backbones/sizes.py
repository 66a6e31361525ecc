"""The sizes of image that backbones accept."""

from __future__ import annotations

from collections.abc import Sequence


def check_size(name: str, in_shape: Sequence[int], smallest: int) -> None:
    """Refuse images with fewer pixels per side than a backbone can shrink to maps of 2x2: for one
    pixel of one image, batch norm has nothing to average.
    """
    if min(in_shape[1:]) < smallest:
        raise ValueError(
            f"backbone={name} shrinks images of at least {smallest}x{smallest} pixels, but these "
            f"have {in_shape[1]}x{in_shape[2]}: use backbone=conv with fewer channels, or flatten"
        )


def per_stage(name: str, value: int | Sequence[int], num_stages: int) -> list[int]:
    """One positive number for each stage, from one for all or a list."""
    values = [value] * num_stages if isinstance(value, int) else list(value)
    if len(values) != num_stages or min(values) < 1:
        raise ValueError(
            f"backbone.{name} must be a positive number, or one for each of {num_stages} stages, "
            f"got {value}"
        )
    return values
