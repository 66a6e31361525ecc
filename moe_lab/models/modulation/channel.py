"""Channel modulation of a convolutional backbone (after FiLM, Perez et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from moe_lab.models.modulation.base import Modulated, SharedState
from moe_lab.networks.backbones import Conv


class ChannelModulated(Modulated):
    """In every block z (1 + m_gain) + m_shift before the ReLU, a gain and a shift per channel, and
    m_output on the logits: images -> [B, H], [B, C].

    Modulators read the features of the first pass, which is not modulated.
    """

    def __init__(self, backbone: nn.Module, hidden: int, num_classes: int) -> None:
        super().__init__()
        if not isinstance(backbone, Conv):
            raise ValueError(
                "modulation=channel scales and shifts the channels of convolutions, but "
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
            self.sites[f"block_{index}"] = 2 * block.channels  # gains, then shifts
        self.sites["output"] = num_classes

    def begin(self, images: Tensor) -> SharedState:
        # The first convolution comes before the first site, so all passes share it.
        first = self.backbone.stages()[0].convolve(images)
        return {"context": self._hidden(first, None), "first": first}

    def forward(
        self, shared: SharedState, modulations: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        hidden = (
            shared["context"] if modulations is None else self._hidden(shared["first"], modulations)
        )
        logits = self.second(hidden)
        return hidden, logits if modulations is None else logits + modulations["output"]

    def _hidden(self, first: Tensor, modulations: Mapping[str, Tensor] | None) -> Tensor:
        """The backbone from its first convolution [B, c, h, w] on -> [B, H]."""
        maps = first
        for index, block in enumerate(self.backbone.stages()):
            maps = maps if index == 0 else block.convolve(maps)
            if modulations is not None:
                # 1 + gain: a modulator that gives 0 leaves the network as it is, as in FiLM.
                gain, shift = modulations[f"block_{index}"][..., None, None].chunk(2, 1)
                maps = maps * (1 + gain) + shift
            maps = block.activate(maps)
        hidden: Tensor = self.backbone.head(maps)
        return hidden
