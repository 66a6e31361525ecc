"""report.html: one page about one run, that needs nothing but a browser."""

from moe_lab.analysis.page.page import write_report
from moe_lab.analysis.page.verdict import verdict

__all__ = ["verdict", "write_report"]
