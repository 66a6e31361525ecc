"""What a control that is told the domain of each image cannot be composed with."""

from __future__ import annotations

from omegaconf import DictConfig

from moe_lab.errors import ConfigError
from moe_lab.models import Model


def refuse_untold_oracle(model: Model) -> None:
    """ConfigError for a model with a router that reads domains and no way to tell it any."""
    reads = any(getattr(module, "reads_domain", False) is True for module in model.modules())
    if reads and not model.reads_domain():
        raise ConfigError(
            "router=oracle is told the domain of each image, which this model "
            f"({type(model).__name__}) does not hand on",
            todo="use model=sparse or model=standard, or another router",
        )


def refuse_unknown_domains(config: DictConfig, model: Model) -> None:
    """ConfigError where a model is to be told domains that the images do not have."""
    if not model.reads_domain():
        return
    if config.dataset.get("num_domains") is None:
        raise ConfigError(
            f"router=oracle is told the domain of each image, which dataset={config.dataset.name} "
            "does not know",
            "a data set of known domains",
            "use dataset=clusters, domains or fmnist_mnist, or another router",
        )
    if config.dataset.augment.mixup or config.dataset.augment.cutmix:
        raise ConfigError(
            "router=oracle is told the domain of each image, but dataset.augment.mixup and cutmix "
            "make one image of two",
            todo="set dataset.augment.mixup=0 and dataset.augment.cutmix=0, or use another router",
        )
