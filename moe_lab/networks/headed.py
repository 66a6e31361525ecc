"""A backbone with a head: features of raw pixels, then a perceptron or one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast, final

from torch import Tensor, nn

from moe_lab.networks.perceptron import check_dropout, hidden_widths


@final
class Headed(nn.Module):
    """head(dropout(relu(... backbone(images)))), linear without hidden widths. [n, D] -> [n, out]

    The backbone reads images of `in_shape` and names its width `out_features`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        in_shape: Sequence[int],
        out_features: int,
        hidden: int | Sequence[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        for attribute, kind in (("tokens", "tokens"), ("gives_maps", "maps")):
            if hasattr(backbone, attribute):
                raise ValueError(
                    f"an expert or a gate needs one row of features per image, but the backbone "
                    f"{type(backbone).__name__} gives {kind}: use conv, se_resnet, wide_resnet, "
                    "resnet18 or airbench"
                )
        self.in_shape = tuple(in_shape)
        self.backbone = backbone
        widths = [cast(int, backbone.out_features), *_widths(hidden)]
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.head[-1](self.hidden(features))
        return outputs

    def hidden(self, features: Tensor) -> Tensor:
        """What the last layer reads. [n, D] -> [n, H]"""
        # Experts and gates get what the model's backbone gives, pixels in a row, or images.
        images = features.flatten(1).unflatten(1, self.in_shape)
        last: Tensor = self.head[:-1](self.backbone(images))
        return last


def _widths(hidden: int | Sequence[int] | None) -> list[int]:
    return [] if hidden is None else hidden_widths(hidden)
