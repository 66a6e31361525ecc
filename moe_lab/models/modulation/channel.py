"""Channel modulation of a convolutional backbone (after FiLM, Perez et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from moe_lab.models.modulation.base import Modulated, Started
from moe_lab.networks.backbones import Conv


class ChannelModulated(Modulated):
    """In every block z (1 + m_gain) + m_shift before the ReLU, a gain and a shift a channel, and
    m_output on the logits: images -> [B, H], [B, C].

    Modulators see what the backbone makes of the image in its first, unmodulated pass.
    """

    def __init__(self, backbone: nn.Module, hidden: int, num_classes: int) -> None:
        super().__init__()
        if not isinstance(backbone, Conv):
            raise ValueError(
                "modulation=channel moves the channels of convolutions, but "
                f"backbone={type(backbone).__name__.lower()} has none: use backbone=conv"
            )
        if hidden != backbone.out_features:
            raise ValueError(
                f"modulation.hidden must be {backbone.out_features}, the width of the backbone's "
                f"last layer, got {hidden}"
            )
        self.backbone = backbone
        self.context_features = self.hidden_features = backbone.out_features
        self.second = nn.Linear(backbone.out_features, num_classes)
        self.sites = {}
        for index, block in enumerate(backbone.stages()):
            self.sites[f"block_{index}"] = 2 * block.channels
        self.sites["output"] = num_classes

    def begin(self, images: Tensor) -> Started:
        first = self.backbone.stages()[0].convolve(images)  # no modulation comes before it
        return {"context": self._hidden(first, None), "first": first}

    def forward(
        self, started: Started, moves: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        hidden = started["context"] if moves is None else self._hidden(started["first"], moves)
        logits = self.second(hidden)
        return hidden, logits if moves is None else logits + moves["output"]

    def _hidden(self, first: Tensor, moves: Mapping[str, Tensor] | None) -> Tensor:
        maps = first
        for index, block in enumerate(self.backbone.stages()):
            maps = maps if index == 0 else block.convolve(maps)
            if moves is not None:
                gain, shift = moves[f"block_{index}"][..., None, None].chunk(2, 1)
                maps = maps * (1 + gain) + shift
            maps = block.activate(maps)
        hidden: Tensor = self.backbone.head(maps)
        return hidden
