"""What counts as a collapsed router."""

from __future__ import annotations

import numpy as np

from moe_lab.training.health.usage import Usage

MOST_WEIGHT = 0.5  # of all weight for one expert
MOST_OVER_FAIR = 1.5  # and so many fair shares, which matters where there are two experts only
LEAST_ENTROPY = 0.5  # of the entropy of equal shares


def most_weight(num_experts: int) -> float:
    """The share of weight beyond which one expert of so many has too much."""
    return max(MOST_WEIGHT, MOST_OVER_FAIR / num_experts)


def sign_of_collapse(usage: Usage) -> str | None:
    """What is wrong in one sentence, or None. Any of three is a sign:

    1. One expert has more than 50 % of the weight and more than 1.5 fair shares: 75 % of two.
    2. The entropy of the shares is under half its maximum.
    3. One expert is used on more images than halfway between its fair share k/E and all of them,
       where k, the mean number of experts an image uses, is at most E/2. It finds a router that
       gives every image the same k experts with equal weights.

    For top-1 routing weight and images are the same, so 1 and 2 are the whole rule.
    """
    heaviest, busiest = int(usage.share.argmax()), int(usage.used_share.argmax())
    if usage.share[heaviest] > most_weight(usage.num_experts):
        return f"expert {heaviest} has {usage.share[heaviest]:.0%} of the weight"
    if usage.entropy < LEAST_ENTROPY * usage.max_entropy:
        return f"usage entropy is {usage.entropy:.2f} of {usage.max_entropy:.2f} bits"
    fair = float(np.mean(usage.used_share))
    if fair <= 0.5 and usage.used_share[busiest] > (1 + fair) / 2:
        return f"expert {busiest} is used on {usage.used_share[busiest]:.0%} of the images"
    return None
