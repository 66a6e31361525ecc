"""The few functions that configuration files may call: `${moe.product:...}` and friends."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from omegaconf import OmegaConf


def product(sizes: Sequence[int] | None) -> int | None:
    """The number of values in an array of this shape; null while the shape is not known."""
    return None if sizes is None else math.prod(sizes)


def env_int(name: str, default: int) -> int:
    """An environment variable as a whole number."""
    return int(os.environ.get(name, default))


def node_count() -> int:
    """The number of machines in a run that torchrun started."""
    return max(1, env_int("WORLD_SIZE", 1) // env_int("LOCAL_WORLD_SIZE", 1))


def register_resolvers() -> None:
    """Make the functions known to OmegaConf; may be called again."""
    for name, function in (
        ("moe.product", product),
        ("moe.env_int", env_int),
        ("moe.node_count", node_count),
    ):
        OmegaConf.register_new_resolver(name, function, replace=True)
