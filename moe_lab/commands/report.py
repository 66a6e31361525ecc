"""`python -m moe_lab report run=RUN_DIR`: write a run's report.html again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from moe_lab.commands.eval import check_run
from moe_lab.config.launch import launch
from moe_lab.errors import ConfigError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the report could not be written, 2 a wrong command line."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab.analysis.page.page import write_report
        from moe_lab.training import console
        from moe_lab.training.run_directory import RunDirectory

        try:
            path = write_report(RunDirectory(str(config.run)))
            print(f"report: {path}", flush=True)
            codes.append(0)
        except UserError as error:
            console.print_error("moe_lab.analysis.page", error)
            codes.append(2 if isinstance(error, ConfigError) else 1)

    return max([launch("report", task, arguments, check_run), *codes])


if __name__ == "__main__":
    sys.exit(main())
