"""`python -m moe_lab audit`: does a composition keep the promises of a mixture of experts?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from moe_lab.config.launch import launch


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 every check passed, 1 one failed, 2 a wrong or refused composition."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.analysis.audit import audit, compose_subject
        from moe_lab.errors import ConfigError, UserError
        from moe_lab.training import console
        from moe_lab.training.sandbox import sandbox

        with sandbox():
            try:
                verdicts = audit(compose_subject(config))
            except UserError as error:
                console.print_error("moe_lab.commands.audit", error)
                codes.append(2 if isinstance(error, ConfigError) else 1)
                return
        console.print_verdicts(verdicts)
        codes.append(int(any(verdict.passed is False for verdict in verdicts)))

    return max([launch("audit", task, arguments), *codes])


if __name__ == "__main__":
    sys.exit(main())
