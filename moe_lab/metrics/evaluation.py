"""All metrics of one evaluation: of the answers, of each routing in the model, and of each pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from moe_lab.metrics.answers import AnswerStatistics
from moe_lab.metrics.passes import PassStatistics, StepStatistics
from moe_lab.metrics.routing import RoutingStatistics
from moe_lab.metrics.tokens import TokenStatistics
from moe_lab.outputs import IterativeOutput, LayeredOutput, Output


class Evaluation(nn.Module):
    """Fed with every batch, it knows the values of the whole split; sized by the first output."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.answers = AnswerStatistics(num_classes)
        self.layers = nn.ModuleDict()  # name of a routing -> RoutingStatistics
        self.tokens = nn.ModuleDict()  # name of a routing of tokens -> TokenStatistics
        self.passes: PassStatistics | None = None
        self.steps: StepStatistics | None = None

    def update(self, output: Output, target: Tensor) -> None:
        """Add a batch of answers with its true labels [B]."""
        self.answers.update(output.log_probs, target)
        correct = output.log_probs.argmax(-1) == target
        for name, routing in output.routings.items():
            if name not in self.layers:
                layer = RoutingStatistics(routing.num_experts, self.num_classes)
                self.layers[name] = layer.to(target.device)
            self._layer(name).update(routing, target, correct)
        if isinstance(output, LayeredOutput):
            for name, used in output.used.items():
                if name not in self.tokens:
                    self.tokens[name] = TokenStatistics(used.shape[-1]).to(target.device)
                self._tokens(name).update(used, output.dropped[name])
        if isinstance(output, IterativeOutput):
            if self.passes is None:
                self.passes = PassStatistics(len(output.pass_log_probs)).to(target.device)
            self.passes.update(output, target)
        steps = getattr(output, "steps", None)
        if steps is not None:
            if self.steps is None:
                self.steps = StepStatistics().to(target.device)
            self.steps.update(steps)

    def compute(self) -> dict[str, float]:
        """Every value by name; those of a layer start with its name where there are several."""
        values: dict[str, float] = dict(self.answers.compute())
        several = len(self.layers) > 1
        for name in self.layers:
            prefix = f"{name}_" if several else ""
            found = self._layer(name).compute()
            if name in self.tokens:
                found = found | self._tokens(name).compute()
            values = values | {f"{prefix}{key}": value for key, value in found.items()}
        for metric in (self.passes, self.steps):
            values = values | (metric.compute() if metric is not None else {})
        return values

    def tables(self) -> dict[str, Any]:
        """Nested lists: `confusion`, `calibration`, `layers` by name, `passes` where there are any.

        Read them after `compute`, which gathers what other devices saw.
        """
        tables = self.answers.tables()
        tables["layers"] = {name: self._layer(name).tables() for name in self.layers}
        for name in self.tokens:
            tables["layers"][name] |= self._tokens(name).tables()
        if self.passes is not None:
            tables["passes"] = self.passes.tables()
        return tables

    def loads(self) -> dict[str, float]:
        """`share_0`, `share_1`, ...: each expert's part of all selections of its layer."""
        several = len(self.layers) > 1
        return {
            f"{name}_share_{expert}" if several else f"share_{expert}": share
            for name in self.layers
            for expert, share in enumerate(self._layer(name).tables()["load"])
        }

    def used_share(self) -> dict[str, list[float]]:
        """Layer -> share of images on which each expert was computed, [E]."""
        return {name: self._layer(name).tables()["used_share"] for name in self.layers}

    def _layer(self, name: str) -> RoutingStatistics:
        layer = self.layers[name]
        assert isinstance(layer, RoutingStatistics)
        return layer

    def _tokens(self, name: str) -> TokenStatistics:
        tokens = self.tokens[name]
        assert isinstance(tokens, TokenStatistics)
        return tokens

    def reset(self) -> None:
        """Forget everything, as before an evaluation."""
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.reset()
