"""moe_lab: train, compare and explain small mixtures of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moe_lab.config.torchvision_guard import install as _install_torchvision_guard
from moe_lab.config.version import VERSION

if TYPE_CHECKING:
    from moe_lab.training.load_run import load as load

__version__ = VERSION
__all__ = ["__version__", "load"]

# Before anything can import torchvision, which lightning and torchmetrics do behind the scenes.
_install_torchvision_guard()


def __getattr__(name: str) -> Any:
    """Import `load` on first use, so that `import moe_lab` does not import torch."""
    if name == "load":
        from moe_lab.training.load_run import load

        return load
    raise AttributeError(f"module 'moe_lab' has no attribute {name!r}")
