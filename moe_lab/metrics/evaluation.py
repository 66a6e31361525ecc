"""All metrics of one evaluation: of the answers, and of each routing in the model."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from moe_lab.metrics.routing import RoutingStatistics
from moe_lab.outputs import Output


class Evaluation(nn.Module):
    """Fed with every batch, it knows the values of the whole split; sized by the first output."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.loss = MeanMetric()
        self.layers = nn.ModuleDict()  # name of a routing -> RoutingStatistics

    def update(self, output: Output, target: Tensor) -> None:
        """Add a batch of answers with its true labels [B]."""
        self.accuracy.update(output.log_probs, target)
        self.loss.update(functional.nll_loss(output.log_probs, target), len(target))
        for name, routing in output.routings.items():
            if name not in self.layers:
                layer = RoutingStatistics(routing.num_experts, self.num_classes)
                self.layers[name] = layer.to(target.device)
            self._layer(name).update(routing, target)

    def compute(self) -> dict[str, float]:
        """Every value by name; those of a layer start with its name where there are several."""
        values = {"accuracy": float(self.accuracy.compute()), "loss": float(self.loss.compute())}
        several = len(self.layers) > 1
        for name in self.layers:
            prefix = f"{name}_" if several else ""
            found = self._layer(name).compute()
            values |= {f"{prefix}{key}": value for key, value in found.items()}
        return values

    def used_share(self) -> dict[str, list[float]]:
        """Layer -> share of images on which each expert was computed, [E]."""
        return {name: self._layer(name).used_share() for name in self.layers}

    def _layer(self, name: str) -> RoutingStatistics:
        layer = self.layers[name]
        assert isinstance(layer, RoutingStatistics)
        return layer

    def reset(self) -> None:
        """Forget everything, as before an evaluation."""
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.reset()
