"""The audit: does a composition keep the promises of a mixture of experts?

Each check is a function of the composed model that gives one finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from moe_lab.analysis.audit.predictions import (
    evaluation_ignores_batch_mates,
    evaluation_is_deterministic,
    everything_learns,
    finite_in_every_precision,
    labels_cannot_reach_predictions,
    predictions_are_distributions,
)
from moe_lab.analysis.audit.routing import unused_experts_cost_nothing, weights_keep_their_promise
from moe_lab.analysis.audit.subject import Finding, Subject, compose_subject, fill_in_statistics

__all__ = ["CHECKS", "CheckResult", "Subject", "audit", "compose_subject", "fill_in_statistics"]


@dataclass(frozen=True)
class CheckResult:
    """What one check found: passed, failed, or nothing to check."""

    name: str
    passed: bool | None
    detail: str


CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "labels cannot reach predictions": labels_cannot_reach_predictions,
    "evaluation ignores batch mates": evaluation_ignores_batch_mates,
    "noise is off in evaluation": evaluation_is_deterministic,
    "predictions are distributions": predictions_are_distributions,
    "every expert and the router learn": everything_learns,
    "unused experts are not computed": unused_experts_cost_nothing,
    "weights sum to what the router promises": weights_keep_their_promise,
    "finite in float32 and bfloat16": finite_in_every_precision,
}


def audit(subject: Subject) -> list[CheckResult]:
    """Every check in turn; the model's weights are the same afterwards."""
    kept = {name: value.clone() for name, value in subject.model.state_dict().items()}
    verdicts = []
    for name, check in CHECKS.items():
        torch.manual_seed(0)
        passed, detail = check(subject)
        verdicts.append(CheckResult(name, passed, detail))
        subject.model.load_state_dict(kept)
    subject.model.zero_grad(set_to_none=True)
    return verdicts
