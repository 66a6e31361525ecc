"""What classes were called in configurations that earlier versions recorded."""

from __future__ import annotations

from typing import Any

# The start of a dotted name then, and now; the first that fits is taken.
RENAMED = {
    "moe_lab.backbones.": "moe_lab.networks.backbones.",
    "moe_lab.callbacks.figures": "moe_lab.analysis.panels.send_figures.figures",
    "moe_lab.callbacks.": "moe_lab.training.callbacks.",
    "moe_lab.combine.": "moe_lab.models.combine.",
    "moe_lab.configuration.": "moe_lab.config.",
    "moe_lab.feedback.": "moe_lab.models.feedback.",
    "moe_lab.layers.": "moe_lab.models.layers.",
    "moe_lab.loggers.": "moe_lab.training.loggers.",
    "moe_lab.modulation.": "moe_lab.models.modulation.",
    "moe_lab.optimizers.": "moe_lab.training.optimizers.",
    "moe_lab.schedules.": "moe_lab.training.schedules.",
}


def with_present_names(node: Any) -> Any:
    """A recorded configuration, as plain containers, in which every `_target_` is called as now."""
    if isinstance(node, dict):
        return {
            key: present_name(value)
            if key == "_target_" and isinstance(value, str)
            else with_present_names(value)
            for key, value in node.items()
        }
    return [with_present_names(item) for item in node] if isinstance(node, list) else node


def has_former_names(text: str) -> bool:
    """Whether a recorded file calls some class as earlier versions did."""
    return any(f"_target_: {then}" in text for then in RENAMED)


def present_name(target: str) -> str:
    """What a class is called now."""
    for then, now in RENAMED.items():
        if target.startswith(then):
            return now + target.removeprefix(then)
    return target
