"""A classifier from pixels to plain tensors, its preprocessing included."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moe_lab.outputs import Output
from moe_lab.training.classifier import Classifier


class PixelModel(nn.Module):
    """Pixels [B, channels, height, width], uint8 from 0 to 255 or float32 from 0 to 1 ->
    probabilities [B, C], then the routing weights [B, E] of each layer, 0 where it is not used.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        classifier.channels_last = False  # a layout in memory, which other programs do not have
        self.classifier = classifier.eval()
        self.register_buffer("mean", classifier.mean.view(-1, 1, 1).clone())
        self.register_buffer("std", classifier.std.view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images
        output: Output = self.classifier((pixels - self.mean) / self.std)
        weights = [routing.weights for routing in output.routings.values()]
        return (output.log_probs.exp(), *weights)


@torch.inference_mode()
def output_names(model: PixelModel, images: Tensor) -> list[str]:
    """`probabilities`, and `weights_LAYER` of each routing."""
    output: Output = model.classifier((images.float() - model.mean) / model.std)
    return ["probabilities", *(f"weights_{name}" for name in output.routings)]
