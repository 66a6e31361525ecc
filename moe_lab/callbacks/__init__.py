"""What watches a training run. Each factory returns a Lightning callback, or None where its
setting switches it off.
"""

from moe_lab.callbacks.checkpoint import checkpoint
from moe_lab.callbacks.early_stopping import early_stopping
from moe_lab.callbacks.progress import ProgressLines, progress
from moe_lab.callbacks.stopwatch import Stopwatch

__all__ = ["ProgressLines", "Stopwatch", "checkpoint", "early_stopping", "progress"]
