"""Many configurations at little cost: each option is composed once, then put together as needed.

Composing takes Hydra a third of a second; a grid of compositions needs thousands.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from moe_lab.config.check import check_overrides
from moe_lab.config.resolvers import register_resolvers

CARRIED = {"router": ("router", "gate", "temperature")}  # nodes that an option brings with it


def assemble(model: str, chosen: Mapping[str, str], settings: tuple[str, ...]) -> DictConfig:
    """What `model=... GROUP=OPTION ... settings` composes to, for the parts of a model."""
    content = dict(_plain(model, "", "", settings))
    for group, option in chosen.items():
        nodes = _plain("standard", group, option, settings)
        names = CARRIED.get(group, (group,))
        content |= {name: nodes[name] for name in names if name in nodes}
    return OmegaConf.create(content)


@functools.cache
def _plain(model: str, group: str, option: str, settings: tuple[str, ...]) -> dict[str, Any]:
    register_resolvers()
    typed = [f"{group}={option}"] if group else []
    config = check_overrides("audit", [*settings, f"model={model}", *typed], multirun=False)
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
