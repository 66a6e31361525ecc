"""What the routers of a model did over the last training steps, and what to do about it."""

from moe_lab.training.health.advice import advise
from moe_lab.training.health.collapse import sign_of_collapse
from moe_lab.training.health.live_view import LayerHealth, health_panel
from moe_lab.training.health.redraw import redraw_router
from moe_lab.training.health.usage import Usage, UsageWindow

__all__ = [
    "LayerHealth",
    "Usage",
    "UsageWindow",
    "advise",
    "health_panel",
    "redraw_router",
    "sign_of_collapse",
]
