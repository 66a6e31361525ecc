"""What a model costs: all its parameters, the parameters and the arithmetic per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from moe_lab.experts import ExpertBank
from moe_lab.models import Model


def params_total(model: Model) -> int:
    """All parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def params_active(model: Model, used_share: Mapping[str, Sequence[float]], images: Tensor) -> int:
    """Parameters that an evaluation uses for an average image, given the share of images on
    which each expert of each layer is used, {layer: [E]}.

    What an evaluation of `images` never reads, such as a router's noise, is not active. An expert
    counts by its share, whether or not it is used on these images.
    """
    read = storages_read(model, images)
    banks = [layer.experts for layer in model.routed_layers().values()]
    experts = {id(weight) for bank in banks for weight in cast(nn.Module, bank).parameters()}
    unread = sum(
        weight.numel()
        for weight in model.parameters()
        if id(weight) not in experts and storage_of(weight) not in read
    )
    # Subtracted from all, not added up: whatever is not known to be idle counts as active.
    idle = 0.0
    for name, layer in model.routed_layers().items():
        if name in used_share and getattr(layer, "skips_unused", True):
            sizes = cast(ExpertBank, layer.experts).parameters_per_expert()
            pairs = zip(used_share[name], sizes, strict=True)
            idle += sum((1 - used) * size for used, size in pairs)
    return round(params_total(model) - unread - idle)


@torch.inference_mode()
def storages_read(model: nn.Module, images: Tensor) -> set[int]:
    """The memory of every tensor that an operation reads while a model evaluates images."""
    was_training = model.training
    model.eval()
    with torch.compiler.set_stance("force_eager"), ReadTensors() as read:
        answer_to(model, images)
    model.train(was_training)
    return read.storages


def answer_to(model: nn.Module, images: Tensor) -> None:
    """Evaluate images. A model that is told domains is told one: every expert costs the same."""
    inner = getattr(model, "model", model)
    if not (isinstance(inner, Model) and inner.reads_domain()):
        model(images)
        return
    domain = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if isinstance(model, Model):
        model.with_domain(images, domain)
    else:  # a classifier, which hands it on
        model(images, domain=domain)


class ReadTensors(TorchDispatchMode):
    """Notes the memory of all arguments. Views and casts of a weight are operations on it, so none
    is missed, and asking for its shape or device is not, so none is counted for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        tensors = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        self.storages.update(map(storage_of, tensors))
        return function(*args, **(kwargs or {}))


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


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
        answer_to(model, images)
    model.train(was_training)
    return round(counter.get_total_flops() / len(images))
