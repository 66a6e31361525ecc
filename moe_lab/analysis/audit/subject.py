"""What is audited: a composition with a batch to try it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.errors import ConfigError
from moe_lab.losses import Objective
from moe_lab.models import Mixture, Model
from moe_lab.models.layers import RoutedLayer
from moe_lab.training.build import build_classifier

Finding = tuple[bool | None, str]  # passed, failed or nothing to check; what was found


@dataclass
class Subject:
    """The composition under audit, with a batch to try it on."""

    model: Model
    objective: Objective
    images: Tensor  # [B, channels, height, width] normalised
    target: Tensor  # [B]

    @property
    def mixture(self) -> Mixture | None:
        """The part that holds router and experts, where there is one."""
        found = [module for module in self.model.modules() if isinstance(module, Mixture)]
        return found[0] if found else None

    @property
    def layers(self) -> dict[str, RoutedLayer]:
        """The mixtures in the body of the network, where there are any."""
        found = self.model.routed_layers().items()
        return {name: layer for name, layer in found if isinstance(layer, RoutedLayer)}

    def evaluate(self, images: Tensor) -> Tensor:
        """log_probs [B, C] in evaluation mode."""
        self.model.eval()
        with torch.inference_mode():
            log_probs: Tensor = self.model(images).log_probs
        return log_probs

    def step(self, images: Tensor | None = None) -> Tensor:
        """The loss of one training batch, with gradients left in the parameters."""
        images = self.images if images is None else images
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        needs_every = self.objective.needs_every_expert
        output = self.model.teach(images, self.target, every_expert=needs_every)
        loss = self.objective(output, self.target).total
        loss.backward()
        return loss.detach()


def compose_subject(config: DictConfig) -> Subject:
    """Model and objective of a configuration, and random images of its data set's shape."""
    if config.dataset.shape is None:
        raise ConfigError(
            f"dataset={config.dataset.name} does not say what shape its images have",
            "a data set of known shape",
            "audit with dataset=mnist, cifar10 or synthetic: only shape and classes matter",
        )
    torch.manual_seed(config.seed)
    fill_in_statistics(config)
    classifier = build_classifier(config)
    shape = [config.num_images, *config.dataset.shape]
    target = torch.randint(0, config.dataset.num_classes, (config.num_images,))
    return Subject(classifier.model, classifier.objective, torch.randn(shape), target)


def fill_in_statistics(config: DictConfig) -> None:
    """Random images are normalised already."""
    for key, value in (("dataset.mean", [0.0]), ("dataset.std", [1.0])):
        OmegaConf.update(config, key, value)
