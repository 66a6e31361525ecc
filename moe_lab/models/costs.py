"""What a model costs: all its parameters, the parameters and the arithmetic per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.experts import ExpertBank
from moe_lab.models import Model


def params_total(model: Model) -> int:
    """All parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def params_active(model: Model, used_share: Mapping[str, Sequence[float]]) -> int:
    """Parameters that an average image uses, given the share of images on which each expert of
    each layer is used, {layer: [E]}.
    """
    # Subtracted from all, not added up: whatever is not known to be idle counts as active.
    idle = 0.0
    for name, layer in model.routed_layers().items():
        if name in used_share and getattr(layer, "skips_unused", True):
            sizes = cast(ExpertBank, layer.experts).parameters_per_expert()
            pairs = zip(used_share[name], sizes, strict=True)
            idle += sum((1 - used) * size for used, size in pairs)
    return round(params_total(model) - idle)


@torch.inference_mode()
def flops_per_image(model: nn.Module, images: Tensor) -> int:
    """Floating-point operations of one prediction, counted while a model, or a classifier with all
    that its prediction takes, runs on `images` [B, channels, height, width].

    Counted, not derived: only work that is really done shows up. A multiply-add is two operations;
    element-wise work and sorting are not counted.
    """
    was_training = model.training
    model.eval()
    # Not compiled: what runs inside compiled code cannot be seen.
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        model(images)
    model.train(was_training)
    return round(counter.get_total_flops() / len(images))
