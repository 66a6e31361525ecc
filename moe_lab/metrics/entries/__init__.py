"""What the registry says about each quantity: `evaluated` and `recorded`, and single entries beside
them. Imports nothing heavy, so that anything may read it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from moe_lab.metrics.description import Metric


def further_entries() -> tuple[Metric, ...]:
    """The `ENTRY` of every file in this folder that has one, by name of the file."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return tuple(module.ENTRY for module in modules if hasattr(module, "ENTRY"))
