"""Several seeds of one small configuration trained together: stacked weights, one pass.

A seed has its own initial weights, order of images and augmentation, and leaves the run directory
of a run of its own. What it comes to differs from that run by rounding alone.
"""

from moe_lab.training.seeds.job import Outcome, train_together

__all__ = ["Outcome", "train_together"]
