"""What the routers of a model did over the last training steps, and what to do about it."""

from moe_lab.health.advice import advise
from moe_lab.health.collapse import sign_of_collapse
from moe_lab.health.panel import LayerHealth, health_panel
from moe_lab.health.redraw import redraw_router
from moe_lab.health.usage import Usage, UsageWindow

__all__ = [
    "LayerHealth",
    "Usage",
    "UsageWindow",
    "advise",
    "health_panel",
    "redraw_router",
    "sign_of_collapse",
]
