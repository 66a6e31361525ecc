"""Questions with the runs that answer them: `python -m moe_lab study NAME`."""
