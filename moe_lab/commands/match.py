"""`python -m moe_lab match`: the dense network that costs what a mixture costs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from moe_lab.config.launch import launch

OWN_KEYS = ("budget", "side", "cost")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 2 a wrong command line or a mixture without a dense twin."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.analysis.opened_run import answer

        codes.append(answer("moe_lab.commands.match", print_twin, config))

    return max([launch("match", task, arguments), *codes])


def print_twin(config: DictConfig) -> None:
    """Both costs, and the command that trains the twin."""
    from hydra.core.hydra_config import HydraConfig

    from moe_lab.comparison.matching import dense_twin

    typed = HydraConfig.get().overrides.task
    words = [word for word in typed if word.lstrip("+").split("=")[0] not in OWN_KEYS]
    twin = dense_twin(words, config.budget, config.side, config.cost)
    share = twin.cost / twin.mixture_cost - 1
    print(f"{twin.budget} of the mixture: {twin.mixture_cost:,.0f}")
    print(f"{twin.budget} of its dense twin: {twin.cost:,} ({100 * share:+.2f} %)")
    print(f"\n{twin.command}")


if __name__ == "__main__":
    sys.exit(main())
