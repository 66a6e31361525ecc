"""What a model costs: parameters that exist, parameters that an image touches, and arithmetic an
image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.models import Mixture, Model


def params_total(model: Model) -> int:
    """All parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def params_active(model: Model, used_share: Sequence[float] | None) -> int:
    """Parameters that an average image touches, given the share of images on which each expert is
    used [E].
    """
    if not isinstance(model, Mixture) or used_share is None:
        return params_total(model)
    per_expert = model.experts.parameters_per_expert()
    idle = sum((1 - used) * size for used, size in zip(used_share, per_expert, strict=True))
    return round(params_total(model) - idle)


@torch.inference_mode()
def flops_per_image(model: Model, images: Tensor) -> int:
    """Floating-point operations of one prediction, counted while the model runs on `images`.

    Counted, not derived: only work that is really done shows up. A multiply-add is two operations;
    element-wise work and sorting are not counted.
    """
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(images)
    model.train(was_training)
    return round(counter.get_total_flops() / len(images))
