"""`python -m moe_lab.train`: train one configuration, or with -m a sweep of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from moe_lab.config.program import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command `train`."""
    from moe_lab.commands.train import main as train  # once signals are answered

    return train(arguments)


if __name__ == "__main__":
    sys.exit(run_program(main))
