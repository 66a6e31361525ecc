"""Muon (Jordan et al. 2024) for matrices, kernels and the stacked weights of experts, with AdamW
for all else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

# Of the quintic iteration, tuned by Jordan et al. for speed: singular values end up near 1, not at
# it.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


# Not torch.optim.Muon: it refuses kernels and stacks, and one matrix made of a stack would be
# orthogonalised across experts.
class Muon(Optimizer):
    """Groups with orthogonal=true are moved along the orthogonalised momentum of each of their
    matrices, by lr * sqrt(max(1, out / in)); the others by AdamW.

    Matrices are [out, in]; a kernel [out, in, height, width] is one of in * height * width columns;
    [E, in, out] and [E, out, in, height, width] are E of them. One whose gradient is 0, as that of
    an expert that no image asked for, stays: orthogonalised, the faintest momentum is a whole step.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        groups = list(groups)
        if not all("orthogonal" in group for group in groups):
            raise ValueError("Muon needs to know of each group of weights if it is `orthogonal`")
        for group in groups:
            for weight in group["params"]:
                if group["orthogonal"] and weight.ndim not in (2, 3, 4, 5):
                    raise ValueError(f"a weight with {weight.ndim} dimensions holds no matrices")
        settings = {"momentum": momentum, "steps": steps, "betas": tuple(betas), "eps": eps}
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, **settings})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all groups, after the closure, whose loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if group["orthogonal"]:
                for weight in weights:
                    self._step_matrices(weight, group)
            elif weights:
                self._step_adamw(weights, group)
        return loss

    def _step_matrices(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient = cast(Tensor, weight.grad)
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = as_matrices(gradient.lerp(average, group["momentum"]))  # Nesterov
        asked = as_matrices(gradient).ne(0).flatten(1).any(1)[:, None, None]
        update = orthogonalize(ahead, group["steps"]).to(weight.dtype) * asked
        size = group["lr"] * math.sqrt(max(1.0, ahead.shape[1] / ahead.shape[2]))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(from_matrices(update, weight.shape), alpha=size)

    def _step_adamw(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[weight] for weight in weights]
        for weight, state in zip(weights, states, strict=True):
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(weight)
                state["exp_avg_sq"] = torch.zeros_like(weight)
        beta1, beta2 = group["betas"]
        adamw(
            weights,
            [cast(Tensor, weight.grad) for weight in weights],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"],
            weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
        )  # fmt: skip


def as_matrices(weight: Tensor) -> Tensor:
    """[E, out, in], with E = 1 for a single matrix or kernel."""
    if weight.ndim == 3:
        return weight.mT
    return (weight if weight.ndim == 5 else weight.unsqueeze(0)).flatten(2)


def from_matrices(matrices: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `as_matrices`."""
    return matrices.mT if len(shape) == 3 else matrices.reshape(shape)


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Each matrix with its singular values moved to about 1 by Newton-Schulz iterations, in
    bfloat16; 0 stays 0. [E, out, in] -> [E, out, in]
    """
    a, b, c = COEFFICIENTS
    found = matrices.bfloat16()
    is_tall = found.shape[1] > found.shape[2]
    found = found.mT if is_tall else found  # the smaller product
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = found @ found.mT
        change = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, change, found, beta=a)
    return found.mT if is_tall else found
