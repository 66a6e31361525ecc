"""Figures of runs: pure functions from arrays to matplotlib figures, and all that apply at once."""

from moe_lab.analysis.plots.gallery import draw_run, save
from moe_lab.analysis.plots.group_figures import CostPoint, accuracy_against_cost, box_plots
from moe_lab.analysis.plots.territories import square_records

__all__ = [
    "CostPoint", "accuracy_against_cost", "box_plots", "draw_run", "save", "square_records",
]  # fmt: skip
