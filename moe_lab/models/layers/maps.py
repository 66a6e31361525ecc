"""A mixture of convolutions for each image."""

from __future__ import annotations

from typing import final

from torch import Tensor

from moe_lab.dispatch import Plan
from moe_lab.models.layers.routed_layer import Routed, RoutedLayer
from moe_lab.outputs import Routing


@final
class RoutedMaps(RoutedLayer):
    """The weighted sum of the selected experts' outputs for an image's maps; the others are not
    computed. maps [B, D, h, w], features of the router [B, D] -> [B, D, h, w]
    """

    def forward(self, maps: Tensor, features: Tensor) -> Routed:
        routing: Routing = self.router(features)
        plan = Plan.from_weights(routing.weights)
        # Flattened, because the weighted sum over pairs is written for rows.
        mixed = plan.mix(self.experts(maps, plan).flatten(1)).view(maps.shape)
        return Routed(mixed, routing, routing)
