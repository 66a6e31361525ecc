"""Trains the forecast of an iterative model's own error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from moe_lab.losses.term import Term
from moe_lab.outputs import IterativeOutput, Output


class PredictedError(Term):
    """Sum over classes of (forecast - (onehot(y) - p))^2, averaged over passes and images.

    p counts as a constant: predictions must not drift towards what is easy to forecast.
    """

    reads = IterativeOutput
    needs = ("predicted_error",)

    def __call__(self, output: Output, target: Tensor) -> Tensor:
        assert isinstance(output, IterativeOutput), "refused when the model was composed"
        assert output.predicted_error is not None, "refused when the model was composed"
        return forecast_error(output.predicted_error, output.pass_log_probs, target)


def forecast_error(forecast: Tensor, pass_log_probs: Tensor, target: Tensor) -> Tensor:
    """[T - 1, B, C] forecasts of the first T - 1 of T passes [T, B, C], labels [B] -> []."""
    # The last pass has no forecast: nothing comes after it that could use one.
    probs = pass_log_probs[: len(forecast)].detach().float().exp()
    error = functional.one_hot(target, probs.shape[-1]) - probs
    return (forecast.float() - error).pow(2).sum(-1).mean()
