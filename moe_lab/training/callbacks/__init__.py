"""What watches a training run. Each factory returns a Lightning callback, or None where its
setting switches it off.
"""

from moe_lab.training.callbacks.checkpoint import checkpoint
from moe_lab.training.callbacks.collapse import CollapseAlarm, collapse
from moe_lab.training.callbacks.early_stopping import early_stopping
from moe_lab.training.callbacks.ema import WeightAverage, ema
from moe_lab.training.callbacks.health import HealthMonitor, health
from moe_lab.training.callbacks.live_bar import LiveBar
from moe_lab.training.callbacks.progress import ProgressLines, progress
from moe_lab.training.callbacks.pruning import Pruning
from moe_lab.training.callbacks.stopping import stopped_by
from moe_lab.training.callbacks.stopwatch import Stopwatch

__all__ = [
    "CollapseAlarm",
    "HealthMonitor",
    "LiveBar",
    "ProgressLines",
    "Pruning",
    "Stopwatch",
    "WeightAverage",
    "checkpoint",
    "collapse",
    "early_stopping",
    "ema",
    "health",
    "progress",
    "stopped_by",
]
