"""torch.compile for the network that trains; its names and checkpoints stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from moe_lab.errors import UserError
from moe_lab.experts import ExpertBank
from moe_lab.models import Model


def compile_model(model: Model, device: torch.device) -> None:
    """Compile a model in place; UserError where the device has no compiler.

    Of a mixture, backbone, routers and whatever else comes without experts is compiled. How many
    images an expert is asked about changes with each batch, and each would be compiled anew.
    """
    check_compiler(device)
    if model.routed_layers():
        for part in parts_without_experts(model):
            part.compile()
        return
    model.compile()
    if type(model).teach is not Model.teach:
        model.teach = torch.compile(model.teach)  # type: ignore[method-assign]


def parts_without_experts(module: nn.Module) -> Iterator[nn.Module]:
    """The largest parts with weights that hold no bank of experts."""
    for child in module.children():
        is_called = not isinstance(child, nn.ModuleList | nn.ModuleDict)
        if isinstance(child, ExpertBank) or not any(True for _ in child.parameters()):
            continue
        if is_called and not any(isinstance(part, ExpertBank) for part in child.modules()):
            yield child
        else:
            yield from parts_without_experts(child)


def check_compiler(device: torch.device) -> None:
    """Compile one small function, and say in one screen what is missing where that fails."""
    try:
        torch.compile(doubled)(torch.ones(2, device=device))
    except Exception as error:  # each backend has its own kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        what = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler"
        raise UserError(
            f"compile=true, but nothing can be compiled for {device.type} here: "
            f"{lines[0] if lines else type(error).__name__}",
            f"{what}, which torch.compile uses",
            "install it, or set compile=false",
        ) from None


def doubled(numbers: Tensor) -> Tensor:
    return numbers * 2
