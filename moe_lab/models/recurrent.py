"""A control for iterative modulation: the same weights in every pass, nothing modulated."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.models.base import Model, check_tokens
from moe_lab.outputs import IterativeOutput, Output


class Recurrent(Model):
    """h_0 = relu(W x + b), h_t = relu(W x + b + R h_(t-1)), y_t = V h_t + c: images ->
    IterativeOutput.

    x [B, D], h [B, H], y [B, C]. A weight-tied recurrent refinement (after Liang & Hu 2015): it may
    take as many passes as an iterative modulation network, but its predictions are not fed back.
    """

    output_type: ClassVar[type[Output]] = IterativeOutput

    def __init__(
        self, backbone: nn.Module, hidden: int, num_classes: int, num_iterations: int = 3
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("num_iterations", num_iterations)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, got {value}")
        check_tokens(backbone, wanted=False)
        self.backbone = backbone
        self.num_iterations = num_iterations
        self.first = nn.Linear(int(backbone.out_features), hidden)  # type: ignore[arg-type]
        self.again = nn.Linear(hidden, hidden, bias=False)  # W x + b has the bias already
        self.answer = nn.Linear(hidden, num_classes)

    def lacks(self) -> Collection[str]:
        # No `steps`: all images take all passes, and a constant would be logged as a finding.
        return ("modulation_norm", "steps", "predicted_error")

    def forward(self, images: Tensor, *, every_expert: bool = False) -> IterativeOutput:
        first = self.first(self.backbone(images))  # [B, H], the same in every pass
        hidden = functional.relu(first)
        passes = [self.answer(hidden)]
        for _ in range(self.num_iterations):
            hidden = functional.relu(first + self.again(hidden))
            passes.append(self.answer(hidden))
        # [T, B, C], in float32 whatever autocast made of the layers
        pass_log_probs = torch.stack(passes).float().log_softmax(-1)
        return IterativeOutput(pass_log_probs[-1], pass_log_probs)
