"""report.html: one page about one run, that needs nothing but a browser."""

from moe_lab.report.page import write_report
from moe_lab.report.verdict import verdict

__all__ = ["verdict", "write_report"]
