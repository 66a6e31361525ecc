"""Activation modulation: numbers added to hidden activations and logits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from moe_lab.models.modulation.base import Modulated, SharedState


class ActivationModulated(Modulated):
    """h = relu(W1 x + b1 + m_hidden), logits = W2 h + b2 + m_output: images -> [B, H], [B, C].

    x [B, D] are the features of any backbone that gives one row per image.
    """

    def __init__(self, backbone: nn.Module, hidden: int, num_classes: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"modulation.hidden must be at least 1, got {hidden}")
        self.backbone = backbone
        self.context_features = int(backbone.out_features)  # type: ignore[arg-type]
        self.hidden_features = hidden
        self.first = nn.Linear(self.context_features, hidden)
        self.second = nn.Linear(hidden, num_classes)
        self.sites = {"hidden": hidden, "output": num_classes}

    def begin(self, images: Tensor) -> SharedState:
        # Modulation is added after W1, so W1 x is the same in every pass.
        context = self.backbone(images)
        return {"context": context, "first": self.first(context)}

    def forward(
        self, shared: SharedState, modulations: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        # Before the ReLU: there a modulator can also switch a hidden unit on.
        first = shared["first"] if modulations is None else shared["first"] + modulations["hidden"]
        hidden = functional.relu(first)
        logits = self.second(hidden)
        return hidden, logits if modulations is None else logits + modulations["output"]
