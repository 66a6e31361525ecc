"""Size the matched dense baseline of a mixture, and print the command that trains it."""

from __future__ import annotations

from moe_lab.config.compose import Composition
from moe_lab.config.launch import Command, CommandUsage

BUDGET_KEYS = ("budget", "side", "cost")


def print_baseline(job: Composition) -> None:
    """Both costs, and the command that trains the dense network."""
    from moe_lab.comparison.dense_baseline import match_dense
    from moe_lab.training.sandbox import at_work

    config = job.config
    words = [word for word in job.words if word.lstrip("+").split("=")[0] not in BUDGET_KEYS]
    with at_work():
        baseline = match_dense(words, config.budget, config.side, config.cost)
    share = baseline.cost / baseline.mixture_cost - 1
    print(f"{baseline.budget} of the mixture: {baseline.mixture_cost:,.0f}")
    print(
        f"{baseline.budget} of its matched dense baseline: {baseline.cost:,} ({100 * share:+.2f} %)"
    )
    print(f"\n{baseline.command}")


main = Command(
    CommandUsage(
        "match",
        __doc__,
        examples=(
            ("moe-lab match", "the baseline of the default mixture, by active FLOPs"),
            ("moe-lab match router.top_k=4 budget=total_parameters", "by another budget"),
        ),
    ),
    print_baseline,
)
