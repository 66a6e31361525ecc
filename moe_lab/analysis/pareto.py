"""Which groups no other group beats in both accuracy and cost."""

from __future__ import annotations

from collections.abc import Sequence

from moe_lab.metrics.registry import costs

COSTS = costs()


def pareto_front(costs: Sequence[float | None], scores: Sequence[float]) -> list[bool | None]:
    """Whether each point is on the front: none other costs no more and scores no less, one of the
    two strictly. None where the cost is not known.
    """
    known = [(cost, score) for cost, score in zip(costs, scores, strict=True) if cost is not None]

    def is_beaten(cost: float, score: float) -> bool:
        return any(
            other <= cost and reached >= score and (other < cost or reached > score)
            for other, reached in known
        )

    return [
        None if cost is None else not is_beaten(cost, score)
        for cost, score in zip(costs, scores, strict=True)
    ]
