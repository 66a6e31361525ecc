"""What an evaluation reports: torchmetrics that keep sums, so that neither batch size nor number of
devices moves a value.
"""

from moe_lab.metrics.evaluation import Evaluation
from moe_lab.metrics.information import mutual_information, plug_in_information
from moe_lab.metrics.routing import RoutingStatistics

__all__ = ["Evaluation", "RoutingStatistics", "mutual_information", "plug_in_information"]
