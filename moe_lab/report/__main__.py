"""`python -m moe_lab.report run=RUN_DIR`: write a run's report.html again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from moe_lab.configuration.launch import launch
from moe_lab.errors import ConfigError, UserError
from moe_lab.eval import check_run


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 the report could not be written, 2 a wrong command line."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        from moe_lab import console
        from moe_lab.report.page import write_report
        from moe_lab.run_directory import RunDirectory

        try:
            path = write_report(RunDirectory(str(config.run)))
            print(f"report: {path}", flush=True)
            codes.append(0)
        except UserError as error:
            console.print_error("moe_lab.report", error)
            codes.append(2 if isinstance(error, ConfigError) else 1)

    return max([launch("report", task, arguments, check_run), *codes])


if __name__ == "__main__":
    sys.exit(main())
