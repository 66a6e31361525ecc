"""What an evaluation reports: torchmetrics that keep sums, so that neither batch size nor number of
devices moves a value.
"""

from moe_lab.metrics.answers import AnswerStatistics
from moe_lab.metrics.evaluation import Evaluation
from moe_lab.metrics.information import mutual_information, plug_in_information
from moe_lab.metrics.passes import PassStatistics, StepStatistics
from moe_lab.metrics.routing import RoutingStatistics

__all__ = [
    "AnswerStatistics",
    "Evaluation",
    "PassStatistics",
    "RoutingStatistics",
    "StepStatistics",
    "mutual_information",
    "plug_in_information",
]
