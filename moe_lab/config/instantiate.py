"""The one door to Hydra's `instantiate`: what may not be built is refused before anything is."""

from __future__ import annotations

from typing import Any

from hydra.utils import instantiate as build_by_hydra
from omegaconf import OmegaConf

from moe_lab.config.targets import refuse_targets, refuse_targets_of_part


def instantiate(node: Any, **arguments: Any) -> Any:
    """What a node describes, given plain containers; ConfigError where it may not be built."""
    # Resolved once and here, so that what is checked is what is built, whatever it refers to.
    content = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    refuse_targets_of_part(content)
    return build_by_hydra(content, _convert_="all", **arguments)


def refuse_foreign(config: Any) -> None:
    """ConfigError where a whole configuration asks for something that may not be built."""
    refuse_targets(OmegaConf.to_container(config, resolve=True))
